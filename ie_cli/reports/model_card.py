"""The README of a model folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ie_cli.data.label_schema import LabelSchema
from ie_cli.recipe.schema import Recipe


def model_card(recipe: Recipe, schema: LabelSchema, scores: Mapping[str, Any]) -> str:
    """Markdown with scores, labels and usage.

    Args:
        scores: by split (``dev``, ``test``), each as the scores' `to_dict` gives it.
    """
    task, tag, items, each = (
        "Named-entity recognition",
        "named-entity-recognition, global-pointer",
        "entities",
        ".entities[]",
    )
    if schema.predicates:
        task, tag, items, each = "Relation extraction", "relation-extraction, gplinker", "relations", ".relations[]?"
    lines = [
        "---",
        "library_name: ie-cli",
        f"tags: [information-extraction, {tag}]",
        "---",
        f"# {recipe.name}",
        "",
        f"{task}: `{recipe.head.name}` on `{_encoder(recipe.encoder.name)}`, trained by "
        "[`ie`](https://pypi.org/project/ie-cli/).",
        "",
        f"Labels: {_listed(schema.labels)}.",
        *([f"Predicates: {_listed(schema.predicates)}."] if schema.predicates else []),
        "",
    ]
    for split, score in scores.items():
        lines += _table(split, score)
    lines += [
        "## Usage",
        "",
        "```sh",
        f"ie predict file.jsonl --model PATH | jq -c '{each}'",
        "```",
        "",
        "```python",
        "from ie_cli import Extractor",
        "",
        'extractor = Extractor.from_pretrained("PATH")',
        'for example in extractor.extract(["…"]):',
        f"    print(example.{items})",
        "```",
        "",
        "`recipe.yaml` holds the recipe with every default filled in; `metrics.json` the scores unrounded.",
        "",
    ]
    return "\n".join(lines)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_code, names))


def _code(name: str) -> str:
    """A name as it is, which ends neither its own quotes nor a cell of a table."""
    plain = "".join(char if char.isprintable() else " " for char in name).replace("`", "'")
    return f"`{plain}`".replace("|", r"\|")


def _encoder(name: str) -> str:
    """A hub id whole, of a folder the name alone: the rest says nothing to others."""
    return Path(name).name if name.startswith(("/", ".", "~")) else name


def _table(split: str, score: Mapping[str, Any]) -> list[str]:
    lines = [
        f"## Scores on {split}",
        "",
        *([f"Relations, matched by: {score['match']}.", ""] if "match" in score else []),
        "| | precision | recall | F1 | gold | predicted | correct |",
        "|---|--:|--:|--:|--:|--:|--:|",
        _row("**all** (micro)", score),
    ]
    parts = score["labels"] if "labels" in score else score["predicates"]
    lines += [_row(_code(name), part) for name, part in parts.items()]
    if score.get("ceiling"):
        lines += [
            "",
            f"Recall ceiling (gold that the tokens and windows can express): {score['ceiling']['recall']:.4f}.",
        ]
    return [*lines, ""]


def _row(name: str, score: Mapping[str, Any]) -> str:
    values = (score["precision"], score["recall"], score["f1"])
    shown = " | ".join("–" if value is None else f"{value:.4f}" for value in values)
    return f"| {name} | {shown} | {score['gold']} | {score['predicted']} | {score['correct']} |"
