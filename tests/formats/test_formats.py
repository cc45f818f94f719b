"""Native JSON Lines, CLUENER, plain text, and the detection of formats; columns are in test_conll.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_documents import JSON_TEXT, entities, native_documents

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.formats import FORMATS, BadLine, Reading, Record, find_format, read_documents, read_records

SAMPLES = Path(__file__).parent.parent.parent / "data" / "samples"


def read(name: str, *lines: str, reading: Reading | None = None) -> list[Record]:
    return list(FORMATS[name].read(enumerate(lines, 1), "data.jsonl", reading or Reading()))


def read_one(name: str, line: str) -> Document:
    [record] = read(name, line)
    assert isinstance(record, Document), record
    return record


def written(name: str, document: Document) -> str:
    write = FORMATS[name].write
    assert write is not None
    return write(document)


@given(native_documents())
def test_native_documents_are_read_as_they_were_written(document: Document) -> None:
    line = written("jsonl", document)
    assert line.count("\n") == 1
    back = read_one("jsonl", line[:-1])
    assert back == document
    assert [entity.score for entity in back.entities] == [entity.score for entity in document.entities]
    assert [event.score for event in back.events] == [event.score for event in document.events]
    assert written("jsonl", back) == line
    assert FORMATS["jsonl"].count_losses(document) == {}


def test_equal_spans_keep_their_scores() -> None:
    document = Document("ab", [Entity(0, 1, "x", 0.25), Entity(0, 1, "y", 0.75)])
    assert [e.score for e in read_one("jsonl", written("jsonl", document)).entities] == [0.25, 0.75]


@given(st.data())
def test_cluener_examples_are_read_as_they_were_written(data: st.DataObject) -> None:
    text = data.draw(JSON_TEXT)
    some = data.draw(st.sets(entities(text), max_size=5)) if text else set()
    document = Document(text, sorted(some), meta=data.draw(st.just({}) | st.just({"source": "mine"})))
    back = read_one("cluener", written("cluener", document)[:-1])
    assert sorted(back.entities) == document.entities
    assert (back.text, back.id, back.meta) == (text, None, document.meta)


def test_cluener_is_inclusive_and_a_mention_may_have_several_spans() -> None:
    line = '{"text": "云州的云州", "label": {"address": {"云州": [[0, 1], [3, 4]]}}}'
    document = read_one("cluener", line)
    assert document.entities == [Entity(0, 2, "address"), Entity(3, 5, "address")]
    assert json.loads(written("cluener", document)) == json.loads(line)


def test_an_id_makes_a_submission() -> None:
    document = Document("云州大学", [Entity(0, 2, "address", 0.9)], id=7, meta={"source": "mine"})
    line = written("cluener", document)
    assert json.loads(line) == {"id": 7, "label": {"address": {"云州": [[0, 1]]}}}
    back = read_one("cluener", line)  # has no text: the gold data have it
    assert (back.id, back.text, back.entities) == (7, "", [Entity(0, 2, "address")])
    assert read_one("cluener", '{"id": 7, "text": "云州大学"}').entities == []


def test_plain_text_keeps_every_line() -> None:
    assert read("text", "a ", "", "\t中") == [Document("a "), Document(""), Document("\t中")]


TEXT9 = "Anna 在👩云州"  # code points: Anna 0-4, 在 5, 👩 6, 云州 7-9


def native(*entity: Any, **fields: Any) -> str:
    given = [dict(zip(("start", "end", "label", "text"), entity, strict=False))] if entity else []
    return json.dumps({"text": TEXT9, "entities": given} | fields, ensure_ascii=False)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"not valid JSON: .*"),
        ("nonsense", r"not valid JSON: .*"),
        ("[1]", r"expected a JSON object, got an array"),
        ("null", r"expected a JSON object, got null"),
        ("3", r"expected a JSON object, got a number"),
        ("[" * 100_000, r"not valid JSON: .*"),
        ('{"txt": "a", "x": 1}', r"no field 'text' \(found: txt, x\)"),
        ("{}", r"no field 'text' \(found: nothing\)"),
        ('{"text": 3}', r"'text' must be a string, got 3"),
        ('{"text": null}', r"'text' must be a string, got null"),
        ('{"text": "a", "id": 1.5}', r"'id' must be a string or an integer, got 1\.5"),
        ('{"text": "a", "id": true}', r"'id' must be a string or an integer, got true"),
        ('{"text": "a", "entities": {}}', r"'entities' must be a list, got \{\}"),
        ('{"text": "a", "entities": [["x", 0, 1]]}', r"an entity must be an object .*, got \[\"x\", 0, 1\]"),
        ('{"text": "a", "entities": [{"start": 0}]}', r"an entity lacks end, label: \{\"start\": 0\}"),
        (native(0, 4, ""), r"an entity's label must be a non-empty string, got ''"),
        (native(0, 4, 5), r"an entity's label must be a non-empty string, got 5"),
        (native("0", 4, "p"), r"entity 'p': start must be an integer, got '0'"),
        (native(0, 4.0, "p"), r"entity 'p': end must be an integer, got 4\.0"),
        (native(False, 4, "p"), r"entity 'p': start must be an integer, got False"),
        (native(4, 0, "p"), r"entity 'p' covers characters 4-0: it ends before it starts"),
        (native(4, 4, "p"), r"entity 'p' covers characters 4-4: it is empty"),
        (native(-1, 4, "p"), r"entity 'p' covers characters -1-4, but the text has 9"),
        (native(0, 10, "p"), r"entity 'p' covers characters 0-10, but the text has 9"),
        (native(0, 3, "p", "Anna"), r".* are 'Ann', but its text is 'Anna' \(its end seems to be inclusive\)"),
        (native(8, 10, "p", "云州"), r".* but the text has 9 \(its offsets seem to count UTF-16 units\)"),
        (native(12, 18, "p", "云州"), r".* but the text has 9 \(its offsets seem to count UTF-8 bytes\)"),
        (native(0, 4, "p", "Anne"), r".* are 'Anna', but its text is 'Anne'"),
        ('{"text": "a", "entities": [{"start": NaN, "end": 1, "label": "x"}]}', r".*start must be an integer, got nan"),
        ('{"text": "a", "entities": [{"start": 0, "end": 1, "label": "x", "score": "1"}]}', r"a score must be .* \"1\""),
        ('{"text": "a", "relations": [{"subject": 1}]}', r"a relation must be an object with .*"),
        (
            '{"text": "a", "relations": [{"subject": {}, "predicate": "", "object": {}}]}',
            r"a predicate must be a non-empty string, got \"\"",
        ),
    ],
)  # fmt: skip
def test_a_bad_native_line_is_reported_with_its_place(line: str, message: str) -> None:
    first, bad, last = read("jsonl", '{"text": "one"}', line, '{"text": "two"}')
    assert (first, last) == (Document("one"), Document("two"))
    assert isinstance(bad, BadLine)
    assert (bad.where, bad.raw) == ("data.jsonl:2", line)
    import re

    assert re.fullmatch("data.jsonl:2: " + message, bad.error.message), bad.error.message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "云州", "label": []}', None),
        ('{"text": "云州", "label": ["x"]}', "'label' must map labels to objects"),
        ('{"text": "云州", "label": {"x": [[0, 1]]}}', "'label' must map labels to objects"),
        ('{"text": "云州", "label": {"x": {"云州": [0, 1]}}}', "the spans of '云州' must be a list of [start, end]"),
        ('{"text": "云州", "label": {"x": {"云州": [[0, "1"]]}}}', "the end of '云州' must be an integer, got '1'"),
        ('{"text": "云州", "label": {"x": {"云州": [[0, 2]]}}}', "covers characters 0-3, but the text has 2"),
        ('{"text": "云州城", "label": {"x": {"云州": [[0, 2]]}}}', "are '云州城', but its text is '云州'"),
        ('{"id": 1, "label": {"x": {"云州": [[1, 0]]}}}', "[1, 0] of '云州' is not a span"),
        ('{"label": {"x": {"云州": [[0, 1]]}}}', "no field 'text' (found: label)"),
    ],
)
def test_a_bad_cluener_line_is_reported_with_its_place(line: str, message: str | None) -> None:
    [record] = read("cluener", line)
    if message is None:
        assert isinstance(record, Document)
        return
    assert isinstance(record, BadLine)
    assert record.error.message.startswith("data.jsonl:1: ")
    assert message in record.error.message


@given(st.text(max_size=60) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_line_is_an_example_or_a_bad_line(line: str) -> None:
    for name in ("jsonl", "cluener"):
        for record in read(name, line):
            assert isinstance(record, (Document, BadLine))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["start", "end", "label", "text", "云"]), inner)
    ),
)


@given(
    st.dictionaries(
        st.sampled_from(["id", "text", "entities", "relations", "label", "text_pair", "score"]), JSON_VALUES
    )
)
def test_any_object_is_an_example_or_a_bad_line(fields: dict[str, Any]) -> None:
    for name in ("jsonl", "cluener"):
        [record] = read(name, json.dumps(fields))
        if isinstance(record, Document) and record.text:
            assert all(0 <= e.start < e.end <= len(record.text) for e in record.entities)


@pytest.mark.parametrize(
    ("name", "format", "documents", "count"),
    [
        ("ner.jsonl", "jsonl", 3, 7),
        ("ner.jsonl.gz", "jsonl", 3, 7),
        ("ner.cluener.json", "cluener", 3, 6),
        ("ner.conll", "conll", 2, 3),
        ("nested.tsv", "conll", 2, 3),
        ("bmes.conll", "conll", 2, 3),
        ("relations.duie.json", "duie", 3, 0),
        ("triples.json", "triples", 3, 0),
        ("relations.tplinker.json", "triples", 2, 4),
        ("relations.conll04.json", "conll04", 2, 5),
        ("relations.multihead.txt", "multihead", 2, 3),
        ("pairs.tsv", "pairs", 3, 0),
        ("pairs.csv", "pairs", 3, 0),
        ("pairs.jsonl", "pairs-json", 3, 0),
        ("tags.json", "bio-json", 2, 2),
        ("nested.w2ner.json", "w2ner", 2, 3),
        ("ner.cmeee.json", "jsonl", 2, 2),
        ("documents.dygie.json", "dygie", 1, 3),
        ("mentions.oneie.json", "oneie", 1, 2),
        ("lists.oneke.json", "oneke", 2, 3),
        ("prompts.uie.json", "uie", 2, 3),
        ("events.duee.json", "duee", 2, 6),
        ("characters.doccano.csv", "doccano-csv", 2, 4),
        ("label_studio.csv", "label_studio-csv", 2, 2),
    ],
)
def test_samples_are_detected_and_read(name: str, format: str, documents: int, count: int) -> None:
    reported: list[str] = []
    found = list(read_documents(str(SAMPLES / name), detected=reported.append))
    assert reported == [format]
    assert all(document.text[e.start : e.end].strip() for document in found for e in document.entities)
    assert (len(found), sum(len(document.entities) for document in found)) == (documents, count)


def test_every_sample_is_here() -> None:
    tested = {"ner.jsonl", "ner.jsonl.gz", "ner.cluener.json", "ner.conll", "nested.tsv", "bmes.conll"}
    tested |= {"plain.txt", "plain-en.txt"}
    tested |= {
        "relations.duie.json",
        "triples.json",
        "relations.tplinker.json",
        "relations.conll04.json",
        "relations.multihead.txt",
    }
    tested |= {"pairs.tsv", "pairs.csv", "pairs.jsonl"}
    tested |= {
        "tags.json",
        "nested.w2ner.json",
        "ner.cmeee.json",
        "documents.dygie.json",
        "mentions.oneie.json",
        "lists.oneke.json",
        "prompts.uie.json",
        "events.duee.json",
    }
    tested |= {"characters.doccano.csv", "label_studio.csv"}
    tested |= {"people.label_studio.json", "people.doccano.jsonl"}  # the page on annotation tools
    tested |= {"relations.doccano.jsonl", "label_studio.json", "prodigy.jsonl", "spacy.json", "spacy-paragraphs.json"}
    assert {path.name for path in SAMPLES.iterdir()} == tested


@pytest.mark.parametrize(
    ("content", "format"),
    [
        ('\n\n{"text": "a"}', "jsonl"),
        ('{"broken": \n{"text": "a", "label": {}}', "cluener"),
        ('{"broken": \n', "jsonl"),
        ('{"text": "a", "label": "spam"}', "jsonl"),
        ("# text\nAnna B-PER\n", "conll"),
        ("EU\tNNP\tB-NP\tB-ORG\n\n", "conll"),
        ("-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\n", "conll"),
    ],
)
def test_the_format_is_detected_from_the_first_lines(tmp_path: Path, content: str, format: str) -> None:
    (tmp_path / "x").write_text(content, encoding="utf-8")
    reported: list[str] = []
    list(read_records(str(tmp_path / "x"), detected=reported.append))
    assert reported == [format]


def test_unknown_data_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("Plain words.\n")
    with pytest.raises(DataError, match="the format cannot be detected from the first line: 'Plain words.'") as caught:
        list(read_records(str(tmp_path / "x")))
    assert "data.format in the recipe" in str(caught.value.hint)
    (tmp_path / "x.csv").write_text("name,value\nPlain words.,a\n")
    with pytest.raises(DataError, match="the format cannot be detected") as caught:
        list(read_records(str(tmp_path / "x.csv")))
    assert "a table needs a first line with the names of its columns" in str(caught.value.hint)
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match="empty: the file is empty"):
        list(read_records(str(tmp_path / "empty")))


def test_an_unknown_format_gets_a_suggestion() -> None:
    with pytest.raises(DataError, match=r"unknown format 'conl'; did you mean 'conll'\?"):
        find_format("conl")


def test_the_hint_for_an_output_lists_what_can_be_written() -> None:
    with pytest.raises(DataError, match="unknown format 'xml'") as caught:
        find_format("xml", written=True)
    assert caught.value.hint is not None
    assert "html" in caught.value.hint
    assert "text" not in caught.value.hint
    assert "document" not in caught.value.hint


def test_the_first_bad_line_stops_reading_examples(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n{"text": 1}\n{"text": "b"}\n')
    stream = read_documents(str(tmp_path / "x.jsonl"))
    assert next(stream).where == f"{tmp_path / 'x.jsonl'}:1"
    with pytest.raises(DataError, match=r"x\.jsonl:2: 'text' must be a string"):
        next(stream)


def test_a_byte_order_mark_and_windows_line_ends_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n\r\n{"text": "b"}\r\n')
    assert [document.text for document in read_documents(str(tmp_path / "x.jsonl"))] == ["a", "b"]
    (tmp_path / "x.conll").write_bytes(b"\xef\xbb\xbfAnna B-PER\r\nmet O\r\n\r\n")
    [document] = read_documents(str(tmp_path / "x.conll"))
    assert (document.text, document.entities) == ("Anna met", [Entity(0, 4, "PER")])
    assert [e.text for e in read_documents(str(tmp_path / "x.conll"), format="text")] == ["Anna B-PER", "met O", ""]
