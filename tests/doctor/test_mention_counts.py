"""Counts of annotated strings and of their other occurrences."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ie_cli.doctor.mention_counts import LONGEST, MentionCounts, MentionIndex
from ie_cli.document import Document, Entity
from ie_cli.document.word_boundaries import begins_word, ends_word


def plain(documents: list[Document], mention: str) -> int:
    """Try every place of every text."""
    found = 0
    for document in documents:
        for start in range(len(document.text) - len(mention) + 1):
            end = start + len(mention)
            free = all(end <= one.start or one.end <= start for one in document.entities)
            whole = begins_word(document.text, start) and ends_word(document.text, end)
            inner = {document.text[at - 1 : at + 1] for at in (start, end) if at}
            coded = any(char in "ab" for char in mention) and inner & {"a1", "b1", "1a", "1b"}
            found += free and whole and not coded and document.text[start:end] == mention
    return found


@st.composite
def annotated(draw: st.DrawFn) -> Document:
    text = draw(st.text("ab 京1", min_size=1, max_size=20))
    entities = []
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        entities.append(Entity(start, end, draw(st.sampled_from("xy"))))
    return Document(text, entities)


@settings(max_examples=60)
@given(st.lists(annotated(), max_size=5))
def test_counts_are_those_of_a_search_in_every_place(documents: list[Document]) -> None:
    counts = MentionCounts.of(lambda: documents)
    mentions = {d.text[e.start : e.end] for d in documents for e in d.entities}
    for mention in mentions:
        labels = [e.label for d in documents for e in set(d.entities) if d.text[e.start : e.end] == mention]
        for label in "xy":
            assert counts.annotated(mention, label) == labels.count(label)
            unmarked = plain(documents, mention) if len(mention) >= 2 else 0
            assert counts.otherwise(mention, label) == unmarked + len(labels) - labels.count(label)
    assert counts.annotated("never", "x") == counts.otherwise("never", "x") == 0


def test_a_code_is_not_found_in_a_longer_one() -> None:
    index = MentionIndex(["CD28", "RUNX", "45", "CD4", "中国", "IL-2"])
    found = ["CD28", "CD28RE", "RUNX1", "4CD4", "45mg", "CD4+", "在中国2", "(IL-2)", "IL-2R"]
    assert [list(index.unmarked(text, [])) for text in found] == [
        ["CD28"], [], [], [], ["45"], ["CD4"], ["中国"], ["IL-2"], []
    ]  # fmt: skip


def test_a_string_at_the_end_of_a_text_is_found_once() -> None:
    assert list(MentionIndex(["11", "111", "1111"]).unmarked("11", [])) == ["11"]


def test_short_and_long_strings_are_not_searched() -> None:
    assert MentionIndex(["a", "b" * LONGEST, "c" * (LONGEST + 1)]).mentions == {"b" * LONGEST}
