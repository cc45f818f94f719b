"""The layout of columns: what holds the tokens, what the tags, what counts, and what is said about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.column_cases import CASES, GOOD

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats import BadLine, Reading, Record
from ie_cli.formats.common.columns import looks_like_columns
from ie_cli.formats.common.detect import detect, peek
from ie_cli.formats.common.tag_schemes import style_of
from ie_cli.formats.conll import read

SIDE_BY_SIDE = "Anna\tB-PER\tB-PER\nmet\tO\tO\nBob\tB-PER\tO\n"


def records(text: str, **options: object) -> list[Record]:
    return list(read(enumerate(text.split("\n"), 1), "x.conll", Reading(**options)))  # type: ignore[arg-type]


def found(text: str, **options: object) -> list[tuple[str, list[tuple[str, str]]]]:
    documents = [record for record in records(text, **options) if isinstance(record, Document)]
    return [(d.text, [(d.text[e.start : e.end], e.label) for e in d.entities]) for d in documents]


@pytest.mark.parametrize("name", CASES)
def test_a_layout_is_recognised_and_reported(name: str) -> None:
    case = CASES[name]
    reported: list[str] = []
    head = peek(enumerate(case.text.split("\n"), 1))
    assert detect(head, "x.conll") == "conll"
    assert found(case.text, report=reported.append) == list(case.expected)
    assert case.report in reported[0]


def test_tags_of_gold_and_predictions_are_not_united() -> None:
    with pytest.raises(DataError, match="the columns 1, 2 contain tags, and it is unclear which to read") as caught:
        records(SIDE_BY_SIDE)
    assert "data.label_columns" in str(caught.value.hint)
    assert found(SIDE_BY_SIDE, label_columns=(1,)) == [("Anna met Bob", [("Anna", "PER"), ("Bob", "PER")])]
    assert found(SIDE_BY_SIDE, other_columns=(1,)) == [("Anna met Bob", [("Anna", "PER")])]
    assert found(SIDE_BY_SIDE, annotation=False) == [("Anna met Bob", [])]


def test_layers_are_not_united_if_they_may_be_predictions() -> None:
    nested = "Uni B-ORG O\nWien I-ORG B-LOC\nGraz B-LOC O\n"
    assert len(found(nested)[0][1]) == 3
    with pytest.raises(DataError, match="it is unclear which to read"):
        records(nested, nested=False)


def test_three_columns_of_tags_are_all_read_or_none() -> None:
    with pytest.raises(DataError, match="the columns 1, 2, 3 contain tags"):
        records("human\tB-DNA\tB-protein\tO\n")
    text = "EU NNP B-NP B-ORG O\nagency NN I-NP I-ORG O\nin IN B-PP O O\nWien NNP B-NP B-LOC O\n"
    assert found(text) == [("EU agency in Wien", [("EU agency", "ORG"), ("Wien", "LOC")])]


def test_other_labels_beside_the_last_column_are_reported() -> None:
    reported: list[str] = []
    assert found("Wien B-coarse B-city\nist O O\n", report=reported.append) == [("Wien ist", [("Wien", "city")])]
    assert reported[0].endswith("column 1 contains other tags, which are not read")


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("met 0", "x.conll:2: expected a tag such as O or B-PER, got '0': 'met 0'", "the letter O, not the digit 0"),
        (" O", "x.conll:2: expected at least 2 columns, got 1: ' O'", "check the columns"),
    ],
)
def test_one_bad_line_in_the_first_sentence_spoils_no_other(line: str, message: str, hint: str) -> None:
    text = f"Anna B-PER\n{line}\n\n{GOOD}"
    assert detect(peek(enumerate(text.split("\n"), 1)), "x.conll") == "conll"
    bad, *good = records(text)
    assert isinstance(bad, BadLine)
    assert bad.error.message == message
    assert hint in str(bad.error.hint)
    assert len(good) == 500
    assert all(isinstance(record, Document) and record.entities for record in good)


def test_the_line_that_prevents_detection_is_shown() -> None:
    text = "Anna B-PER\nmet 0\nBob PERSON\nran O\n"
    with pytest.raises(DataError, match=r"x\.conll:2: the format cannot be detected: .*: 'met 0'"):
        detect(peek(enumerate(text.split("\n"), 1)), "x.conll")
    with pytest.raises(DataError, match=r"column 1 does not in 2 lines of 4, first in line 2: '0'"):
        records(text)


def test_parts_of_speech_are_not_tags_of_entities() -> None:
    assert style_of(["N", "O", "V", "N", "O", "P", "V", "N", "N", "V", "D", "N", "P", "N", "V", "D"]) is None
    assert style_of([]) is None
    assert not looks_like_columns(["O captain", "my captain", "our trip is done"])
    with pytest.raises(DataError, match="none of the 2 columns contains tags"):
        records("Anna NNP\nmet VBD\nBob NNP\n")


def test_broken_tags_are_not_read_as_labels() -> None:
    with pytest.raises(DataError, match="none of the 2 columns contains tags"):
        records("Anna B-PER\nmet O\nBob PER\nAnn LOC\nran O\n")


def test_flags_and_numbers_do_not_count() -> None:
    assert found("0 Anna B-PER\n1 met O\n0 Bob B-PER\n1 ran O\n", text_column=1) == [
        ("Anna met Bob ran", [("Anna", "PER"), ("Bob", "PER")])
    ]
    assert found("1 O\n2 O\n3 B-X\n") == [("1 2 3", [("3", "X")])]
    assert found("1 Anna B-PER\n2 met O\n", text_column=-3) == [("1 2", [("1", "PER")])]


@given(st.integers(1, 4), st.lists(st.integers(1, 5), min_size=2, max_size=6))
def test_sentences_are_found_by_their_number_as_by_empty_lines(tags: int, lengths: list[int]) -> None:
    rows = [[f"w{n}\t{'B-X' if n % tags == 0 else 'O'}" for n in range(length + 1)] for length in lengths]
    separated = found("\n\n".join("\n".join(row) for row in rows))
    numbered = "\n".join(f"s{number}\t{line}" for number, row in enumerate(rows) for line in row)
    assert found(numbered) == separated
    counted = "\n".join(
        f"{number}\t{line}" for row in [["a\tO", "b\tO", "c\tO"], *rows] for number, line in enumerate(row)
    )
    assert found(counted)[1:] == separated
