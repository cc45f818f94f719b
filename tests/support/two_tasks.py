"""A tiny recipe with two tasks on one encoder: entities in one file, relations in another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.corpora import documents, relation_documents, small, write_jsonl

from ie_cli.recipe.schema import Recipe

NAMES, LINKS = "names", "links"


def two_tasks(directory: Path, *, dropout: float = 0.1, relations: str = "gplinker", **training: Any) -> Recipe:
    """A recipe with the tasks `names` (20 documents) and `links` (10 documents, so that it starts again in each epoch)."""
    first, second = directory / "names.jsonl", directory / "links.jsonl"
    if not first.exists():
        write_jsonl(first, documents())
        write_jsonl(second, relation_documents(annotated=True)[:10])
    return Recipe.model_validate(
        {
            "name": "two",
            "encoder": {
                "name": "tiny",
                "max_length": 64,
                "stride": 16,
                "layers": 1,
                "dropout": dropout,
                "attention_dropout": dropout,
            },
            "tasks": {
                NAMES: {
                    "task": "ner",
                    "data": {"train": str(first), "dev": str(first)},
                    "head": small({"name": "efficient_global_pointer"}),
                },
                LINKS: {
                    "task": "relation",
                    "data": {"train": str(second), "dev": str(second)},
                    "head": small({"name": relations}),
                },
            },
            "training": {
                "epochs": 2,
                "batch_size": 8,
                "learning_rate": 2e-3,
                "head_learning_rate": 5e-3,
                "precision": "float32",
                "device": "cpu",
                **training,
            },
        }
    )
