"""Records of JSON files in every layout: the same objects, the right lines, in a stream, at linear cost."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats import BadLine
from ie_cli.formats.common.detect import detect, peek
from ie_cli.formats.common.json_stream import FoundObject, read_objects, read_records

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters() | st.sampled_from('"\\{}[]:,\ud800\u2028👩中\n\r\t'), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=4), VALUES, max_size=4), max_size=5)


def found(text: str) -> list[FoundObject]:
    return list(read_objects(enumerate(text.split("\n"), 1), "x"))


def outcomes(text: str) -> list[tuple[str, Any]]:
    """Return places, and objects or the messages of errors."""
    return [(where, got.message if isinstance(got, DataError) else got) for where, _, got in found(text)]


@given(OBJECTS, st.sampled_from([None, 0, 1, 2, "\t"]), st.booleans(), st.sampled_from(["\n", "\n\n", " ", ""]))
def test_every_layout_gives_the_same_objects(
    objects: list[dict[str, Any]], indent: int | str | None, ascii_: bool, gap: str
) -> None:
    shown = [json.dumps(value, indent=indent, ensure_ascii=ascii_) for value in objects]
    array = json.dumps(objects, indent=indent, ensure_ascii=ascii_)
    for text in (gap.join(shown), array, "[\n" + ",\n".join(shown) + "\n]\n", "[" + " ,".join(shown) + "]"):
        records = found(text)
        assert [fields for _, _, fields in records] == objects
        assert [json.loads(raw) for _, raw, _ in records] == objects


@given(OBJECTS, st.sampled_from([None, 0, 2]))
def test_the_place_of_a_record_is_its_first_line(objects: list[dict[str, Any]], indent: int | None) -> None:
    shown = [json.dumps(value, indent=indent) for value in objects]
    line, places = 2, []
    for text in shown:
        places.append(f"x:{line}")
        line += text.count("\n") + 1
    assert [where for where, _, _ in found("[\n" + ",\n".join(shown) + "\n]")] == places


def test_places_of_records_that_share_a_line() -> None:
    text = '[{"a": 1}, {"a": 2},\n{"a": 3}]\n{"a": 4}{"a":\n5} {"a": 6}\n{"a": 7}'
    places = ["x:1 (record 1)", "x:1 (record 2)", "x:2", "x:3 (record 1)", "x:3 (record 2)", "x:4", "x:5"]
    assert outcomes(text) == [(place, {"a": n}) for n, place in enumerate(places, 1)]


def test_raw_is_the_text_of_the_record_alone() -> None:
    text = '[\n  {\n    "a": {"b": 1}\n  },\n{"c": []} ,\n]'
    assert [raw for _, raw, _ in found(text)] == ['{\n    "a": {"b": 1}\n  }', '{"c": []}']


def test_big_numbers_and_halves_of_surrogate_pairs() -> None:
    text = '[\n{"n": 123456789012345678901234567890, "s": "\\ud800"},\n{"n":\n1}]'
    assert outcomes(text)[0] == ("x:2", {"n": 123456789012345678901234567890, "s": "\ud800"})


def short_message(message: str) -> str:
    """Return a message without the words of the JSON library, which differ between versions of Python."""
    return re.sub(r"not valid JSON: .* \(line (\d+), column (\d+)\)", r"not valid at \1:\2", message)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # lines
        ('{"a": 1}\nspam and eggs\n{"a": 2}', ["x:1", "x:2 not valid at 2:1", "x:3"]),
        ('{"a": 1}\n  {"a": spam}\n{"a": 2}', ["x:1", "x:2 not valid at 2:9", "x:3"]),
        ('{"a": "1}\n{"a": 2}', ["x:1 not valid at 1:7", "x:2"]),
        ('{"a": 1\n{"a": 2}', ["x:1 not valid at 1:8", "x:2"]),
        ('{"a": [1}\n{"a": 2}', ["x:1 not valid at 1:9", "x:2"]),
        ('{"a": 1}]\n{"a": 2}', ["x:1 (record 1)", "x:1 (record 2) not valid at 1:9", "x:2"]),
        ("3\n{}", ["x:1 expected a JSON object, got a number", "x:2"]),
        # a line end in a string
        ('{"a": "1\n1", "b": 2}\n{"a": 2}', ["x:1 not valid at 1:7", "x:3"]),
        # an array on one line
        ('[{"a": 1}, {"a": spam}, {"a": 2}]', ["x:1 (record 1)", "x:1 (record 2) not valid at 1:18", "x:1 (record 3)"]),
        # an indented array
        ('[\n  {\n    "a": 1,\n    b\n  },\n  {\n    "a": 2\n  }\n]', ["x:2 not valid at 4:5", "x:6"]),
        ('[\n  {\n    "a": [\n      1\n  },\n  {\n    "a": 2\n  }\n]', ["x:2 not valid at 5:3", "x:6"]),
        ('[\n  {\n    "a": 1,\n  {\n    "a": 2\n  }\n]', ["x:2 not valid at 3:12", "x:4"]),
        ('[\n  {\n    "a": "1\n  },\n  {\n    "a": 2\n  }\n]', ["x:2 not valid at 3:10", "x:5"]),
        ('[\n  {\n    "l": [\n      {"a": 1}\n      {"a": 2}\n    ]\n  },\n  {\n    "a": 2\n  }\n]',
         ["x:2 not valid at 5:7", "x:8"]),
        ('[{\n  "a": ]\n}, {\n  "a": 2\n}]', ["x:1 not valid at 2:8", "x:3"]),
        # files that are cut off
        ('[\n{"a": 1},\n', ["x:2", "x:1 the array that starts here does not end"]),
        ('[\n{"a": 1},\n{"a":', ["x:2", "x:3 not valid at 3:6"]),
        ("", []),
        ("\n \n[ ]\n", []),
    ],
)  # fmt: skip
def test_a_broken_record_is_reported_and_reading_resumes(text: str, expected: list[str]) -> None:
    got = [f"{where} {short_message(what)}" if isinstance(what, str) else where for where, what in outcomes(text)]
    assert got == expected
    assert all(error.hint for _, _, error in found(text) if isinstance(error, DataError))


def test_other_values_in_an_array_are_reported() -> None:
    places = [f"x:1 (record {n})" for n in range(1, 6)]
    kinds = [f"expected a JSON object, got {kind}" for kind in ("a number", "a string", "an array")]
    assert outcomes('[{"a": 1}, 7, "b, c", [{}], {"a": 2}]') == list(
        zip(places, [{"a": 1}, *kinds, {"a": 2}], strict=True)
    )


@given(st.text(st.sampled_from('{}[]",:\\ \n1a\t'), max_size=40))
def test_any_text_is_objects_and_errors(text: str) -> None:
    for where, _, got in found(text):
        assert isinstance(got, (dict, DataError))
        assert where.startswith("x:")


@given(OBJECTS.filter(bool), st.data())
def test_good_records_after_a_damaged_one_are_read(objects: list[dict[str, Any]], data: st.DataObject) -> None:
    indent = data.draw(st.sampled_from([None, 2]))
    shown = [json.dumps([value], indent=indent)[1:-1].strip("\n") for value in objects]
    bad = data.draw(st.sampled_from(['{"a": }', '{"a": "', '{"a": 1', '{"a": [1}', "spam"]))
    at = data.draw(st.integers(0, len(objects)))
    shown[at:at] = ["  " * (indent is not None) + bad]
    records = [fields for _, _, fields in found("[\n" + ",\n".join(shown) + "\n]")]
    assert isinstance(records[at], DataError)
    del records[at]
    assert records == objects


def test_reading_is_a_stream() -> None:
    taken = 0

    def lines() -> Iterator[tuple[int, str]]:
        nonlocal taken
        yield 1, "["
        for number in range(2, 10**9):
            taken = number
            yield number, ("  {", '    "a": [1,', "    2]", "  },")[(number - 2) % 4]

    records = list(islice(read_objects(lines(), "x"), 1000))
    assert [fields for _, _, fields in records] == [{"a": [1, 2]}] * 1000
    assert taken == 4001


@pytest.mark.parametrize("text", ["[" * 100_000, '[{"a": ' * 50_000, '{"a": ' * 50_000 + "\n{}"])
def test_deep_nesting_is_an_error(text: str) -> None:
    assert any(isinstance(fields, DataError) for _, _, fields in found(text))


@pytest.mark.slow
@pytest.mark.parametrize("gap", [" ", "\n"])
def test_cost_is_linear(gap: str) -> None:
    def seconds(count: int) -> float:
        record = "{" + gap.join(['"tokens": [', *['"ab\\"c",'] * 20, '"x"', "]}"])
        lines = list(enumerate(f"[{gap}{f',{gap}'.join([record] * count)}{gap}]".split("\n"), 1))
        start = time.process_time()
        assert sum(isinstance(fields, dict) for _, _, fields in read_objects(lines, "x")) == count
        return time.process_time() - start

    seconds(100)
    assert seconds(8000) < 40 * seconds(800) + 0.2  # 100 if the cost of a record depended on its position


@pytest.mark.slow
def test_one_record_of_many_lines_costs_no_more_than_its_lines() -> None:
    lines = [(1, "{"), *((number, f'"{number}": {{"a": 1}},') for number in range(2, 100_000)), (100_000, '"x": 1}')]
    start = time.process_time()
    [(where, _, fields)] = read_objects(lines, "x")
    assert (where, len(fields) if isinstance(fields, dict) else fields) == ("x:1", 99_999)
    assert time.process_time() - start < 5


def test_records_and_their_errors() -> None:
    def convert(fields: dict[str, Any], where: str) -> Document:
        if "text" not in fields:
            raise DataError("no text", hint="give one.")
        return Document(fields["text"], where=where)

    lines = enumerate(['[{"text": "a"},', "{", '"x": 1}, spam]'], 1)
    document, bad, worse = read_records(lines, "x", convert)
    assert isinstance(document, Document)
    assert (document.text, document.where) == ("a", "x:1")
    assert isinstance(bad, BadLine)
    assert (bad.where, bad.raw) == ("x:2", '{\n"x": 1}')
    assert (bad.error.message, bad.error.hint) == ("x:2: no text", "give one.")
    assert isinstance(worse, BadLine)
    assert short_message(worse.error.message) == "x:3: not valid at 3:10"


TRIPLES = {"text": "a", "triple_list": [], "note": {"label": {}}}
SPERT = {"tokens": ["a"], "entities": [{"type": "X", "start": 0, "end": 1}], "relations": []}
NATIVE = {"text": "a", "entities": [{"start": 0, "end": 1, "label": "X"}], "relation_list": []}


@pytest.mark.parametrize(
    ("fields", "format"),
    [
        (TRIPLES, "triples"),
        ({"text": "a", "relation_list": [{"subject": "a"}], "entity_list": []}, "triples"),
        ({"sentText": "a", "relationMentions": []}, "triples"),
        (SPERT, "conll04"),
        ({"tokens": ["a"], "tags": ["O"]}, "conll04"),
        ({"text": "a", "spo_list": []}, "duie"),
        ({"text": "a", "label": {"X": {"a": [[0, 0]]}}}, "cluener"),
        (NATIVE, "jsonl"),
        ({**SPERT, "text": "a"}, "jsonl"),
        ({"tokens": ["a"]}, "jsonl"),
        ({"text": "a"}, "jsonl"),
    ],
)
@pytest.mark.parametrize("indent", [None, 0, 2, "\t"])
@pytest.mark.parametrize("array", [False, True])
def test_the_first_object_determines_the_format(
    fields: dict[str, Any], format: str, indent: int | str | None, array: bool
) -> None:
    text = "\n" + json.dumps([fields] * 3 if array else fields, indent=indent)
    lines = list(enumerate(text.split("\n") + ([] if array else text.split("\n")), 1))
    stream = iter(lines)
    head = peek(stream)
    assert detect(head, "x") == format
    own = json.dumps(fields, indent=indent).count("\n") + 1
    assert len(head) <= own + 2  # the empty line, and the bracket of the array
    assert [*head, *stream] == lines


@pytest.mark.parametrize(
    ("text", "format", "taken"),
    [
        ('{"text": "a"}\n{"text": "b"}', "jsonl", 1),
        ('{"broken":\n{"text": "a", "triple_list": []}\n{}', "triples", 2),
        ('[\n{"broken": spam},\n{"tokens": [], "tags": []},\n', "conll04", 3),
        ("#doc 1\n0\ta\tO\t['N']\t[0]\n1\ta\tO\t['N']\t[1]", "multihead", 2),
        ("#doc 1\n#doc 2\n0\ta\tO\t['N']\t[0]\n1\ta\tO\t['N']\t[1]", "multihead", 3),
        ("#doc", "multihead", 1),
        ("#doc 1\na B-X\nb O\n\n", "conll", 2),
        ("# doc 1\na B-X\nb O\n\nc O\n", "conll", 4),
        ("[ spam", "jsonl", 1),
    ],
)
def test_few_lines_determine_the_format(text: str, format: str, taken: int) -> None:
    head = peek(iter(enumerate(text.split("\n"), 1)))
    assert (detect(head, "x"), len(head)) == (format, taken)


def test_looking_for_an_object_has_an_end() -> None:
    assert len(peek((number, "[") for number in range(1, 10**9))) == 10_000
