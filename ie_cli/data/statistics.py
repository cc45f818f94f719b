"""Counts over documents, made in one pass; additional counts are added as parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ie_cli.document import Document
from ie_cli.document.word_boundaries import splits_word
from ie_cli.triples import entities_and_unrelated, entities_of, simple_triples

MAX_SPLIT_WORDS = 0.001
"""The largest share of spans that may start or end inside a word by mistake."""


class Part(Protocol):
    """An additional count made in the same pass."""

    def add(self, document: Document) -> None:
        """Count a document."""


@dataclass(slots=True)
class DatasetStatistics:
    """The counts of one pass over some data; their size does not depend on the size of the data.

    Attributes:
        documents: number of documents.
        labels: labels of entities.
        arguments: labels of subjects and objects of relations.
        pairs: (subject type, predicate, object type) triples.
        slots: predicates ``P.slot`` of complex objects.
        relations: distinct relations of each document by predicate, as they are scored: with their spans and labels, or by their
            texts if the data have no offsets.
        entities: number of distinct entities of each document.
        unrelated: number of those that are neither the subject nor the object of a relation.
        spans: number of distinct spans of each document, those of arguments of relations included.
        split_words: number of those that start or end inside a word.
        guessed: whether offsets of some relations were guessed from texts.
        text_pairs: documents that are pairs of texts, annotated or not.
        pair_labels: classes of the pairs.
        pair_scores: lowest and highest score of the pairs that have a score and no class; None if there are none.
        characters: the characters, counted only on request.
        parts: additional counts.
    """

    documents: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    arguments: Counter[str] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    slots: set[str] = field(default_factory=set)
    relations: Counter[str] = field(default_factory=Counter)
    entities: int = 0
    unrelated: int = 0
    spans: int = 0
    split_words: int = 0
    guessed: bool = False
    text_pairs: int = 0
    pair_labels: Counter[str] = field(default_factory=Counter)
    pair_scores: tuple[float, float] | None = None
    characters: Counter[str] = field(default_factory=Counter)
    parts: Sequence[Part] = ()

    @classmethod
    def of(
        cls, documents: Iterable[Document], *, characters: bool = False, parts: Sequence[Part] = ()
    ) -> DatasetStatistics:
        """Count labels and triples and, on request, characters and additional parts."""
        statistics = cls(parts=parts)
        for document in documents:
            statistics.add(document)
            if characters:
                statistics.characters.update(document.text + (document.text_pair or ""))
        return statistics

    def add(self, document: Document) -> None:
        """Count a document."""
        self.documents += 1
        self.labels.update(entity.label for entity in document.entities)
        entities, unrelated = entities_and_unrelated(document)
        self.entities += entities
        self.unrelated += unrelated
        spans = {(entity.start, entity.end) for entity in entities_of(document)}
        self.spans += len(spans)
        self.split_words += sum(any(splits_word(document.text, at) for at in span) for span in spans)
        for relation in document.relations:
            self.arguments.update((relation.subject.label, relation.object.label))
            self.pairs[relation.subject.label, relation.predicate, relation.object.label] += 1
        if document.spos is None:
            self.relations.update(relation.predicate for relation in set(document.relations))
        else:
            self.relations.update(predicate for _, predicate, _ in simple_triples(document.spos))
        for spo in document.spos or ():
            self.slots.update(f"{spo.predicate}.{slot}" for slot, _ in spo.slots)
        self.guessed |= document.spos is not None
        if document.text_pair is not None:
            self._add_pair(document)
        for part in self.parts:
            part.add(document)

    def _add_pair(self, document: Document) -> None:
        self.text_pairs += 1
        if document.label is not None:
            self.pair_labels[document.label] += 1
        elif (score := document.score) is not None:
            low, high = self.pair_scores or (score, score)
            self.pair_scores = min(low, score), max(high, score)

    @property
    def has_whole_words(self) -> bool:
        """Whether hardly any span starts or ends inside a word."""
        return self.split_words <= MAX_SPLIT_WORDS * self.spans

    @property
    def predicates(self) -> Counter[str]:
        """Predicates of the relations, regardless of the types they join."""
        found: Counter[str] = Counter()
        for (_, predicate, _), count in self.pairs.items():
            found[predicate] += count
        return found

    def known_names(self) -> set[str]:
        """Return the labels and predicates."""
        return {*self.labels, *self.arguments, *self.predicates, *self.pair_labels}
