from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from ie_cli.formats.common import tag_schemes as tags
from ie_cli.formats.common.tag_schemes import bio_tags, scheme_of, spans_of, split_tag

# A label may hold dashes: only the first one divides.
LABELS = st.sampled_from(["PER", "LOC", "ORG-part"])


@st.composite
def spans(draw: st.DrawFn) -> tuple[int, list[tuple[int, int, str]]]:
    """Generate a length, and non-overlapping spans (first, last, label)."""
    made, at = [], 0
    for _ in range(draw(st.integers(0, 5))):
        first = at + draw(st.integers(0, 2))
        last = first + draw(st.integers(0, 3))
        made.append((first, last, draw(LABELS)))
        at = last + 1
    return at + draw(st.integers(0, 2)), made


def tagged(length: int, made: list[tuple[int, int, str]], names: str) -> list[str]:
    """Encode spans with the letters of a scheme for begin, inside, end and single."""
    begin, inside, end, single = names
    row = ["O"] * length
    for first, last, label in made:
        row[first : last + 1] = [f"{inside}-{label}"] * (last + 1 - first)
        row[last] = f"{end}-{label}"
        row[first] = f"{begin if last > first else single}-{label}"
    return row


def iob1(length: int, made: list[tuple[int, int, str]]) -> list[str]:
    """Encode spans with I everywhere, and B only if an entity follows one of its label."""
    row = ["O"] * length
    for first, last, label in made:
        follows = first > 0 and row[first - 1][2:] == label
        row[first : last + 1] = [f"I-{label}"] * (last + 1 - first)
        row[first] = f"{'B' if follows else 'I'}-{label}"
    return row


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(tags).failed == 0


@given(spans())
def test_one_rule_reads_every_scheme(given: tuple[int, list[tuple[int, int, str]]]) -> None:
    length, made = given
    assert spans_of(bio_tags(length, made)) == (made, 0)
    for names in ("BIIB", "BIES", "BILU", "BMES"):
        assert spans_of(tagged(length, made, names)) == (made, 0)
    assert spans_of(iob1(length, made))[0] == made


@given(st.lists(st.sampled_from([f"{p}-{label}" for p in "BIES" for label in ("X", "Y")] + ["O"]), max_size=12))
def test_broken_sequences_are_read_as_seqeval_reads_them(row: list[str]) -> None:
    assert [(label, first, last) for first, last, label in spans_of(row)[0]] == get_entities(row)


@pytest.mark.parametrize(
    ("row", "repaired"),
    [("O B-X I-X", 0), ("O I-X", 1), ("B-X I-Y", 1), ("B-X E-X I-X", 1), ("E-X", 1), ("S-X U-X", 0), ("B-X O I-X I-X", 1)],
)  # fmt: skip
def test_tags_that_continue_nothing_are_counted(row: str, repaired: int) -> None:
    assert spans_of(row.split())[1] == repaired


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        (["O O"], "BIO"),
        (["B-X I-X O", "B-X"], "BIO"),
        (["O I-X I-X", "I-X B-X"], "IOB1"),
        (["B-X I-X", "I-X"], "BIO"),  # a single error does not make it IOB1
        (["B-X I-X E-X S-X"], "BIOES"),
        (["B-X I-X L-X U-X"], "BILOU"),
        (["B-X M-X E-X S-X"], "BMES"),
    ],
)
def test_schemes_are_distinguished(rows: list[str], name: str) -> None:
    assert scheme_of([row.split() for row in rows]) == name


@pytest.mark.parametrize(
    ("tag", "parts"),
    [("O", ("O", "")), ("B-PER", ("B", "PER")), ("I_a-b", ("I", "a-b")), ("B-", None), ("B", None), ("", None)]
    + [("X-PER", None), ("O-PER", None), ("B+PER", None), ("Anna", None), ("b-per", None)],
)
def test_tags_are_split(tag: str, parts: tuple[str, str] | None) -> None:
    assert split_tag(tag) == parts
