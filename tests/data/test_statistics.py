from __future__ import annotations

from collections import Counter
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st
from support.random_documents import documents

from ie_cli.data.statistics import DatasetStatistics
from ie_cli.data.token_lengths import LONGEST_COUNTED, TokenLengths
from ie_cli.document import Document, Entity, Relation, Spo


@given(st.lists(documents(), max_size=5))
def test_what_is_counted_is_what_is_there(data: list[Document]) -> None:
    lengths = TokenLengths(len)
    found = DatasetStatistics.of(data, characters=True, parts=[lengths])
    relations = [relation for document in data for relation in document.relations]
    assert found.documents == lengths.texts.total() == len(data)
    assert found.labels == Counter(entity.label for document in data for entity in document.entities)
    assert found.arguments == Counter(side.label for r in relations for side in (r.subject, r.object))
    assert found.predicates == Counter(relation.predicate for relation in relations)
    assert found.characters == Counter("".join(document.text for document in data))
    assert lengths.mentions.total() == found.labels.total()
    assert lengths.reaches.total() == found.predicates.total()


@given(st.lists(documents(), max_size=5))
def test_predicates_come_in_the_order_of_the_data(data: list[Document]) -> None:
    """Of two that are equally frequent `ie init` names the first one first."""
    names = [relation.predicate for document in data for relation in document.relations]
    assert list(DatasetStatistics.of(data).predicates) == list(dict.fromkeys(names))


def test_characters_are_counted_only_if_asked_for() -> None:
    assert not DatasetStatistics.of([Document("abc")]).characters


def test_slots_and_guessed_places() -> None:
    plain, slotted = Document("a"), Document("a", spos=[Spo("a", "P", "a", (("at", "a"), ("in", "a")))])
    assert not DatasetStatistics.of([plain]).guessed
    found = DatasetStatistics.of([slotted, plain])
    assert found.guessed
    assert found.slots == {"P.at", "P.in"}


def test_a_part_sees_every_document_once_and_in_order() -> None:
    class Seen:
        def __init__(self) -> None:
            self.texts: list[str] = []

        def add(self, document: Document) -> None:
            self.texts.append(document.text)

    seen = Seen()
    texts = list(accumulate("abc"))
    DatasetStatistics.of(map(Document, texts), parts=[seen])
    assert seen.texts == texts


def test_a_reach_goes_from_the_first_argument_to_the_last() -> None:
    first, last = Entity(1, 3, "a"), Entity(7, 9, "a")
    lengths = TokenLengths(len)
    lengths.add(Document("0123456789", [first], [Relation(first, "p", last), Relation(last, "p", first)]))
    assert (lengths.texts, lengths.mentions, lengths.reaches) == ({10: 1}, {2: 1}, {8: 2})


def test_very_long_texts_are_counted_together() -> None:
    lengths = TokenLengths(len)
    for length in (LONGEST_COUNTED, LONGEST_COUNTED + 1, 3 * LONGEST_COUNTED):
        lengths.add(Document("a" * length))
    assert lengths.texts == {LONGEST_COUNTED: 3}


def test_pairs_are_counted_by_what_is_annotated() -> None:
    data = [
        Document("a"),
        Document("a", label="1", score=9.0),  # no pair
        Document("a", text_pair="b"),
        Document("a", text_pair="b", label="1"),
        Document("a", text_pair="b", label="0", score=7.0),  # its class is what counts
        Document("a", text_pair="b", score=2.5),
        Document("a", text_pair="b", score=0.0),
    ]
    found = DatasetStatistics.of(data)
    assert found.text_pairs == 5
    assert found.pair_labels == Counter({"1": 1, "0": 1})
    assert found.pair_scores == (0.0, 2.5)
    assert found.known_names() == {"0", "1"}
    assert DatasetStatistics.of(data[:5]).pair_scores is None
