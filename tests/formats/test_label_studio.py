"""Label Studio: regions, relations, several annotations, units of offsets, JSON-MIN, and tasks that its importer accepts."""

from __future__ import annotations

import csv
import io
import json
from typing import Any
from xml.etree import ElementTree

import pytest
from support.tool_records import detected, error_of, read, read_one, written

from ie_cli.document import Document, Entity, Relation
from ie_cli.errors import DataError
from ie_cli.formats import FORMATS, BadLine, Reading, Record
from ie_cli.formats.label_studio_writer import configuration

TEXT = "Anna met Bob"
ANNA, BOB = Entity(0, 4, "PER"), Entity(9, 12, "PER")
EMOJI = "😀 Anna met 👩 Bob"


def region(
    text: str, start: int, end: int, *labels: str, by: int = 0, id: str = "", kind: str = "labels"
) -> dict[str, Any]:
    """The region of some characters, whose offsets are `by` higher."""
    value = {"start": start + by, "end": end + by, "text": text[start:end], kind: list(labels)}
    return {"id": id or f"{start}", "from_name": "label", "to_name": "text", "type": kind, "value": value}


A, B = region(TEXT, 0, 4, "PER", id="a"), region(TEXT, 9, 12, "PER", id="b")


def relation(direction: str | None = "right", *labels: str, to: str = "b") -> dict[str, Any]:
    fields: dict[str, Any] = {"type": "relation", "from_id": "a", "to_id": to, "labels": list(labels)}
    return fields | ({} if direction is None else {"direction": direction})


def task(*results: dict[str, Any], text: str = TEXT, **fields: Any) -> dict[str, Any]:
    return {"id": 5, "data": {"text": text}, "annotations": [{"result": list(results)}]} | fields


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (relation("right", "met"), [Relation(ANNA, "met", BOB)]),
        (relation(None, "met"), [Relation(ANNA, "met", BOB)]),
        (relation("left", "met"), [Relation(BOB, "met", ANNA)]),
        (relation("bi", "met"), [Relation(ANNA, "met", BOB), Relation(BOB, "met", ANNA)]),
        (relation("right", "met", "saw"), [Relation(ANNA, "met", BOB), Relation(ANNA, "saw", BOB)]),
        (relation("right"), [Relation(ANNA, "relation", BOB)]),
        (relation("right", "met", to="c"), []),
    ],
)
def test_relations_have_directions_and_labels(given: dict[str, Any], expected: list[Relation]) -> None:
    records, said = read("label_studio", task(given, A, B))
    document = records[0]
    assert isinstance(document, Document)
    assert (document.id, document.entities, document.relations) == (5, [ANNA, BOB], expected)
    told = {0: ["relations of regions that are not read: 1"], 1: []}[bool(expected)]
    assert said == (["relations without a label, whose predicate is 'relation': 1"] if not given["labels"] else told)


@pytest.mark.parametrize("array", [True, False])
def test_a_region_may_have_several_labels_or_none(array: bool) -> None:
    records, said = read("label_studio", task(region(TEXT, 0, 4, "PER", "VIP"), region(TEXT, 9, 12)), array=array)
    assert records == [Document(TEXT, [ANNA, Entity(0, 4, "VIP")], id=5)]
    assert said == ["regions without a label: 1"]


def annotation(*results: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"result": list(results), **fields}


@pytest.mark.parametrize(
    ("annotations", "expected", "different"),
    [
        ([annotation(A, updated_at="2026-01-02"), annotation(B, updated_at="2026-01-01")], [ANNA], 1),
        ([annotation(A, updated_at="2026-01-01"), annotation(B, updated_at="2026-01-02")], [BOB], 1),
        ([annotation(A, ground_truth=True, updated_at="1"), annotation(B, updated_at="2")], [ANNA], 1),
        ([annotation(A, id=1), annotation(B, id=2), annotation(A, id=3)], [ANNA], 1),
        ([annotation(A), annotation(A)], [ANNA], 0),
        ([annotation(A), annotation({"type": "labels", "value": {"start": 0, "end": 99, "labels": ["x"]}})], [ANNA], 1),
    ],
)
def test_one_of_several_annotations_is_read(annotations: Any, expected: list[Entity], different: int) -> None:
    records, said = read("label_studio", task(annotations=annotations))
    assert [record.entities for record in records if isinstance(record, Document)] == [expected]
    assert said[0] == "tasks with several annotations, of which one is read: 1"
    assert said[1:] == ["of these, tasks whose annotations differ: 1"] * different


def test_tasks_without_annotation_are_predictions_or_skipped_and_counted() -> None:
    tasks = [
        task(annotations=[annotation(A, was_cancelled=True)], predictions=[annotation(B)]),
        task(annotations=[], predictions=[annotation(A, created_at="1"), annotation(B | {"score": 0.5}, created_at="2"), 7]),
        task(annotations=[], predictions=[3]),
        task(completions=[annotation(A)], annotations=None),
    ]  # fmt: skip
    records, said = read("label_studio", *tasks)
    assert records == [Document(TEXT, [BOB], id=5), Document(TEXT, [ANNA], id=5)]
    assert isinstance(records[0], Document)
    assert records[0].entities[0].score == 0.5
    assert said == [
        "annotations that were cancelled, which are not read: 1",
        "tasks without any other annotation, which are skipped: 1",
        "tasks without annotation, which are read from their predictions: 1",
        "tasks without annotation and prediction, which are skipped: 1",
    ]
    assert read("label_studio", *tasks, annotation=False) == ([Document(TEXT, id=5)] * 4, [])


def test_offsets_count_characters_or_utf16_units_as_the_texts_show() -> None:
    new = task(region(EMOJI, 2, 6, "PER"), region(EMOJI, 13, 16, "PER"), text=EMOJI)
    old = task(region(EMOJI, 2, 6, "PER", by=1), region(EMOJI, 13, 16, "PER", by=2), text=EMOJI)
    expected = [Entity(2, 6, "PER"), Entity(13, 16, "PER")]
    assert read("label_studio", new) == ([Document(EMOJI, expected, id=5)], [])
    records, said = read("label_studio", old)
    assert records == [Document(EMOJI, expected, id=5)]
    assert said == ["regions whose offsets count UTF-16 units, which are converted: 2"]


def test_a_region_without_a_text_counts_what_the_others_count() -> None:
    bare = region(EMOJI, 13, 16, "PER", by=2)
    del bare["value"]["text"]
    records, said = read("label_studio", task(region(EMOJI, 2, 6, "PER", by=1), bare, text=EMOJI))
    assert records == [Document(EMOJI, [Entity(2, 6, "PER"), Entity(13, 16, "PER")], id=5)]
    assert "whose offsets are read as UTF-16 units: 1" in said[1]
    bare["value"] |= {"start": 13, "end": 16}
    records, said = read("label_studio", task(bare, text=EMOJI))
    assert records == [Document(EMOJI, [Entity(13, 16, "PER")], id=5)]
    assert "whose offsets are read as characters: 1" in said[0]


def test_line_breaks_in_the_text_of_a_region_may_be_escaped() -> None:
    text = "Anna\nBell  met"
    found = region(text, 0, 9, "PER")
    found["value"]["text"] = "Anna\\nBell"
    spaced = region(text, 5, 14, "EVENT")
    spaced["value"]["text"] = "Bell met"
    assert read_one("label_studio", task(found, spaced, text=text)).entities == [
        Entity(0, 9, "PER"),
        Entity(5, 14, "EVENT"),
    ]


def test_notes_are_counted() -> None:
    noted = {"meta": {"text": ["sure?"]}}
    _, said = read("label_studio", task(A | noted, B, relation("right", "met") | noted, **noted), task(A))
    assert said == ["fields 'meta' of tasks, regions and relations, which are not kept: 3"]


def test_results_that_are_no_spans_of_the_text_are_counted() -> None:
    hyper = {"start": "/p[1]/text()[1]", "end": "/p[1]/text()[1]", "hypertextlabels": ["PER"], "text": "Anna"}
    results = [
        A,
        {"type": "choices", "id": "a", "value": {"choices": ["good"]}},
        {"type": "hypertextlabels", "value": hyper | {"globalOffsets": {"start": 0, "end": 4}}},
        {"type": "hypertextlabels", "value": hyper | {"globalOffsets": {"start": 3, "end": 7}}},
        {"type": "labels", "value": {"start": 0.5, "end": 1.5, "labels": ["sound"]}},
        {"type": "paragraphlabels", "value": {"start": "0", "startOffset": 0, "paragraphlabels": ["PER"]}},
    ]
    records, said = read("label_studio", task(*results))
    assert records == [Document(TEXT, [ANNA], id=5)]
    [line] = said
    assert line.startswith("results that are no labelled spans of a text (")
    assert line.endswith(": 4")
    assert "choices 1" in line
    assert "hypertextlabels 1" in line


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (task(region(TEXT, 0, 4, "PER", by=1)), "covers characters 1-5, which are 'nna ', but its text is 'Anna'"),
        (task(data={"audio": 3}), "no field of 'data' is a text"),
        (task(data={"turns": [{"text": "a"}]}), "dialogues cannot be read"),
        (task(data={"a": "x", "b": "y"}), "several fields of 'data' could be the text: \"a, b\""),
        ({"data": {"text": TEXT}, "annotations": [7]}, "'annotations' must be a list of objects with their results"),
        (task(annotations=[{"result": {}}]), "'result' must be a list"),
        (task(annotations=[{"result": [3]}]), "a result must be an object, got 3"),
        (task(A | {"value": A["value"] | {"labels": "PER"}}), "'labels' of a region must be a list of labels"),
        (task(A, B, relation("up", "met")), "the direction of a relation must be one of right, left, bi"),
        (task(A, B, relation("right") | {"labels": "met"}), "'labels' of a relation must be a list of texts"),
    ],
)  # fmt: skip
def test_a_wrong_task_is_an_error(given: dict[str, Any], message: str) -> None:
    assert message in error_of("label_studio", given)


@pytest.mark.parametrize("more", [{"source": "$body"}, {"to_name": "body"}, {"to_name": "x"}])
def test_the_text_is_the_field_that_the_regions_name_or_fit(more: dict[str, Any]) -> None:
    document = read_one("label_studio", task(A | more, data={"title": "Meeting", "body": TEXT, "id": "d1"}))
    assert document == Document(TEXT, [ANNA], id="d1", meta={"title": "Meeting"})


def minimal(*regions: dict[str, Any], id: int = 3, at: str = "2026-01-01") -> dict[str, Any]:
    fields = {"id": id, "text": TEXT, "desk": 4, "annotator": 1, "annotation_id": 9, "updated_at": at, "lead_time": 2.5}
    return fields | {"label": [found["value"] for found in regions]}


def test_json_min_is_read_with_its_annotators() -> None:
    records, said = read(
        "label_studio",
        minimal(A, at="2027-01-01"),
        minimal(B),
        minimal(A, B, id=4),
        {**minimal(id=6), "label": []},
        array=True,
    )
    meta = {"desk": 4}
    assert records[:2] == [Document(TEXT, [ANNA], id=3, meta=meta), Document(TEXT, [ANNA, BOB], id=4, meta=meta)]
    assert [record.entities for record in records[2:] if isinstance(record, Document)] == [[]]
    assert said[:2] == [
        "tasks with several annotations, of which one is read: 1",
        "of these, tasks whose annotations differ: 1",
    ]


@pytest.mark.parametrize(
    ("fields", "format"),
    [
        (task(A), "label_studio"),
        ({"data": {"text": TEXT}}, "label_studio"),
        (minimal(A), "label_studio"),
        ({"text": TEXT, "data": {"a": 1}, "entities": []}, "jsonl"),
    ],
)
def test_its_exports_are_detected(fields: dict[str, Any], format: str) -> None:
    assert detected(json.dumps([fields])) == format
    assert detected(*json.dumps([fields], indent=2).splitlines()) == format


def test_tasks_have_predictions_that_fit_the_configuration() -> None:
    entity = Entity(2, 6, "PER", 0.5)
    document = Document(
        EMOJI, [entity], [Relation(entity, 'a "b" <c', Entity(13, 16, "X & Y"), 1.0)], id="d", meta={"source": 1}
    )
    [found] = json.loads(written("label_studio", document))
    assert found["data"] == {"text": EMOJI, "id": "d", "source": 1}
    [prediction] = found["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("ie", 0.75)
    first, second, related = prediction["result"]
    assert first["value"] == {"start": 2, "end": 6, "text": "Anna", "labels": ["PER"]}
    assert (first["score"], related["labels"]) == (0.5, ['a "b" <c'])
    assert (related["from_id"], related["to_id"], related["direction"]) == (first["id"], second["id"], "right")
    assert FORMATS["label_studio"].count_losses(document) == {}
    view = ElementTree.fromstring(configuration(["PER", "X & Y"], ['a "b" <c']))
    assert [label.get("value") for label in view.iter("Label")] == ["PER", "X & Y"]
    assert [label.get("value") for label in view.iter("Relation")] == ['a "b" <c']
    assert {first["from_name"]} == {tag.get("name") for tag in view.iter("Labels")}
    assert (
        {first["to_name"]}
        == {tag.get("name") for tag in view.iter("Text")}
        == {tag.get("toName") for tag in view.iter("Labels")}
    )
    assert {tag.get("value") for tag in view.iter("Text")} == {"$text"}


def table(*rows: dict[str, Any], separator: str = ",", ends: str = "\r\n") -> str:
    """Return a table as Label Studio exports it: sorted columns, text in quotes, regions as JSON."""
    names = sorted(
        {name for row in rows for name in row} | {"annotator", "annotation_id", "created_at", "updated_at", "lead_time"}
    )
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, names, quoting=csv.QUOTE_NONNUMERIC, delimiter=separator, lineterminator=ends)
    writer.writeheader()
    for row in rows:
        cells = {name: json.dumps(value) if isinstance(value, list) else value for name, value in row.items()}
        writer.writerow(cells)
    return out.getvalue()


def read_table(content: str, **options: Any) -> tuple[list[Record], list[str]]:
    """Return the records of a table, which must be detected, and what was reported."""
    lines = list(enumerate(io.StringIO(content, newline="\n"), 1))
    assert detected(*(line.rstrip("\r\n") for _, line in lines)) == "label_studio-csv"
    said = list[str]()
    reading = Reading(report=said.append, **options)
    return list(FORMATS["label_studio-csv"].read(lines, "x", reading)), [line.removeprefix("x: ") for line in said]


@pytest.mark.parametrize("separator", [",", "\t"])
def test_its_tables_are_read_as_json_min(separator: str) -> None:
    rows = [
        minimal(A, at="2027-01-01") | {"desk": "4"},
        minimal(B) | {"desk": "4"},
        minimal(A, B, id=4) | {"desk": "x"},
        {name: value for name, value in minimal(id=6).items() if name not in ("label", "desk")},
    ]
    found, said = read_table(table(*rows, separator=separator))
    assert (found, said) == read("label_studio", *rows, array=True)
    assert [len(one.entities) for one in found if isinstance(one, Document)] == [1, 2, 0]
    texts, _ = read_table(table(*rows, separator=separator), annotation=False)
    assert texts == read("label_studio", *rows, array=True, annotation=False)[0]


def test_line_ends_and_long_texts_in_a_table_are_kept() -> None:
    long = TEXT + "\r\n\n" + 200_000 * "x"
    found, _ = read_table(table(minimal(A) | {"text": long, "desk": ""}))
    assert found == [Document(long, [ANNA], id=3)]


def test_a_wrong_row_of_a_table_is_a_bad_line() -> None:
    good = table(minimal(A))
    found, _ = read_table(good + "1,2\n" + table(minimal(B, id=5)).split("\n", 1)[1])
    [first, bad, last] = found
    assert isinstance(bad, BadLine)
    assert bad.error.message.startswith("x:3: expected 9 columns, got 2")
    assert [one.id for one in (first, last) if isinstance(one, Document)] == [3, 5]
    with pytest.raises(DataError, match="lacks columns of an export"):
        list(FORMATS["label_studio-csv"].read([(1, "id,text\n")], "x", Reading()))


def test_a_table_without_a_labelled_span_is_another_table() -> None:
    fields = {**minimal(), "label": [{"choices": ["good"]}], "entities": "[]"}
    assert detected(*table(fields).splitlines()) == "csv"


def test_a_table_whose_first_spans_come_late_is_an_export() -> None:
    lines = table(*(minimal(id=number) | {"desk": ""} for number in range(500)), minimal(A, id=500)).splitlines(True)
    assert not any("[{" in line for line in lines[:400])
    found, _ = read_table("".join(lines))
    assert [len(one.entities) for one in found if isinstance(one, Document)] == [0] * 500 + [1]
