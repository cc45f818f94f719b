"""The README of a model folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ie_cli.data.label_schema import LabelSchema
from ie_cli.metrics.scores import Scores, ScoreTable
from ie_cli.recipe.schema import Recipe
from ie_cli.reports.card_metadata import front_matter
from ie_cli.reports.cells import all_rows, heading
from ie_cli.tasks import TASKS


def model_card(recipe: Recipe, schemas: Mapping[str, LabelSchema], scores: Mapping[str, Mapping[str, Scores]]) -> str:
    """Markdown with scores, labels and usage, below the metadata for the Hub.

    Args:
        schemas: by task.
        scores: by split (``dev``, ``test``) and task.
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
    tables = [
        (f"Scores on {split}" if len(schemas) == 1 else f"Scores of {task} on {split}", found.tables())
        for split, tasks in scores.items()
        for task, found in tasks.items()
    ]
    lines = [
        f"# {recipe.name}",
        "",
        f"{'; '.join(titles)}, trained by [`ie`](https://pypi.org/project/ie-cli/).",
        "",
        *(f"{kind}: {_listed(listed)}." for kind, listed in names if listed),
        "",
        *(line for title, made in tables for line in score_lines(title, made)),
        "## Usage",
        "",
        "```sh",
        *(f"ie predict file.jsonl --model PATH | jq -c '{word.jq}'" for word in words),
        "```",
        "",
        "```python",
        "from ie_cli import Extractor",
        "",
        'extractor = Extractor.from_pretrained("PATH")',
        'for example in extractor.extract(["…"]):',
        f"    print({', '.join(f'example.{word.attribute}' for word in words)})",
        "```",
        "",
        "`recipe.yaml` holds the recipe with every default filled in; `metrics.json` the scores unrounded.",
        "",
    ]
    return front_matter(recipe, scores) + "\n".join(lines)


def score_lines(title: str, tables: Iterable[ScoreTable]) -> list[str]:
    """Tables of scores in Markdown, each with its heading above and its notes below."""
    lines = []
    for table in tables:
        first, *others = table.columns
        lines += [
            f"## {heading(title, table)}",
            "",
            f"| {' | '.join((first, *others))} |",
            f"|---|{'--:|' * len(others)}",
            *(
                f"| {f'**{name}**' if summary else _code(name)} | {' | '.join(values)} |"
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
    """A name as it is, which ends neither its own quotes nor a cell of a table."""
    plain = "".join(char if char.isprintable() else " " for char in name).replace("`", "'")
    return f"`{plain}`".replace("|", r"\|")


def _encoder(name: str) -> str:
    """A hub id whole, of a folder the name alone: the rest says nothing to others."""
    return Path(name).name if name.startswith(("/", ".", "~")) else name
