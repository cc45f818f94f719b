"""spaCy's layout .iob: sentences on lines, with tokens such as word|POS|tag."""

from __future__ import annotations

import pytest

from ie_cli.document import Document, Entity
from ie_cli.formats import FORMATS, BadLine, Reading
from ie_cli.formats.common.base import UnknownFormat
from ie_cli.formats.common.detect import detect, peek

THREE = ["Ann|NNP|B-PER met|VBD|O Bob|NNP|B-PER", "", "the|DT|O a|b|NN|B-X |||NN|I-X"]


def read(lines: list[str], **options: bool) -> list[Document | BadLine]:
    return list(FORMATS["conll"].read(enumerate(lines, 1), "x.iob", Reading(**options)))


def test_sentences_are_read_and_detected() -> None:
    first, second = read(THREE)
    assert isinstance(first, Document)
    assert (first.text, first.where) == ("Ann met Bob", "x.iob:1")
    assert first.entities == [Entity(0, 3, "PER"), Entity(8, 11, "PER")]
    assert isinstance(second, Document)
    assert (second.text, second.where, second.entities) == ("the a|b ||", "x.iob:3", [Entity(4, 10, "X")])
    assert detect(peek(iter(enumerate(THREE, 1))), "x.iob") == "conll"


def test_tokens_without_part_of_speech_and_texts_to_predict() -> None:
    [document] = read(["Ann|B-PER met|O", ""], annotation=False)
    assert isinstance(document, Document)
    assert (document.text, document.entities) == ("Ann met", [])
    [document] = read(["Hi|O", "Ann|B-PER met|O"])[1:]
    assert isinstance(document, Document)
    assert document.entities == [Entity(0, 3, "PER")]


def test_a_sentence_that_cannot_be_read_is_given_as_it_is() -> None:
    bad_line = "Cid|NNP|B-PER  saw\tDora|NNP|B-PER"
    lines = [*THREE, *["Eve|NNP|B-PER slept|VBD|O"] * 20, bad_line, "Ann|NNP|B-PER met|VBD|O"]
    records = read(lines)
    [bad] = [record for record in records if isinstance(record, BadLine)]
    assert (len(records), bad.raw, bad.where) == (24, bad_line, "x.iob:24")
    assert bad.error.message == "x.iob:24: expected at least 3 columns, got 1: 'saw'"


@pytest.mark.parametrize("lines", [["a|b c|d"], ["a|O b"], ["one|two|three|O x|y|z|O"]])
def test_other_lines_with_bars_are_not_taken_for_it(lines: list[str]) -> None:
    with pytest.raises(UnknownFormat):
        detect(peek(iter(enumerate(lines, 1))), "x")


def test_a_column_of_tokens_with_bars_stays_one() -> None:
    [document] = read(["a|O", "b|O"], annotation=False)
    assert isinstance(document, Document)
    assert document.text == "a|O b|O"
