"""doccano: all exports of text projects, several users, and files that its importer accepts."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_documents import documents
from support.runner import ie, said
from support.tool_records import detected, error_of, read, read_one, written

from ie_cli.data.dataset import Split
from ie_cli.document import Document, Entity, Relation
from ie_cli.errors import DataError
from ie_cli.formats import FORMATS, BadLine, Reading, read_documents, read_records
from ie_cli.recipe.schema import DataSection

TEXT = "Anna met Bob"
ANNA, BOB = Entity(0, 4, "PER"), Entity(9, 12, "PER")


def span(entity: Entity, **more: Any) -> dict[str, Any]:
    return {"start_offset": entity.start, "end_offset": entity.end, "label": entity.label, **more}


ENTITIES = [span(ANNA, id=70), span(BOB, id=71)]
RELATED = {"id": 3, "text": TEXT, "entities": ENTITIES, "Comments": [{"id": 1, "comment": "?"}]}


@pytest.mark.parametrize("name", ["doccano", "jsonl"])
def test_relations_name_the_ids_of_entities(name: str) -> None:
    relation = {"id": 5, "from_id": 71, "to_id": 70, "type": "met", "score": 0.5, "note": "x"}
    records, said = read(name, RELATED | {"relations": [relation]})
    document = records[0]
    assert isinstance(document, Document)
    assert (document.entities, document.relations) == ([ANNA, BOB], [Relation(BOB, "met", ANNA)])
    assert (document.id, document.meta, document.related) == (3, {"Comments": [{"id": 1, "comment": "?"}]}, True)
    assert document.relations[0].score == 0.5
    dropped = "note 1" if name == "doccano" else "id 2, note 1"
    assert said == [f"fields of entities and relations that are not kept: {dropped}"]


@pytest.mark.parametrize(
    ("relation", "message"),
    [
        ({"from_id": 9, "to_id": 70, "type": "met"}, "a relation has from_id 9, which is the id of no entity"),
        ({"from_id": 70, "to_id": [71], "type": "met"}, "a relation has to_id [71], which is the id of no entity"),
        ({"from_id": 70, "to_id": 71}, "the type of a relation must be a non-empty string, got null"),
        ({"from_id": 70, "to_id": 71, "type": ""}, 'the type of a relation must be a non-empty string, got ""'),
        ({"from_id": 70, "to_id": 71, "type": "m", "score": "1"}, "a score must be a finite number"),
    ],
)
def test_a_wrong_relation_is_an_error(relation: dict[str, Any], message: str) -> None:
    assert message in error_of("doccano", RELATED | {"relations": [relation]})


def test_two_entities_with_one_id_are_an_error() -> None:
    relation = {"from_id": 70, "to_id": 70, "type": "met"}
    twice = [span(ANNA, id=70), span(BOB, id=70)]
    message = error_of("doccano", {"text": TEXT, "entities": twice, "relations": [relation]})
    assert "two entities have the id 70 | give each entity an" in message


def test_the_importer_finds_the_entities_of_each_relation() -> None:
    """It looks ids up by the id and the record (doccano's `Spans.id_to_span`), and takes integers only."""
    documents = [Document(TEXT, [ANNA, BOB], [Relation(a, "met", b)], id=7) for a, b in ((ANNA, BOB), (BOB, ANNA))]
    rows = [json.loads(written("doccano-relations", document)) for document in documents]
    spans = {(one["id"], number): one for number, row in enumerate(rows) for one in row["entities"]}
    assert len(spans) == 4
    assert all(type(key) is int for key, _ in spans)
    for number, (row, document) in enumerate(zip(rows, documents, strict=True)):
        [relation], [expected] = row["relations"], document.relations
        sides = [spans[relation[name], number]["start_offset"] for name in ("from_id", "to_id")]
        assert sides == [expected.subject.start, expected.object.start]


@pytest.mark.parametrize("name", ["label", "labels", "annotations"])
@pytest.mark.parametrize("text", ["text", "data"])
def test_spans_in_the_fields_of_all_versions(name: str, text: str) -> None:
    spans = [span(ANNA, user=1)] if name == "annotations" else [[0, 4, "PER"]]
    assert read_one("doccano", {text: TEXT, name: spans, "meta": {"a": 1}}) == Document(
        TEXT, [ANNA], meta={"meta": {"a": 1}}
    )
    assert read_one("doccano", {text: TEXT, name: []}) == Document(TEXT)
    assert read_one("doccano", {text: TEXT, name: spans}, annotation=False) == Document(TEXT)


def test_one_of_several_users_is_read_and_differences_are_counted() -> None:
    both = [span(ANNA, user=2), span(BOB, user=1), span(BOB, user=2)]
    same = [span(ANNA, user=2), span(ANNA, user=1)]
    numbers = [{"start_offset": 0, "end_offset": 4, "label": 12, "user": 7}]
    records, said = read("doccano", *({"text": TEXT, "annotations": spans} for spans in (both, same, numbers)))
    assert records == [
        Document(TEXT, [ANNA, BOB]),
        Document(TEXT, [ANNA]),
        Document(TEXT, [Entity(0, 4, "12")]),
    ]
    assert said == [
        "records annotated by several users, of which the first one listed is read: 2",
        "of these, records in which the others annotated differently: 1",
        "entities whose label is a number, which is read as text, because no label_config.json names it: 1",
    ]


def test_relations_that_doccano_did_not_export_are_an_error() -> None:
    """Versions without JSONL(Relation) wrote the names of the fields: doccano's issue 1795."""
    broken = {"id": 1, "data": TEXT, "label": ["relations", "entities"]}
    message = error_of("doccano", broken)
    assert message.startswith("'label' contains the names of fields instead of the annotation | ")
    assert "JSONL(Relation)" in message
    assert read_one("doccano", broken, annotation=False).text == TEXT


def test_spans_of_intent_detection_are_read_and_its_classes_kept() -> None:
    fields = {"id": 2, "text": TEXT, "cats": ["greet"], "entities": [[0, 4, "PER"]], "Comments": []}
    assert read_one("doccano", fields) == Document(TEXT, [ANNA], id=2, meta={"cats": ["greet"], "Comments": []})


def test_an_array_and_an_indented_object_are_read() -> None:
    records, _ = read("doccano", RELATED, RELATED, array=True)
    assert [record.entities for record in records if isinstance(record, Document)] == [[ANNA, BOB]] * 2
    assert detected(*json.dumps(RELATED, indent=4).splitlines()) == "doccano"


@pytest.mark.parametrize(
    ("fields", "format"),
    [
        (RELATED, "doccano"),
        ({"text": TEXT, "annotations": [span(ANNA, user=1)]}, "doccano"),
        ({"data": TEXT, "label": [[0, 4, "PER"]]}, "doccano"),
        ({"data": TEXT, "label": []}, "doccano"),  # nobody annotated the first text, or the texts of `unknown.jsonl`
        ({"data": TEXT, "label": ["entities"]}, "doccano"),  # an error of doccano
        ({"data": TEXT, "label": ["sport"]}, "jsonl"),  # a class of the text
        ({"text": TEXT, "label": [[0, 4, "PER"]]}, "jsonl"),  # read alike
        ({"text": TEXT, "entities": [span(ANNA)]}, "jsonl"),
        ({"text": TEXT, "entities": [], "relations": []}, "jsonl"),
    ],
)
def test_what_the_native_reader_would_not_read_is_detected(fields: dict[str, Any], format: str) -> None:
    assert detected(fields) == format


def test_the_forms_that_are_written() -> None:
    document = Document(TEXT, [ANNA], [Relation(ANNA, "met", BOB, 0.25)], id=4, meta={"label": 1, "source": "s"})
    assert json.loads(written("doccano", document)) == {
        "id": 4,
        "text": TEXT,
        "label": [[0, 4, "PER"]],
        "source": "s",
    }
    lost = FORMATS["doccano"].count_losses(document)
    assert sorted(lost.values()) == [1, 1, 1], lost  # the relation, its score, and the field named label
    assert json.loads(written("doccano-relations", document)) == {
        "id": 4,
        "text": TEXT,
        "entities": [span(ANNA, id=0), span(BOB, id=1)],
        "relations": [{"id": 0, "from_id": 0, "to_id": 1, "type": "met", "score": 0.25}],
        "label": 1,
        "source": "s",
    }
    assert FORMATS["doccano-relations"].count_losses(document) == {}


NUMBERED = {
    "id": 1,
    "text": TEXT,
    "annotations": [span(ANNA, user=1) | {"label": 12}, span(BOB, user=1) | {"label": 40}],
}
LABELS = [
    {
        "id": 12,
        "text": "PER",
        "prefix_key": None,
        "suffix_key": "p",
        "background_color": "#209cee",
        "text_color": "#ffffff",
    },
    {"id": 13, "text": "LOC"},
]


def test_labels_that_are_numbers_get_the_names_of_the_exported_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/admin.jsonl").write_text(json.dumps(NUMBERED) + "\n", encoding="utf-8")
    split = ("data/admin.jsonl",), DataSection(train="data/admin.jsonl")
    before = Split(*split).fingerprint
    Path("data/label_config.json").write_text(json.dumps(LABELS), encoding="utf-8-sig")
    assert Split(*split).fingerprint != before
    result = ie("convert", "data", "out.jsonl")
    assert result.exit_code == 0, said(result)
    assert [entity.label for entity in next(read_documents("out.jsonl")).entities] == ["PER", "40"]
    for line in (
        "data: not read as data: label_config.json (names of tags or labels)",
        "entities whose label is a number, with its name from label_config.json: 1",
        "entities whose label is a number, which is read as text, because no label_config.json names it: 1",
    ):
        assert line in said(result)


@pytest.mark.parametrize("content", ["[", '{"12": "PER"}', '[{"id": "12", "text": "PER"}, {"id": 12, "text": 3}, 12]'])
def test_another_file_with_the_name_of_the_labels_names_nothing(content: str, tmp_path: Path) -> None:
    (tmp_path / "admin.jsonl").write_text(json.dumps(NUMBERED) + "\n", encoding="utf-8")
    (tmp_path / "label_config.json").write_text(content, encoding="utf-8")
    [document] = read_documents(str(tmp_path / "admin.jsonl"))
    assert [entity.label for entity in document.entities] == ["12", "40"]


def characters(*some: Document, metadata: bool = True) -> str:
    """Return documents as the first versions of doccano exported them: `csv.writer` with its defaults, and no header."""
    out = io.StringIO(newline="")
    for document in some:
        rows = [[document.id, char, "O", *['{"a": 1}'] * metadata] for char in document.text]
        for entity in document.entities:
            for place in range(entity.start, entity.end):
                rows[place][2] = f"{'B' if place == entity.start else 'I'}-{entity.label}"
        csv.writer(out).writerows(rows)
    return out.getvalue()


def read_file(tmp_path: Path, content: str, **options: Any) -> tuple[list[Any], list[str]]:
    """Return the records of a file whose format is detected, and what was reported."""
    said, formats = list[str](), list[str]()
    (tmp_path / "x.csv").write_bytes(content.encode())
    reading = Reading(report=said.append, **options)
    records = list(read_records(str(tmp_path / "x.csv"), reading=reading, detected=formats.append))
    assert formats == ["doccano-csv"]
    return records, [line.removeprefix(f"{tmp_path / 'x.csv'}: ") for line in said]


@pytest.mark.parametrize("metadata", [True, False])
def test_rows_of_characters_are_detected_and_read(metadata: bool, tmp_path: Path) -> None:
    first = Document('\nA, "b"\r\tc', [Entity(1, 2, "PER"), Entity(2, 5, "per son")], id=7)
    other = Document("王伟 👩", [Entity(0, 1, "X"), Entity(1, 2, "X")], id=8)
    content = characters(first, other, metadata=metadata)
    for document in (first, other):
        document.meta = {"metadata": {"a": 1}} if metadata else {}
    assert read_file(tmp_path, content) == ([first, other], [])
    texts = [Document(one.text, id=one.id, meta=one.meta) for one in (first, other)]
    assert read_file(tmp_path, content, annotation=False)[0] == texts


@given(st.lists(documents().filter(lambda one: one.text != ""), max_size=3))
def test_any_text_comes_back_from_its_characters(some: list[Document]) -> None:
    flat = list[Document]()
    for id, one in enumerate(some):
        kept = list[Entity]()
        for entity in sorted(one.entities):
            if not kept or entity.start >= kept[-1].end:
                kept.append(entity)
        flat.append(Document(one.text, kept, id=id))
    lines = io.StringIO(characters(*flat, metadata=False), newline="\n")
    assert list(FORMATS["doccano-csv"].read(enumerate(lines, 1), "x", Reading())) == flat


def test_line_ends_that_were_converted_are_those_of_the_text(tmp_path: Path) -> None:
    [document], _ = read_file(tmp_path, '7,B,B-x,{}\r\n7,"\r\n",O,{}\r\n7,o,I-x,{}\r\n')
    assert (document.text, document.entities) == ("B\no", [Entity(0, 1, "x"), Entity(2, 3, "x")])


@pytest.mark.parametrize(
    ("row", "place"),
    [("7,Bo,O,{}", 2), ("7,,O,{}", 2), ("7,o,PER,{}", 2), ("7,o", 2), ("7,o,O,{},x", 2), ("7,B,O,{", 1)],
)
def test_a_document_with_a_wrong_row_is_a_bad_line(row: str, place: int, tmp_path: Path) -> None:
    rows = ["7,B,O,{}", row] if place == 2 else [row, "7,o,O,{}"]
    (tmp_path / "x.csv").write_text("\n".join([*rows, "8,c,B-x,{}", ""]))
    bad, good = read_records(str(tmp_path / "x.csv"), format="doccano-csv")
    assert isinstance(bad, BadLine)
    assert bad.error.message.startswith(f"{tmp_path / 'x.csv'}:{place}: ")
    assert bad.error.hint
    assert isinstance(good, Document)
    assert good.text == "c"


def test_a_tag_that_continues_nothing_is_counted(tmp_path: Path) -> None:
    [document], said = read_file(tmp_path, "7,B,I-x,{}\n7,o,O,{}\n")
    assert document.entities == [Entity(0, 1, "x")]
    assert len(said) == 1
    assert "1 tag" in said[0]


@pytest.mark.parametrize(
    "lines", [("1,Ann,O", "1,met,O"), ("1,a,b", "2,b,b"), ("a,b,O", "a,c,O"), ("1,a,O,x,y",), ("id,word,tag", "1,a,O")]
)
def test_other_tables_are_no_rows_of_characters(lines: tuple[str, ...]) -> None:
    try:
        found = detected(*lines)
    except DataError:
        return
    assert found != "doccano-csv"


@pytest.mark.parametrize("row", ["8,a,person,{}", "8,ab,O,{}", "8,a"])
@pytest.mark.parametrize("before", [0, 3])
def test_a_wrong_row_among_the_first_is_named(row: str, before: int, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = [f"7,{character},O,{{}}" for character in ('""""', '"\n"', "b")[:before]]
    path.write_text("\n".join([*rows, row, "8,c,B-x,{}", "8,d,O,{}", ""]))
    with pytest.raises(DataError, match="most of the first rows are a character with its tag") as caught:
        list(read_records(str(path)))
    assert caught.value.message.startswith(f"{path}:{before + (before > 1) + 1}: the format cannot be detected")
    assert str(caught.value.hint).endswith("data.format in the recipe to doccano-csv.")
