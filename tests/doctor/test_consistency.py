"""Strings with different annotations in different places: true exceptions first, ambiguity only as a note."""

from __future__ import annotations

import itertools

import pytest

from ie_cli.data.findings import Finding
from ie_cli.doctor import consistency
from ie_cli.doctor.consistency import UnmarkedMentions, one_sidedness
from ie_cli.doctor.label_conflicts import LabelCounts
from ie_cli.document import Document, Entity, Spo

_lines = itertools.count(1)


def document(text: str, *marked: tuple[str, str]) -> Document:
    """A text with the first occurrence of each string annotated."""
    spans = [Entity(text.index(mention), text.index(mention) + len(mention), label) for mention, label in marked]
    return Document(text, spans, where=f"f:{next(_lines)}")


def unmarked(*documents: Document) -> list[Finding]:
    found = UnmarkedMentions()
    for one in documents:
        found.add(one, one.entities)
    return list(found.findings("train"))


def conflicts(*documents: Document) -> list[Finding]:
    found = LabelCounts()
    for one in documents:
        found.add(one, one.entities)
    return list(found.findings("train"))


def times(number: int, text: str, *marked: tuple[str, str]) -> list[Document]:
    return [document(text, *marked) for _ in range(number)]


def test_one_sidedness_grows_with_the_share_and_with_the_number() -> None:
    assert one_sidedness(57, 1) > one_sidedness(3, 1) > one_sidedness(1, 1)
    assert one_sidedness(100, 0) > one_sidedness(10, 0) > one_sidedness(1, 0)
    assert 0 < one_sidedness(1, 1) < 0.5


def test_the_most_one_sided_strings_come_first() -> None:
    [finding] = unmarked(
        *times(4, "Rome", ("Rome", "place")),
        *times(3, "Rome"),
        *times(20, "Wien", ("Wien", "place")),
        document("Wien"),
    )
    assert finding.kind == "warning"
    assert [line.partition(":")[0] for line in finding.details] == ["'Wien'", "'Rome'"]
    assert finding.message.startswith("train: 2 strings are annotated at least 3 times, but not in 4 other places")


def test_strings_that_are_hardly_ever_annotated_are_shown_where_they_are() -> None:
    wrong = document("the bank", ("bank", "place"))
    [finding] = unmarked(wrong, *times(10, "a bank"))
    assert finding.details == [f"'bank': annotated 1, not annotated 10, first in {wrong.where}"]
    assert "1 string is annotated in 1 place, but not in at least 10 times as many others" in finding.message
    assert not unmarked(wrong, *times(9, "a bank"))


def test_ambiguous_strings_are_a_note() -> None:
    [finding] = unmarked(*times(3, "May", ("May", "person")), *times(6, "May"))
    assert finding.kind == "note"
    assert "in at most half of the places" in finding.message


def test_an_unusual_label_is_shown_with_its_place() -> None:
    wrong = document("Rome", ("Rome", "person"))
    [finding] = conflicts(*times(9, "Rome", ("Rome", "place")), wrong)
    assert finding.kind == "warning"
    assert "1 string with one label in at least 80% of the places, and another one in 1 place" in finding.message
    assert finding.details == [f"'Rome': place 9, person 1; person first in {wrong.where}"]
    several = times(1000, "Wien", ("Wien", "place"))
    assert conflicts(*times(9, "Rome", ("Rome", "place")), wrong, *several)[0].kind == "note"


def test_a_string_without_a_usual_label_is_ambiguous() -> None:
    [finding] = conflicts(*times(5, "Paris", ("Paris", "place")), *times(4, "Paris", ("Paris", "person")))
    assert finding.kind == "note"
    assert "several labels, none of them in nearly all places" in finding.message


def test_two_labels_of_the_same_span_are_no_contradiction() -> None:
    assert not conflicts(*times(9, "Rome", ("Rome", "place"), ("Rome", "city")))
    [finding] = conflicts(*times(9, "Rome", ("Rome", "place"), ("Rome", "city")), document("Rome", ("Rome", "city")))
    assert finding.details[0].startswith("'Rome': city + place 9, city 1")


def test_types_of_triples_are_no_labels_of_strings() -> None:
    triples = [
        Document("Rome", [Entity(0, 4, label)], spos=[Spo("Rome", "is", "Rome")]) for label in ["place"] * 9 + ["city"]
    ]
    assert not conflicts(*triples)


def test_a_limited_search_says_how_far_it_went(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*times(4, "Rome", ("Rome", "place")), *times(9, "Rome")]
    assert "characters)" not in unmarked(*texts)[0].message
    monkeypatch.setattr(consistency, "_COMPARISONS", 4)
    [finding] = unmarked(*texts)
    assert finding.message.endswith("not in 1 other place where it occurs (in the first 20 characters)")
