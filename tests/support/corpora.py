"""Small data sets of our own for tests that train."""

from __future__ import annotations

import json
from pathlib import Path

from ie_cli.document import Document, Entity, Relation
from ie_cli.formats import FORMATS
from ie_cli.recipe.heads import HEADS
from ie_cli.recipe.schema import Recipe

PEOPLE = ["王伟", "李娜", "张敏敏", "陈晨", "Anna"]
PLACES = ["青川", "云州市", "东湖", "南岭县", "Wien"]


def documents(count: int = 20) -> list[Document]:
    """Sentences with nested entities, an empty one and one without annotation."""
    made = []
    for n in range(count):
        person, place = PEOPLE[n % 5], PLACES[n * 3 % 5]
        text = f"{person}在{place}大学读书，第{n}年。"
        at = len(person) + 1
        made.append(
            Document(
                text,
                [
                    Entity(0, len(person), "person"),
                    Entity(at, at + len(place), "place"),
                    Entity(at, at + len(place) + 2, "school"),
                ],
                id=n,
            )
        )
    made[3] = Document("今天下雨，没有人出门。", id=3)
    made[4] = Document("", id=4)
    return made


def write_jsonl(path: Path, data: list[Document]) -> Path:
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
        "head": {"name": "efficient_global_pointer"},
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
    return Recipe.model_validate({"name": "test", **fields, "head": small(fields["head"])})


def small(head: dict[str, object]) -> dict[str, object]:
    """The fields of a head, with small vectors if it has any."""
    size = {"head_size": 32} if "head_size" in HEADS[str(head["name"])].section.model_fields else {}
    return {**size, **head}


def as_json(text: str) -> list[dict[str, object]]:
    """The objects of some JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def relation_documents(*, annotated: bool) -> list[Document]:
    """Sentences with two predicates on shared entities; `annotated`: with entities of their own."""
    made = []
    for n in range(20):
        person, place, other = PEOPLE[n % 5], PLACES[n * 3 % 5], PEOPLE[(n + 2) % 5]
        text = f"{person}在{place}大学读书，老师是{other}。第{n}年。"
        at = len(person) + 1
        back = text.index(other, at)
        student, school, teacher = (
            Entity(0, len(person), "person"),
            Entity(at, at + len(place) + 2, "school"),
            Entity(back, back + len(other), "person"),
        )
        relations = [Relation(student, "学校", school), Relation(student, "老师", teacher)]
        made.append(Document(text, [student, school, teacher] if annotated else [], relations, id=n))
    made[3] = Document("今天下雨，没有人出门。", id=3)
    return made


def relation_recipe(train_file: Path, **sections: dict[str, object]) -> Recipe:
    made = recipe(train_file).model_dump()
    made |= {"task": "relation", "head": small({"name": "gplinker", **sections.pop("head", {})})}
    for section, values in sections.items():
        made[section] = {**made[section], **values}
    return Recipe.model_validate(made)


def write_duie(path: Path) -> Path:
    """`relation_examples` in DuIE's layout, without offsets; one predicate has a slot."""
    write = FORMATS["duie"].write
    assert write is not None
    lines = []
    for document in relation_documents(annotated=False):
        fields = json.loads(write(document))
        fields["text"] += "2019年"
        for spo in fields["spo_list"]:
            if spo["predicate"] == "老师":
                spo["object"]["onDate"], spo["object_type"]["onDate"] = "2019年", "Date"
        lines.append(json.dumps(fields, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path
