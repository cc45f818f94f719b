"""Pairs of texts of our own, for tests that encode or train them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from support.corpora import recipe, write_jsonl

from ie_cli.document import Document
from ie_cli.recipe.schema import Recipe

TOPICS = ["红橙黄绿蓝", "猫狗鸟鱼马", "山河湖海岛", "春夏秋冬年"]


def text_of(topic: int, random: np.random.Generator) -> str:
    """Draw a text about a topic: some of its characters."""
    return "".join(random.choice(list(TOPICS[topic]), int(random.integers(3, 6))))


def pair_documents(count: int = 64, *, graded: bool = False, classes: int = 2, seed: int = 0) -> list[Document]:
    """Pairs about the same topic (the highest class or grade), or about others.

    Args:
        count: number of pairs.
        graded: scores from 0 to 5 instead of classes.
        classes: number of classes, ``0`` being the least similar.
        seed: random seed.
    """
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        level = number % classes if not graded else number % 6
        highest = 5 if graded else classes - 1
        first = int(random.integers(4))
        # The share of the second text that is about the topic of the first one grows with the level.
        other = text_of((first + 1) % 4, random)
        same = round(len(other) * level / highest)
        second = text_of(first, random)[:same] + other[same:]
        label: dict[str, Any] = {"score": float(level)} if graded else {"label": str(level)}
        made.append(Document(text_of(first, random), text_pair=second, id=number, **label))
    return made


def pair_recipe(file: Path, **sections: dict[str, object]) -> Recipe:
    """A recipe that trains a tiny encoder on pairs in seconds, without development data."""
    given = {"data": {"train": str(file), "dev": None}, "head": {"name": "cosent"}, **sections}
    fields = recipe(file, **{"training": {"epochs": 2}, **{k: v for k, v in given.items() if k != "head"}}).model_dump()
    return Recipe.model_validate({**fields, "task": "match", "head": given["head"]})


def write_pairs(directory: Path, **options: Any) -> Path:
    """Store pairs as native JSON lines."""
    return write_jsonl(directory / "pairs.jsonl", pair_documents(**options))
