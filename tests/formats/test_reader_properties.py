"""Arbitrary input bytes: examples whose entities match their text, bad lines, or an `IEError`; nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fuzz_targets import require_slices
from support.mutate import SAMPLES, mutate

from ie_cli.data.label_schema import read_schema
from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.formats import FORMATS, BadLine, Reading, Record, hub, read_records
from ie_cli.metrics.duie import read_aliases
from ie_cli.system.streams import open_input, read_lines

NAMES = [None, *FORMATS]
READINGS = st.builds(
    Reading,
    text_column=st.integers(-2, 3),
    label_columns=st.none() | st.lists(st.integers(-2, 4), max_size=2).map(tuple),
    joiner=st.sampled_from([None, "", " ", "_"]),
    mentions=st.sampled_from(["nearest", "first", "all"]),
    annotation=st.booleans(),
)
few = settings(max_examples=60)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bytes") / "data"


def require_valid(record: Record, place: str) -> None:
    if isinstance(record, BadLine):
        assert record.error.message.startswith(f"{place}:")
        assert record.error.hint
        assert len(record.error.message) < 1000 + len(place)
    else:
        require_slices(record)


def require_readable_or_error(file: Path, data: bytes, reader: Callable[[str], object]) -> None:
    """Read bytes; the only error may be an `IEError` that names the file and a remedy."""
    file.write_bytes(data)
    error: DataError | None = None
    try:
        reader(str(file))
    except DataError as caught:
        error = caught
    assert error is None or (error.hint and (str(file) in error.message or error.message.startswith("format ")))


def require_readable(file: Path, data: bytes, name: str | None, reading: Reading) -> None:
    def read_all(path: str) -> None:
        for record in read_records(path, format=name, reading=reading):
            require_valid(record, path)

    require_readable_or_error(file, data, read_all)


@pytest.mark.parametrize("name", NAMES)
@few
@given(data=st.binary(max_size=200) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes(file: Path, name: str | None, data: bytes) -> None:
    require_readable(file, data, name, Reading())


@pytest.mark.parametrize("name", NAMES)
@few
@given(seed=st.integers(0, 2**32), sample=st.sampled_from(SAMPLES), reading=READINGS)
def test_samples_that_were_damaged(file: Path, name: str | None, seed: int, sample: bytes, reading: Reading) -> None:
    require_readable(file, mutate(random.Random(seed), sample, SAMPLES), name, reading)


@few
@given(
    st.binary(max_size=100) | st.text(st.sampled_from('{}[]",: predicatsubjo_y@v\\ud8\n'), max_size=60).map(str.encode)
)
def test_any_schema_file(file: Path, data: bytes) -> None:
    require_readable_or_error(file, data, read_schema)


@few
@given(st.binary(max_size=100))
def test_any_file_of_aliases(file: Path, data: bytes) -> None:
    require_readable_or_error(file, data, read_aliases)


class Rows:
    """A dataset as the reader sees it."""

    def __init__(self, rows: list[dict[str, Any]], features: dict[str, Any]) -> None:
        self.rows, self.features = rows, features

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)


class Names:
    """The feature of a column of numbered tags."""

    names = ("O", "B-PER", "I-PER", "nonsense")


def of_rows(rows: list[dict[str, Any]], *, named: bool = False) -> list[Record]:
    features: dict[str, Any] = dict.fromkeys(name for row in rows for name in row)
    if named:
        features["ner_tags"] = Names()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "load_rows", lambda source, report: Rows(rows, features))
        return list(read_records("hub:x"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.binary(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["start", "end", "label", "text"]), inner)
    ),
    max_leaves=6,
)
TOKENS = st.lists(st.text(max_size=2) | st.none(), max_size=3) | VALUES
TAGS = st.lists(st.integers(-2, 5) | st.sampled_from(["O", "B-PER", "PER", ""]) | st.none(), max_size=3) | VALUES


@given(
    st.lists(st.fixed_dictionaries({"tokens": TOKENS, "ner_tags": TAGS}, optional={"id": VALUES}), max_size=2),
    st.booleans(),
)
def test_any_rows_of_tokens(rows: list[dict[str, Any]], named: bool) -> None:
    for record in of_rows(rows, named=named) if rows else []:
        require_valid(record, "hub:x")


@given(
    st.lists(
        st.fixed_dictionaries({"text": st.text(max_size=9)}, optional={"entities": VALUES, "id": VALUES}), max_size=2
    )
)
def test_any_rows_of_texts(rows: list[dict[str, Any]]) -> None:
    for record in of_rows(rows) if rows else []:
        require_valid(record, "hub:x")


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ([1, 9], "'ner_tags' must contain numbers below 4, the number of names in its ClassLabel feature, got 9"),
        ([1, -1], "'ner_tags' must contain numbers below 4, the number of names in its ClassLabel feature, got -1"),
        ([1, 3], 'expected a tag such as O or B-PER, got "nonsense"'),
        ([1], "got 2 tokens, but 1 tag in 'ner_tags'"),
        (None, "'ner_tags' must be a list, got null"),
    ],
)
def test_tags_without_a_name(tags: Any, words: str) -> None:
    good = {"tokens": ["Anna", "met"], "ner_tags": [1, 0]}
    document, bad = of_rows([good, {"tokens": ["Anna", "met"], "ner_tags": tags}], named=True)
    assert isinstance(document, Document)
    assert isinstance(bad, BadLine)
    assert bad.error.message.startswith(f"hub:x:2: {words}")
    assert "ClassLabel" in str(bad.error.hint)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"id": 1, "label": {"": {"a": [[0, 0]]}}}', "an entity's label must be a non-empty string, got ''"),
        ('{"id": null, "label": {"x": {"a": [[0, 0]]}}}', "no field 'text' (found: id, label)"),
    ],
)
def test_a_submission_needs_labels_and_an_id(line: str, words: str) -> None:
    [bad] = FORMATS["cluener"].read([(1, line)], "x", Reading())
    assert isinstance(bad, BadLine)
    assert bad.error.message == f"x:1: {words}"


PLACE = '"subject": {"start": 0, "end": 1, "label": "x"}, "object": {"start": 0, "end": 1, "label": "x"}'


@pytest.mark.parametrize(
    ("name", "line", "what"),
    [
        ("jsonl", '{"text": "ab", "relations": [{"predicate": "HALF", ' + PLACE + "}]}", "predicate"),
        ("cluener", '{"id": 1, "label": {"HALF": {"a": [[0, 0]]}}}', "label"),
        ("duie", '{"text": "ab", "spo_list": [{"subject": "a", "predicate": "p", "object": {"@value": "b", "HALF": "b"}}]}',
         "slot"),
        ("triples", '{"text": "ab", "triple_list": [["a", "HALF", "b"]]}', "predicate"),
        ("triples", '{"text": "ab", "relation_list": [{"subject": "a", "predicate": "HALF", "object": "b"}]}', "predicate"),
        ("triples", '{"text": "ab", "triple_list": [], "entity_list": [{"text": "a", "type": "HALF"}]}', "type"),
        ("conll04", '{"tokens": ["a"], "entities": [{"type": "x", "start": 0, "end": 1}], '
         '"relations": [{"type": "HALF", "head": 0, "tail": 0}]}', "predicate"),
        ("conll04", '{"tokens": ["a"], "tags": ["B-HALF"]}', "label"),
        ("bio-json", '{"tokens": ["a"], "ner_tags": ["B-HALF"]}', "label"),
        ("w2ner", '{"sentence": ["a"], "ner": [{"index": [0], "type": "HALF"}]}', "label"),
        ("duee", '{"text": "a", "event_list": [{"event_type": "HALF", "arguments": []}]}', "type"),
        ("uie", '{"content": "a", "prompt": "HALF", "result_list": []}', "prompt"),
        ("oneke", '{"text": "a", "entity": [{"entity": "a", "entity_type": "HALF"}]}', "label"),
        ("dygie", '{"sentences": [["a"]], "relations": [[[0, 0, 0, 0, "HALF"]]]}', "predicate"),
        ("oneie", '{"tokens": ["a"], "entity_mentions": [{"entity_type": "HALF", "start": 0, "end": 1}]}', "type"),
        ("multihead", "0\ta\tB-x\t['HALF']\t[0]", "predicate"),
    ],
)  # fmt: skip
def test_names_that_no_file_can_store(name: str, line: str, what: str) -> None:
    [bad] = FORMATS[name].read([(1, line.replace("HALF", r"\ud83d"))], "x", Reading())
    assert isinstance(bad, BadLine)
    assert bad.error.message.startswith("x:1: ")
    assert f"the {what} '\\ud83d' contains a lone surrogate" in bad.error.message
    [good] = FORMATS[name].read([(1, line.replace("HALF", r"\u4e2d"))], "x", Reading())
    assert isinstance(good, Document)


def test_columns_that_json_cannot_represent() -> None:
    write = FORMATS["jsonl"].write
    assert write is not None
    [record] = of_rows([{"text": "a", "image": b"\x89", "when": complex(1)}])
    assert isinstance(record, Document)
    assert json.loads(write(record))["image"] == "b'\\x89'"


def test_fields_of_another_format_do_not_replace_the_annotation() -> None:
    line = '{"text": "王伟", "spo_list": [], "label": {"x": {"伟": [[1, 1]]}}}'
    [document] = FORMATS["duie"].read([(1, line)], "x", Reading())
    write = FORMATS["cluener"].write
    assert isinstance(document, Document)
    assert write is not None
    assert json.loads(write(document)) == {"text": "王伟", "label": {}}


@pytest.mark.parametrize("spo_list", [[], [{"subject": "王", "predicate": "p", "object": "伟"}]])
@pytest.mark.parametrize("triples", [5, [], [{"subject": "x", "predicate": "q", "object": "y"}]])
def test_fields_of_another_format_are_not_read_as_triples(spo_list: Any, triples: Any) -> None:
    line = json.dumps({"text": "王伟", "spo_list": spo_list, "offsets": "guessed", "triples": triples, "x": 1})
    [document] = FORMATS["duie"].read([(1, line)], "x", Reading())
    write = FORMATS["jsonl"].write
    assert isinstance(document, Document)
    assert write is not None
    [back] = FORMATS["jsonl"].read([(1, write(document))], "x", Reading())
    assert isinstance(back, Document)
    assert (back.spos, back.relations, back.meta) == (document.spos, document.relations, {"x": 1})


@pytest.mark.parametrize("name", ["conll", "multihead"])
def test_labels_with_line_breaks_keep_columns_intact(name: str) -> None:
    document = Document("Ann met", [Entity(0, 3, "a\tb\r\nc")])
    write = FORMATS[name].write
    assert write is not None
    lines = write(document).removesuffix("\n").split("\n")
    [back] = FORMATS[name].read(enumerate(lines, 1), "x", Reading())
    assert isinstance(back, Document)
    assert back.entities == [Entity(0, 3, "a b  c")]
    assert FORMATS[name].count_losses(document)["labels that contain a tab or a line break get a space instead"] == 1


def test_errors_of_a_store_are_ours_and_those_of_its_user_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with fsspec.open("memory://ie-bad/x.jsonl", "wb") as out:
        out.write(b"{}\n")
    with pytest.raises(ValueError, match="mine"), open_input("memory://ie-bad/x.jsonl"):
        raise ValueError("mine")

    class Odd(Exception):
        pass

    def fail(*arguments: object, **options: object) -> None:
        raise Odd("no answer")

    monkeypatch.setattr(fsspec, "open", fail)
    with pytest.raises(DataError, match="memory://ie-bad/x.jsonl: no answer") as caught:
        list(read_lines("memory://ie-bad/x.jsonl"))
    assert "check the URL" in str(caught.value.hint)


def test_words_that_are_read_as_the_beginning_of_a_document_are_counted() -> None:
    reported = FORMATS["conll"].count_losses(Document("x -DOCSTART-y z"))
    assert reported["words that start with -DOCSTART- are read as the start of a document"] == 1
    assert not any(FORMATS["conll"].count_losses(Document("x -DOC y")).values())
