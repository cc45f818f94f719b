"""The model card, which is the README of a model directory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from ie_cli.data.label_schema import LabelSchema
from ie_cli.metrics.scores import Scores, ScoreTable
from ie_cli.metrics.threshold_curve import ThresholdChoice
from ie_cli.recipe.schema import Recipe
from ie_cli.reports.card_metadata import front_matter
from ie_cli.reports.cells import all_rows, heading, number
from ie_cli.tasks import TASKS

_USAGE = "## Usage"
"""The heading after the scores."""


def model_card(
    recipe: Recipe,
    schemas: Mapping[str, LabelSchema],
    scores: Mapping[str, Mapping[str, Scores]],
    *,
    whole_words: Collection[str] = (),
    thresholds: Mapping[str, ThresholdChoice] | None = None,
) -> str:
    """Return a model card in Markdown: metadata for the Hub, scores, labels and usage.

    Args:
        recipe: the recipe of the model.
        schemas: schemas by task.
        scores: scores by split (``dev``, ``test``) and task.
        whole_words: the tasks that find only spans of whole words.
        thresholds: the thresholds chosen on dev, by task.
    """
    sections = recipe.instances().values()
    words = [TASKS[section.task].words for section in sections]
    titles = [
        f"{word.title}: `{section.head.name}` on {_code(_encoder(recipe.encoder.name))}"
        for word, section in zip(words, sections, strict=True)
    ]
    names = [
        (kind, dict.fromkeys(name for schema in schemas.values() for name in getattr(schema, field)))
        for kind, field in (("Labels", "labels"), ("Predicates", "predicates"))
    ]
    inputs = list(dict.fromkeys(word.example for word in words))
    tables = [
        (f"Scores on {split}" if len(schemas) == 1 else f"Scores for {task} on {split}", found.tables())
        for split, tasks in scores.items()
        for task, found in tasks.items()
    ]
    lines = [
        f"# {recipe.name}",
        "",
        f"{'; '.join(titles)}, trained with [`ie`](https://pypi.org/project/ie-cli/).",
        "",
        *(f"{kind}: {_listed(listed)}." for kind, listed in names if listed),
        "",
        *_words(whole_words, several=len(schemas) > 1),
        *_threshold_lines(thresholds or {}, named=len(schemas) > 1),
        *(line for title, made in tables for line in score_lines(title, made)),
        _USAGE,
        "",
        "```sh",
        *(f"ie predict file.jsonl --model PATH | jq -c '{word.jq}'" for word in words),
        "```",
        "",
        "```python",
        f"from ie_cli import {'Document, ' if any('Document' in text for text in inputs) else ''}Extractor",
        "",
        'extractor = Extractor.from_pretrained("PATH")',
        f"for example in extractor.extract([{', '.join(inputs)}]):",
        f"    print({', '.join(f'example.{word.attribute}' for word in words)})",
        "```",
        "",
        "`recipe.yaml` contains the recipe with all defaults filled in; `metrics.json` contains the unrounded scores.",
        "",
    ]
    return front_matter(recipe, scores) + "\n".join(lines)


def with_section(card: str, title: str, table: ScoreTable) -> str:
    """Return a model card with another table, before the section on usage, or at the end of a card that has none."""
    before, usage, after = card.partition(f"\n{_USAGE}\n")
    return "\n".join([before.rstrip("\n"), "", *score_lines(title, [table])]) + usage + after


def _words(tasks: Collection[str], *, several: bool) -> list[str]:
    """Return what the card says of spans of whole words."""
    if not tasks:
        return []
    names = f" of {_listed(tasks)}" if several else ""
    return [f"The entities{names} start and end at the boundaries of words.", ""]


def _threshold_lines(choices: Mapping[str, ThresholdChoice], *, named: bool) -> list[str]:
    """Return a paragraph on each threshold that was chosen on dev and is not the default one."""
    lines = []
    for name, choice in choices.items():
        if choice.changed:
            what = f"Threshold for {name}" if named else "Threshold"
            instead = f"{number(choice.f1_before)} at {choice.before:g}"
            lines += [f"{what}: {choice.threshold:g}, chosen on dev (F1 {number(choice.f1)} instead of {instead}).", ""]
    return lines


def score_lines(title: str, tables: Iterable[ScoreTable]) -> list[str]:
    """Return score tables in Markdown, each with its heading and notes."""
    lines = []
    for table in tables:
        first, *others = table.columns
        lines += [
            f"## {heading(title, table)}",
            "",
            f"| {' | '.join((first, *others))} |",
            f"|---|{'--:|' * len(others)}",
            *(
                f"| {f'**{name}**' if summary else _cell(name)} | {' | '.join(values)} |"
                for summary, name, values in all_rows(table)
            ),
            "",
        ]
        for note in table.notes:
            lines += [f"{note[:1].upper()}{note[1:]}.", ""]
    return lines


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(_code, names))


def _code(name: str) -> str:
    """Return a name as inline code that cannot end its own quotes."""
    plain = "".join(char if char.isprintable() else " " for char in name).replace("`", "'")
    return f"`{plain}`"


def _cell(name: str) -> str:
    """Return a name as inline code that cannot end its cell of a table."""
    return _code(name).replace("|", r"\|")


def _encoder(name: str) -> str:
    """Return a hub id, or the name of a directory without its path, which means nothing to other users."""
    return Path(name).name if name.startswith(("/", ".", "~")) else name
