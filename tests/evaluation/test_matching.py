"""Partners by ids or texts, in any order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.evaluation.matching import Matching


def texts(*some: str) -> list[Document]:
    return [Document(text, where=f"f:{number}") for number, text in enumerate(some, 1)]


@given(st.lists(st.sampled_from("abcd"), max_size=8), st.integers(0, 9))
def test_every_record_has_its_partner_whatever_the_order(names: list[str], seed: int) -> None:
    matching = Matching()
    shuffled = random.Random(seed).sample(names, len(names))
    pairs = list(matching.pairs(texts(*names), texts(*shuffled)))
    assert all(one.text == other.text for one, other in pairs)
    assert len(pairs) == matching.matched == len(names)
    assert matching.alone == [0, 0]


def test_records_without_a_partner_are_counted() -> None:
    matching = Matching()
    assert len(list(matching.pairs(texts("a", "b", "a"), texts("c", "a")))) == 1
    assert list(matching.describe_alone(("x", "y"))) == [
        "x: 2 records without a partner of the same text, not compared; the first: f:2",
        "y: 1 record without a partner of the same text, not compared; the first: f:1",
    ]


def test_ids_are_used_if_both_sides_have_them() -> None:
    one, other = Document("a", id=1), Document("a", id="1")
    matching = Matching()
    assert list(matching.pairs([one], [other])) == [(one, other)]
    assert matching.by == "id"
    matching = Matching()
    assert len(list(matching.pairs([one], [Document("a")]))) == 1
    assert matching.by == "text"


def test_a_record_of_a_submission_gets_the_text() -> None:
    submitted = Document("", [Entity(0, 3, "x")], id=1)
    [(_, other)] = Matching().pairs([Document("Ann", id=1)], [submitted])
    assert other.text == "Ann"
    assert other.entities[0].text == "Ann"


@pytest.mark.parametrize(
    ("by", "one", "other", "message"),
    [
        ("id", Document("a", id=1), Document("b", id=1), "the texts of the id 1 differ: 'a' and 'b'"),
        ("id", Document("a", id=1), Document("", [Entity(0, 3, "x")], id=1), "the texts of the id 1 differ"),
        ("id", Document("a", id=1), Document("a", where="f:1"), "f:1: the record has no id"),
        ("text", Document("a"), Document("", [Entity(0, 3, "x")], where="f:1"), "f:1: the record has no text"),
    ],
)
def test_what_cannot_be_matched_is_an_error(by: str, one: Document, other: Document, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(Matching(by).pairs([one], [other]))  # type: ignore[arg-type]
