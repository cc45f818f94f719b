"""The README of a model folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ie_cli.recipe import Recipe


def model_card(recipe: Recipe, labels: Sequence[str], scores: Mapping[str, Any]) -> str:
    """Markdown with scores, labels and usage.

    Args:
        scores: by split (``dev``, ``test``), each as `metrics.EntityScores.to_dict` gives it.
    """
    lines = [
        "---",
        "library_name: ie-cli",
        "tags: [information-extraction, named-entity-recognition, global-pointer]",
        "---",
        f"# {recipe.name}",
        "",
        f"Named-entity recognition: `{recipe.head.name}` on `{_encoder(recipe.encoder.name)}`, trained by "
        "[`ie`](https://pypi.org/project/ie-cli/).",
        "",
        f"Labels: {', '.join(f'`{label}`' for label in labels)}.",
        "",
    ]
    for split, score in scores.items():
        lines += _table(split, score)
    lines += [
        "## Usage",
        "",
        "```sh",
        "ie predict file.jsonl --model PATH | jq -c '.entities[]'",
        "```",
        "",
        "```python",
        "from ie_cli import Extractor",
        "",
        'extractor = Extractor.from_pretrained("PATH")',
        'for example in extractor.extract(["…"]):',
        "    print(example.entities)",
        "```",
        "",
        "`recipe.yaml` holds the recipe with every default filled in; `metrics.json` the scores unrounded.",
        "",
    ]
    return "\n".join(lines)


def _encoder(name: str) -> str:
    """A hub id whole, of a folder the name alone: the rest says nothing to others."""
    return Path(name).name if name.startswith(("/", ".", "~")) else name


def _table(split: str, score: Mapping[str, Any]) -> list[str]:
    lines = [
        f"## Scores on {split}",
        "",
        "| | precision | recall | F1 | gold |",
        "|---|--:|--:|--:|--:|",
        _row("**all** (micro)", score),
    ]
    lines += [_row(f"`{label}`", part) for label, part in score["labels"].items()]
    if score.get("ceiling"):
        lines += [
            "",
            f"Recall ceiling (gold that the tokens and windows can express): {score['ceiling']['recall']:.4f}.",
        ]
    return [*lines, ""]


def _row(name: str, score: Mapping[str, Any]) -> str:
    values = (score["precision"], score["recall"], score["f1"])
    shown = " | ".join("–" if value is None else f"{value:.4f}" for value in values)
    return f"| {name} | {shown} | {score['gold']} |"
