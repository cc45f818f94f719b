"""CoNLL04 in its layouts and DuIE 2, against counts that share no code with the readers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.real import DATA, real

from ie_cli.document import Document
from ie_cli.formats import FORMATS, read_documents
from ie_cli.formats.common.base import Reading
from ie_cli.triples import locate, to_spos

pytestmark = pytest.mark.real

SPLITS = [("train", 922, 3377, 1283), ("dev", 231, 893, 343), ("test", 288, 1079, 422)]


def conll04(split: str) -> tuple[list[dict[str, Any]], list[Document]]:
    """Return the records of a split as they are in the file, and as they are read."""
    path = real(DATA, f"conll04/conll04_{split}.json")
    return json.loads(path.read_text("utf-8")), list(read_documents(str(path)))


def by_hand(record: dict[str, Any]) -> tuple[list[tuple[str, str]], list[tuple[str, str, str]]]:
    """Entities as (words, label), and relations between their words, by the BILOU letters alone."""
    entities, first = [], 0
    for n, tag in enumerate(record["tags"]):
        if tag[0] in "BU":
            first = n
        if tag[0] in "LU":
            entities.append((" ".join(record["tokens"][first : n + 1]), tag[2:]))
    relations = [(entities[r["head"]][0], r["type"], entities[r["tail"]][0]) for r in record["relations"]]
    return entities, relations


@pytest.mark.parametrize(("split", "sentences", "entities", "relations"), SPLITS)
def test_conll04_counts(split: str, sentences: int, entities: int, relations: int) -> None:
    raw, mine = conll04(split)
    for record, document in zip(raw, mine, strict=True):
        text = document.text
        named = [(text[e.start : e.end], e.label) for e in document.entities]
        related = [
            (text[r.subject.start : r.subject.end], r.predicate, text[r.object.start : r.object.end])
            for r in document.relations
        ]
        assert (named, related) == by_hand(record)
        assert (text.split(), document.id, document.meta) == (record["tokens"], record["orig_id"], {})
    found = sum(len(x.entities) for x in mine), sum(len(x.relations) for x in mine)
    assert (len(mine), *found) == (sentences, entities, relations)


def squeezed(document: Document, boundary: int) -> int:
    """A boundary, counted without spaces."""
    return len("".join(document.text[:boundary].split()))


def content(document: Document) -> tuple[Any, ...]:
    """An example without spaces and without the full stop of its last entity: one layout separates it from the word."""

    def span(start: int, end: int, label: str) -> tuple[int, int, str]:
        mention = document.text[start:end]
        stop = mention.endswith(".") and end == len(document.text)
        return squeezed(document, start), squeezed(document, end) - stop, label

    def of(entity: Any) -> tuple[int, int, str]:
        return span(entity.start, entity.end, entity.label)

    relations = sorted((of(r.subject), r.predicate, of(r.object)) for r in document.relations)
    return "".join(document.text.split()), sorted(map(of, document.entities)), relations


def test_the_table_and_the_columns_hold_the_same() -> None:
    _, table = conll04("test")
    reported: list[str] = []
    columns = list(read_documents(str(real(DATA, "conll04/multihead_test.txt")), detected=reported.append))
    assert reported == ["multihead"]
    other = {document.id: document for document in columns}
    assert len(other) == len(columns) == len(table)
    for document in table:
        document.relations.sort()
        other[document.id].relations.sort()
    equal = [document == other[document.id] for document in table]
    same = [content(document) == content(other[document.id]) for document in table]
    assert (sum(equal), sum(same)) == (216, 288)


@pytest.mark.parametrize("split", ["train", "dev", "test"])
@pytest.mark.parametrize("name", ["conll04", "conll04-table", "multihead", "triples"])
def test_conll04_is_read_as_it_was_written(name: str, split: str, tmp_path: Path) -> None:
    raw, mine = conll04(split)
    format = FORMATS[name]
    assert format.write is not None
    before, between, after = format.frame
    (tmp_path / "x").write_text(before + between.join(map(format.write, mine)) + after, encoding="utf-8")
    reported: list[str] = []
    back = list(read_documents(str(tmp_path / "x"), reading=Reading(report=reported.append)))
    for document in (*mine, *back):
        document.relations.sort()
    assert back == mine
    assert reported == []
    assert not any(value for document in mine for value in format.count_losses(document).values())
    if name == "conll04-table":
        assert json.loads((tmp_path / "x").read_text("utf-8")) == raw


DUIE2 = ("train_a", "train_b", "dev")


def duie2(name: str) -> tuple[list[dict[str, Any]], list[Document]]:
    """Return the records of a file as they are in it, and as they are read."""
    path = real(DATA, f"duie2/{name}.json")
    reported: list[str] = []
    mine = list(read_documents(str(path), detected=reported.append))
    assert reported == ["duie" if name in DUIE2 else "jsonl"]
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line], mine


def trimmed(value: Any) -> Any:
    """The same fields without whitespace at the ends of texts, as triples by text are read; two records have some."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return [trimmed(item) for item in value]
    return {name: trimmed(item) for name, item in value.items()}


@pytest.mark.parametrize(
    ("name", "sentences", "triples", "slots"),
    [("train_a", 5000, 8945, 348), ("train_b", 4398, 7999, 319), ("dev", 1000, 1771, 46)],
)
def test_duie2_counts(name: str, sentences: int, triples: int, slots: int) -> None:
    raw, mine = duie2(name)
    by_hand, found = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for record, document in zip(raw, mine, strict=True):
        text = record["text"]
        assert document.text == text
        for spo in trimmed(record["spo_list"]):
            objects = dict(spo["object"])
            by_hand[text, spo["subject"], spo["predicate"], objects.pop("@value")] += 1
            by_hand.update((text, spo["subject"], spo["predicate"], name, value) for name, value in objects.items())
        for triple in document.spos or []:
            found[text, triple.subject, triple.predicate, triple.object] += 1
            found.update((text, triple.subject, triple.predicate, *slot) for slot in triple.slots)
    assert found == by_hand
    lengths = Counter(map(len, by_hand.elements()))
    assert (len(mine), lengths[4], lengths[5]) == (sentences, triples, slots)


def test_duie2_test_data_have_texts_alone() -> None:
    raw, mine = duie2("test_unlabelled")
    assert [document.text for document in mine] == [record["text"] for record in raw]
    assert len(mine) == 1000
    assert not any(document.spos or document.relations for document in mine)


@pytest.mark.parametrize("name", DUIE2)
def test_duie2_is_read_as_it_was_written(name: str) -> None:
    raw, mine = duie2(name)
    write = FORMATS["duie"].write
    assert write is not None
    for record, document in zip(raw, mine, strict=True):
        back = json.loads(write(document))
        assert back == record | {"spo_list": trimmed(record["spo_list"])}


def test_duie2_triples_come_back_from_their_places() -> None:
    """Complex objects are put together by value: what that costs on all of the annotated data."""
    sentences = too_many = common = given = made = 0
    for name in DUIE2:
        for document in duie2(name)[1]:
            gold = set(document.spos or [])
            back = set(to_spos(document.text, locate(document.text, gold, "nearest").relations))
            sentences += 1
            too_many += bool(back - gold)
            common, given, made = common + len(back & gold), given + len(gold), made + len(back)
    assert sentences == 10_398
    assert too_many <= 3
    assert 2 * common / (given + made) > 0.999


def test_a_fifth_of_duie2s_triples_have_several_places() -> None:
    inside = several = 0
    for name in DUIE2:
        for document in duie2(name)[1]:
            located = locate(document.text, document.spos or [], "nearest")
            inside += located.triples - len(located.absent)
            several += located.ambiguous
    assert several / inside == pytest.approx(0.21, abs=0.01)
