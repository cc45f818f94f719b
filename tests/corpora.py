"""Small data sets of our own for tests that train."""

from __future__ import annotations

import json
from pathlib import Path

from ie_cli.example import Entity, Example
from ie_cli.formats import FORMATS
from ie_cli.recipe import Recipe

PEOPLE = ["王伟", "李娜", "张敏敏", "陈晨", "Anna"]
PLACES = ["青川", "云州市", "东湖", "南岭县", "Wien"]


def examples(count: int = 20) -> list[Example]:
    """Sentences with nested entities, an empty one and one without annotation."""
    made = []
    for n in range(count):
        person, place = PEOPLE[n % 5], PLACES[n * 3 % 5]
        text = f"{person}在{place}大学读书，第{n}年。"
        at = len(person) + 1
        made.append(
            Example(
                text,
                [
                    Entity(0, len(person), "person"),
                    Entity(at, at + len(place), "place"),
                    Entity(at, at + len(place) + 2, "school"),
                ],
                id=n,
            )
        )
    made[3] = Example("今天下雨，没有人出门。", id=3)
    made[4] = Example("", id=4)
    return made


def write_jsonl(path: Path, data: list[Example]) -> Path:
    """Store examples as native JSON lines."""
    write = FORMATS["jsonl"].write
    assert write is not None
    path.write_text("".join(map(write, data)), encoding="utf-8")
    return path


def recipe(train: Path, **sections: dict[str, object]) -> Recipe:
    """A recipe that trains a tiny encoder in seconds."""
    fields: dict[str, dict[str, object]] = {
        "data": {"train": str(train), "dev": str(train)},
        "encoder": {"name": "tiny", "max_length": 64, "stride": 16},
        "head": {"name": "efficient_global_pointer", "head_size": 32},
        "training": {
            "epochs": 40,
            "batch_size": 8,
            "learning_rate": 2e-3,
            "head_learning_rate": 5e-3,
            "precision": "float32",
            "device": "cpu",
        },
    }
    for section, values in sections.items():
        fields[section] = {**fields[section], **values}
    return Recipe.model_validate({"name": "test", **fields})


def as_json(text: str) -> list[dict[str, object]]:
    """The objects of some JSON lines."""
    return [json.loads(line) for line in text.splitlines()]
