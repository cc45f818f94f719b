"""What entities include at their boundaries in some places and leave out in others."""

from __future__ import annotations

import pytest

from ie_cli.doctor.boundary_habits import HABITS, BoundaryHabits, habits_of
from ie_cli.document import Document, Entity

QUOTES, FINAL, ARTICLE = HABITS


@pytest.mark.parametrize(
    ("text", "mention", "expected"),
    [
        ("他读《红楼梦》", "《红楼梦》", [(QUOTES, True)]),
        ("他读《红楼梦》", "红楼梦", [(QUOTES, False)]),
        ("International Business (IBM) grew", "IBM", [(QUOTES, False)]),
        ("《红》与《梦》", "《红》与《梦》", []),  # two pairs
        ("Ann, Bo", "Ann", [(FINAL, False)]),
        ("Ann, Bo", "Ann,", [(FINAL, True)]),
        ("Acme Inc. grew", "Acme Inc.", []),
        ("Acme Inc.", "Acme Inc", []),
        ("in the Hague", "Hague", [(ARTICLE, False)]),
        ("in The Hague", "The Hague", [(ARTICLE, True)]),
        ("soft the Hague", "Hague", [(ARTICLE, False)]),
        ("breathe Hague", "Hague", []),
        ("the", "the", []),
        ("Only a few", "a few", [(ARTICLE, True)]),
        ("saw an FBI agent", "FBI", [(ARTICLE, False)]),
        ("saw an hour", "an hour", [(ARTICLE, True)]),
        ("An Wang founded it", "An Wang", []),  # a name
        ("I love A 24", "A 24", []),  # a company
    ],
)
def test_what_is_at_the_boundaries(text: str, mention: str, expected: list[tuple[str, bool]]) -> None:
    start = text.index(mention)
    assert list(habits_of(text, start, start + len(mention))) == expected


def test_both_ways_of_a_label_are_counted_and_the_fewer_shown() -> None:
    habits = BoundaryHabits()
    for number in range(9):
        document = Document(
            "读《红楼梦》", [Entity(1, 6, "book")] if number else [Entity(2, 5, "book")], where=f"f:{number}"
        )
        habits.add(document, document.entities)
    habits.add(Document("《王伟》"), [Entity(1, 3, "person")])  # only one way
    [finding] = habits.findings("train")
    assert finding.kind == "warning"
    assert finding.message == (
        "train: entities of 'book' that include a pair of quotation marks or brackets: 8; that leave it out: 1; the first that "
        "leave it out"
    )
    assert finding.details == ["f:0: '红楼梦' in '读《红楼梦》'"]


def test_few_exceptions_are_a_note() -> None:
    habits = BoundaryHabits()
    for text, end in [("Yahoo!", 6), *[("Ann, Bo", 3)] * 150]:
        habits.add(Document(text), [Entity(0, end, "name")])
    [finding] = habits.findings("train")
    assert finding.kind == "note"
    assert "entities of 'name' that include a punctuation mark at the end: 1; that leave it out: 150" in finding.message
