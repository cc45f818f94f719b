"""What tokens are, words or characters, is decided for a file, in every format that has tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.formats import FORMATS, BadLine, Reading, Record, hub, read_records
from ie_cli.formats.common.base import TokenFile
from ie_cli.formats.common.joining import are_characters, find_joining, join_as_read, look_ahead

TOKENS, TAGS = ["于", "2", "0", "2", "1", "年"], ["O", "B-D", "I-D", "I-D", "I-D", "I-D"]
JOINED = Document("于2021年", [Entity(1, 6, "D")])


def rows_of(monkeypatch: pytest.MonkeyPatch, *tokens: list[str]) -> None:
    class Rows(list[Any]):
        features = dict.fromkeys(("tokens", "ner_tags"))

    rows = Rows({"tokens": some, "ner_tags": TAGS} for some in tokens)
    monkeypatch.setattr(hub, "load_rows", lambda source, report: rows)


def read_all(format: str, tokens: list[str], monkeypatch: pytest.MonkeyPatch, reading: Reading) -> list[Record]:
    """Read a sentence from a file of a format."""
    if format == "hub":
        rows_of(monkeypatch, tokens)
        return list(read_records("hub:x", reading=reading))
    rows = enumerate(zip(tokens, TAGS, strict=True))
    lines = {
        "conll": [f"{token} {tag}" for token, tag in zip(tokens, TAGS, strict=True)],
        "conll04": [json.dumps({"tokens": tokens, "tags": TAGS})],
        "bio-json": [json.dumps({"tokens": tokens, "ner_tags": TAGS})],
        "multihead": ["#doc", *(f"{n}\t{token}\t{tag}\t['N']\t[{n}]" for n, (token, tag) in rows)],
    }[format]
    return list(FORMATS[format].read(enumerate(lines, 1), "x", reading))


@pytest.mark.parametrize("format", ["conll", "conll04", "bio-json", "multihead", "hub"])
def test_single_characters_are_joined_with_nothing(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[str] = []
    decided: list[TokenFile] = []
    reading = Reading(report=reported.append, decided=decided.append)
    assert read_all(format, TOKENS, monkeypatch, reading) == [JOINED]
    assert any("tokens are single characters: joined with nothing" in text for text in reported)
    assert decided == [TokenFile("characters", ("characters",))]
    [words] = read_all(format, TOKENS, monkeypatch, Reading(tokens="words", report=reported.append))
    assert isinstance(words, Document)
    assert words.text == "于2 0 2 1年"
    assert "joined like words, as in the training data" in reported[-1]
    [named] = read_all(format, TOKENS, monkeypatch, Reading(joiner="_", tokens="characters"))
    assert isinstance(named, Document)
    assert named.text == "于_2_0_2_1_年"


@pytest.mark.parametrize("format", ["conll", "conll04", "bio-json", "multihead", "hub"])
def test_numbers_of_characters_are_removed(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = ["我0", "去1", "南0", "山1", "的0", "20"]
    for reading in (Reading(), Reading(joiner=""), Reading(tokens="characters")):
        [document] = read_all(format, tokens, monkeypatch, reading)
        assert isinstance(document, Document)
        assert document.text == "我去南山的2"


@pytest.mark.parametrize("format", ["conll", "conll04", "bio-json", "multihead", "hub"])
def test_words_are_joined_as_in_the_training_data(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[str] = []
    tokens = ["Anna", "met", "Bob", "at", "3", "pm"]
    [document] = read_all(format, tokens, monkeypatch, Reading(tokens="characters", report=reported.append))
    assert isinstance(document, Document)
    assert document.text == "AnnametBobat3pm"
    assert any("tokens are words, but joined with nothing" in text for text in reported)


def test_what_is_a_character() -> None:
    assert are_characters([["你", "好"]])
    assert are_characters([["กิ", "น"]])  # with a combining mark
    assert not are_characters([["I", "am", "a", "B"]])
    assert not are_characters([["A", "B"]])  # too few Latin letters
    assert are_characters([list("JohnSmithlivesinWienandworks")])
    assert not are_characters([["我", "们", "北京", "去", "了"]])
    # Whole words and numbers among characters: they need spaces between them.
    assert not are_characters([["买", "了", *"一二三四五六七八九十" * 10, "iPhone", "11", "X"]])
    assert not are_characters([])
    assert join_as_read(["a", "中", "b", "c"]) == "a中bc"
    assert join_as_read(["a", "b"]) == "a b"


def test_names_with_numbers_are_no_numbered_characters() -> None:
    assert not find_joining([["x0", "x1", "x2", "y0"]], Reading()).numbered
    assert not find_joining([["e4", "e5", "f3", "c6"]], Reading()).numbered


def test_an_error_behind_the_first_records_comes_after_them() -> None:
    def records() -> Iterator[list[str]]:
        yield ["Anna"]
        raise DataError("x")

    _, found = look_ahead(records(), lambda tokens: tokens, "x", Reading())
    assert next(found) == ["Anna"]
    with pytest.raises(DataError, match="x"):
        next(found)


def test_records_without_tokens_are_bad_lines_as_before() -> None:
    lines = ['{"tokens": 3, "entities": []}', '{"tokens": ["于", "2"], "entities": []}']
    bad, good = FORMATS["conll04"].read(enumerate(lines, 1), "x", Reading())
    assert isinstance(bad, BadLine)
    assert bad.error.message == "x:1: 'tokens' must be a list of strings, got 3"
    assert good == Document("于2")
