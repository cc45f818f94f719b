"""Records whose annotation has another name or form than the native one: read if there is one meaning, otherwise an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.document import Document, Entity, Relation
from ie_cli.errors import DataError
from ie_cli.formats import FORMATS, BadLine, Reading, Record, read_documents, read_records

TEXT = "Anna met Bob"
ANNA = Entity(0, 4, "PER")
NATIVE = {"start": 0, "end": 4, "label": "PER"}


def read(*records: dict[str, Any], name: str = "jsonl", annotation: bool = True) -> tuple[list[Record], list[str]]:
    """Return the records, and what was reported."""
    said: list[str] = []
    lines = [(number, json.dumps(record)) for number, record in enumerate(records, 1)]
    return list(FORMATS[name].read(lines, "x", Reading(report=said.append, annotation=annotation))), said


def read_one(name: str = "jsonl", **fields: Any) -> Document:
    [record], _ = read({"text": TEXT, **fields}, name=name)
    assert isinstance(record, Document), record
    return record


def error_of(name: str = "jsonl", **fields: Any) -> tuple[str, str]:
    [record], _ = read({"text": TEXT, **fields}, name=name)
    assert isinstance(record, BadLine), record
    return record.error.message.removeprefix("x:1: "), str(record.error.hint)


@pytest.mark.parametrize(
    "entity",
    [
        [0, 4, "PER"],
        {"start": 0, "end": 4, "type": "PER"},
        {"start": 0, "end": 4, "tag": "PER"},
        {"start": 0, "end": 4, "label": None, "entity_type": "PER"},
        {"start_offset": 0, "end_offset": 4, "label": "PER"},
        {"start_char": 0, "end_char": 4, "label": "PER"},
        {"start_idx": 0, "end_idx": 3, "type": "PER", "entity": "Anna"},  # the first edition of CMeEE
        {"start_idx": 0, "end_idx": 4, "type": "PER", "entity": "Anna"},  # the second one
        {"start_idx": 0, "end_idx": 4, "label": "PER", "text": "Anna"},
        {"start": 0, "end": 4, "label": "PER", "type": "span"},  # Prodigy
    ],
)
def test_an_entity_in_the_form_of_other_tools(entity: Any) -> None:
    assert read_one(entities=[entity]).entities == [ANNA]
    bob = {"start": 9, "end": 12, "label": "PER"}
    [relation] = read_one(relations=[{"subject": entity, "predicate": "met", "object": bob}]).relations
    assert relation == Relation(ANNA, "met", Entity(9, 12, "PER"))


@pytest.mark.parametrize("name", ["label", "labels", "spans", "Entities", "entites", "ner", "annotations", "ENTITIES"])
@pytest.mark.parametrize("entity", [[0, 4, "PER"], NATIVE, {"start_offset": 0, "end_offset": 4, "label": "PER"}])
def test_entities_under_another_common_name(name: str, entity: Any) -> None:
    records, said = read({"text": TEXT, name: [entity], "note": 1}, {"text": TEXT, name: []})
    assert records == [Document(TEXT, [ANNA], meta={"note": 1}), Document(TEXT)]
    assert said[0] == f"x: records with the entities in the field '{name}': 2 of 2"


@pytest.mark.parametrize("fields", [{"label": [[0, 4, "PER"]]}, {"spans": [NATIVE]}, {"annotations": [{"result": []}]}])
def test_an_empty_list_of_entities_makes_all_other_fields_user_fields(fields: dict[str, Any]) -> None:
    assert read_one(entities=[], **fields) == Document(TEXT, meta=fields)


@pytest.mark.parametrize("fields", [{"label": [[0, 4, "PER"]]}, {"gold": [NATIVE]}, {"annotations": [{"result": []}]}])
def test_fields_of_texts_to_predict_are_the_users(fields: dict[str, Any]) -> None:
    records, said = read({"text": TEXT, **fields}, annotation=False)
    assert (records, said) == ([Document(TEXT, meta=fields)], [])


@pytest.mark.parametrize("value", [["sport"], "sport", 3, {"sport": 1, "news": 0}, None, True])
def test_classes_of_a_text_are_user_fields_and_the_missing_entities_are_counted(value: Any) -> None:
    records, said = read({"text": TEXT, "labels": value}, {"text": TEXT, "entities": []})
    assert records == [Document(TEXT, meta={"labels": value}), Document(TEXT)]
    assert said == ["x: records without a field 'entities', which count as texts without entities: 1 of 2"]


@pytest.mark.parametrize(
    ("fields", "message", "hint"),
    [
        ({"gold": [[0, 4, "PER"]]}, "no field 'entities', but 'gold' has the form of entities", "rename it to 'entities'"),
        ({"annotations": [{"result": []}]}, "no field 'entities', and 'annotations' has a form", '"entities": [{'),
        ({"ner_tags": ["B-PER", "O", "O"]}, "no field 'entities', and 'ner_tags' has a form that is not read", '"entities": [{'),
        ({"label": {"PER": {"Anna": [[0, 3]]}}}, "no field 'entities', and 'label' has a form", "file as cluener"),
        ({"ner": {"PER": ["Anna"]}}, "no field 'entities', and 'ner' has a form that is not read", "rename 'ner'"),
        ({"spo_list": [{}]}, "no field 'entities', but 'spo_list', which belongs to the format duie", "as duie"),
        ({"label": [[0, 4, "P"]], "spans": [[0, 4, "P"]]}, "no field 'entities', and several fields could be", "rename"),
        ({"spans": [NATIVE], "answer": "reject"}, "the annotator's answer to 'spans' is 'reject'", 'select(.answer == "accept")'),
        ({"entities": [["PER", 0, 4]]}, "an entity must be an object with start, end and label", "[start, end, label]"),
        ({"entities": [{"start": 0, "end": 4, "lable": "P"}]}, "an entity lacks label: ", "rename 'lable' to 'label'"),
        ({"entities": [{"begin": 0, "end": 4, "label": "P"}]}, "an entity lacks start: ", "start_offset"),
        ({"entities": [{"start": 0, "end": 4, "type": "A", "tag": "B"}]}, "'type' and 'tag' of an entity could both", "'label'"),
        ({"entities": [{"start_idx": 0, "end_idx": 3, "type": "P"}]}, "'end_idx' of an entity may be", "mention"),
        ({"entities": [{"start_idx": 0, "end_idx": 2, "type": "P", "entity": "Anna"}]}, "entity 'P' covers characters 0-2", ""),
        ({"tokens": TEXT.split(), "entities": [{"start": 0, "end": 1, "type": "P"}]}, "the offsets in 'entities' may count",
         "its text too"),
        ({"entities": [NATIVE], "relation": [{"a": 1}]}, "no field 'relations', but 'relation'", "rename it to 'relations'"),
        ({"entities": [NATIVE], "links": [{"subject": NATIVE, "predicate": "met", "object": NATIVE}]},
         "no field 'relations', but 'links' could contain them", "rename it to 'relations'"),
        ({"entities": [NATIVE], "triples": [["Anna", "met", "Bob"]]}, "no field 'relations', but 'triples' could contain",
         'write "relations": [{"subject": ENTITY'),
        ({"entities": [NATIVE], "triple_list": [["Anna", "met", "Bob"]]}, "no field 'relations', but 'triple_list' could",
         'add "relations": []'),
    ],
)  # fmt: skip
def test_anything_else_is_an_error_that_names_the_field_and_the_remedy(
    fields: dict[str, Any], message: str, hint: str
) -> None:
    got, remedy = error_of(**fields)
    assert got.startswith(message)
    assert hint in remedy


def test_tokens_next_to_entities_with_their_texts_or_native_fields_leave_no_doubt() -> None:
    tokens = TEXT.split()
    assert read_one(tokens=tokens, entities=[NATIVE]).entities == [ANNA]
    assert read_one(tokens=tokens, entities=[{"start": 0, "end": 4, "type": "PER", "text": "Anna"}]).entities == [ANNA]


def test_a_record_with_another_annotation_may_have_any_user_field() -> None:
    document = read_one(relations=[], gold=[[0, 4, "PER"]])
    assert document == Document(TEXT, meta={"gold": [[0, 4, "PER"]]})
    assert read_one(text_pair="b", gold=[NATIVE]).meta == {"gold": [NATIVE]}


def test_fields_that_are_not_kept_and_missing_relations_are_counted() -> None:
    bob = {"start": 9, "end": 12, "label": "PER", "id": 7}
    relation = {"subject": NATIVE, "predicate": "met", "object": bob, "evidence": []}
    _, said = read({"text": TEXT, "entities": [bob], "relations": [relation]}, {"text": TEXT, "entities": []})
    assert said == [
        "x: records without a field 'relations', which count as texts without relations: 1 of 2",
        "x: fields of entities and relations that are not kept: id 2, evidence 1",
    ]


@pytest.mark.parametrize(
    ("name", "fields", "wanted"),
    [
        ("duie", {"spos": [{"subject": "Anna"}]}, "spo_list"),
        ("duie", {"triple_list": [["a", "p", "b"]]}, "spo_list"),
        ("duie1", {"entities": [NATIVE]}, "spo_list"),
        ("cluener", {"entities": [NATIVE]}, "label"),
        ("cluener", {"labels": {"PER": {}}}, "label"),
        ("triples", {"spo_list": [{}]}, "triple_list"),
        ("triples", {"triples": [["a", "p", "b"]]}, "triple_list"),
    ],
)
def test_other_formats_expect_their_field_too(name: str, fields: dict[str, Any], wanted: str) -> None:
    message, hint = error_of(name, **fields)
    assert message.startswith(f"no field '{wanted}', ")
    assert next(iter(fields)) in message
    assert hint
    records, said = read({"text": TEXT}, {"text": TEXT, wanted: {} if name == "cluener" else []}, name=name)
    assert [isinstance(record, Document) for record in records] == [True, True]
    assert [line for line in said if f"without a field '{wanted}'" in line] == said[-1:] != []
    assert "1 of 2" in said[-1]
    assert read({"text": TEXT, **fields}, name=name, annotation=False)[1] == []


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"id": "4", "sentence": "Anna met Bob"}, "jq -c '.text = .[\"sentence\"]' IN > OUT"),
        ({"Text": "Anna", "content": "Anna met Bob"}, "jq -c '.text = .[\"Text\"]' IN > OUT"),
        ({"data": [{"text": "Anna"}]}, "jq -c '.[\"data\"][]' IN > OUT"),
        ({"n": 3}, 'give each record a field "text".'),
        ({"path": "a/b.txt", "annotations": [{"result": 1}]}, 'give each record a field "text".'),
    ],
)
def test_the_hint_about_a_missing_text_names_a_field_that_exists(fields: dict[str, Any], hint: str) -> None:
    [bad], _ = read(fields)
    assert isinstance(bad, BadLine)
    assert str(bad.error.hint).endswith(hint)


RECORDS = [
    {"text": TEXT, "entities": [NATIVE], "id": 1},
    {"text": "", "entities": []},
    {"text": "b", "entities": [], "x": [{}]},
]
LAYOUTS = {"jsonl": {"entities": []}, "cluener": {"label": {}}, "duie": {"spo_list": []}}


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("given_format", ["jsonl", None])
def test_native_records_in_an_array(indent: int | None, given_format: str | None, tmp_path: Path) -> None:
    lines, array = tmp_path / "lines.jsonl", tmp_path / "array.json"
    lines.write_text("".join(json.dumps(record) + "\n" for record in RECORDS), encoding="utf-8")
    array.write_text("\n" + json.dumps(RECORDS, indent=indent), encoding="utf-8")
    assert list(read_documents(array, format=given_format)) == list(read_documents(lines))


@pytest.mark.parametrize("name", LAYOUTS)
def test_indented_records_and_arrays_of_each_format(name: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    record = {"text": TEXT, "note": {"a": [1]}, **LAYOUTS[name]}
    for text in (json.dumps(record, indent=1) * 2, json.dumps([record, record]), f"[\n{json.dumps(record)}\n]"):
        file.write_text(text, encoding="utf-8")
        documents = list(read_documents(file, format=name))
        assert len(documents) == text.count(TEXT)
        assert {document.text for document in documents} == {TEXT}
        assert all(document.meta == {"note": {"a": [1]}} for document in documents)


@given(
    st.lists(st.sampled_from(['{"text": "a", "entities": [', "{", '{"text": "b"', "nonsense"]), min_size=1, max_size=3)
)
def test_a_damaged_first_line_does_not_swallow_the_lines_after_it(broken: list[str]) -> None:
    lines = [*broken[:1], json.dumps(RECORDS[0]), *broken[1:], json.dumps(RECORDS[1])]
    found = list(FORMATS["jsonl"].read(enumerate(lines, 1), "x", Reading()))
    assert [isinstance(record, BadLine) for record in found] == [line in broken for line in lines]


def test_a_line_of_an_array_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    """Without it, the record would lose a field."""
    file = tmp_path / "x.json"
    file.write_bytes(b'[\n{"text": "a",\n"note": "\xe9",\n"entities": []}\n]\n')
    for name in ("jsonl", None):
        with pytest.raises(DataError, match=r"x.json:3: byte 10 .* is not UTF-8"):
            list(read_records(str(file), format=name))


def test_empty_relations_are_written_as_they_were_read() -> None:
    write = FORMATS["jsonl"].write
    assert write is not None
    assert json.loads(write(read_one(entities=[], relations=[]))) == {"text": TEXT, "entities": [], "relations": []}
    assert "relations" not in json.loads(write(read_one(entities=[])))


def test_entities_beside_the_triples_of_duie_are_counted() -> None:
    """The format locates the mentions of triples in the text and reads no entities."""
    spo = {"subject": "Anna", "predicate": "met", "object": "Bob"}
    records = [
        {"text": TEXT, "entities": [NATIVE], "spo_list": [spo]},
        {"text": TEXT, "entities": [], "spo_list": [spo]},
    ]
    _, said = read(*records, name="duie")
    assert "x: records with 'entities', which this format does not read: 1 of 2" in said


@pytest.mark.parametrize(
    ("fields", "listed"),
    [
        ({"text_pair": 3, "label": "1"}, "text_pair 1"),
        ({"text_pair": "b", "label": 1}, "label 1"),
        ({"text_pair": "b", "score": "high"}, "score 1"),
        ({"text_pair": "b", "score": float("nan"), "label": ["1"]}, "label 1, score 1"),
        ({"text_pair": "b", "label": None, "score": None}, ""),
        ({"text_pair": "b", "label": ""}, ""),
        ({"text_pair": None, "label": 3}, ""),
        ({"label": 3, "score": "high", "entities": []}, ""),
    ],
)
def test_the_label_of_a_pair_that_is_not_read_is_reported(fields: dict[str, Any], listed: str) -> None:
    """Such a pair has no label and is not learned; the fields are kept as user fields."""
    [record], said = read({"text": TEXT, **fields})
    assert isinstance(record, Document)
    found = [line.partition("finite number: ")[2] for line in said if "fields of pairs that are not read" in line]
    assert found == ([listed] if listed else [])
    _, said = read({"text": TEXT, **fields}, annotation=False)
    assert said == []
