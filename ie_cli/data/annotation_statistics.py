"""What annotated data contain: lengths, labels, nesting, overlaps, and the distances of relations, counted in one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ie_cli.document import Document, Relation
from ie_cli.formats.conll_writer import split_at_boundaries
from ie_cli.triples import Span, simple_triples, typed_entities_of

PERCENTILES = (50, 90, 99)


class Distribution(Counter[int]):
    """Numbers of values."""

    def mean(self) -> float | None:
        """Return the mean, or None without values."""
        return sum(value * count for value, count in self.items()) / self.total() if self else None

    def percentile(self, percent: int) -> int | None:
        """Return the smallest value that this percentage of the values does not exceed, or None without values."""
        total, seen = self.total(), 0
        for value in sorted(self):
            seen += self[value]
            if seen * 100 >= percent * total:
                return value
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return mean, minimum, percentiles and maximum; all None without values."""
        ends = {"min": min(self, default=None), "max": max(self, default=None)}
        shares = {f"p{percent}": self.percentile(percent) for percent in PERCENTILES}
        return {"mean": self.mean(), "min": ends["min"], **shares, "max": ends["max"]}


@dataclass(slots=True)
class LabelCounts:
    """The items of a label: their number, the documents with one, and their lengths in characters.

    For a predicate, a length is the number of characters between subject and object, known for relations with offsets only, and
    `types` are the pairs of labels that it joins.
    """

    items: int = 0
    documents: int = 0
    lengths: Distribution = field(default_factory=Distribution)
    types: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, lengths: Iterable[int], count: int) -> None:
        """Add the items of one document."""
        self.items += count
        self.documents += 1
        self.lengths.update(lengths)


@dataclass(slots=True)
class AnnotationStatistics:
    """The counts of some data. Tokens are words and single CJK characters.

    Attributes:
        documents: the number of documents.
        empty: the number of those without any annotation.
        characters, tokens: lengths of the texts.
        entities_each, relations_each: numbers of entities and relations of a document.
        mention_tokens: lengths of the entities in tokens; a token counts if they share a character.
        labels, predicates: counts by label and by predicate.
        nested: the number of entities inside another one, and `depth` the largest number of entities inside each other.
        crossing: the number of entities that overlap another one without either being inside the other.
        several: the number of spans with several labels.
        reach: the numbers of characters from the start of the first to the end of the last argument of a relation.
        unlocated: the number of triples without offsets.
        events: counts of events by type, and `roles` of their arguments by type and role.
        classes: pairs of texts by class, and `scores` the lowest and the highest score of pairs.
    """

    documents: int = 0
    empty: int = 0
    characters: Distribution = field(default_factory=Distribution)
    tokens: Distribution = field(default_factory=Distribution)
    entities_each: Distribution = field(default_factory=Distribution)
    relations_each: Distribution = field(default_factory=Distribution)
    mention_tokens: Distribution = field(default_factory=Distribution)
    labels: dict[str, LabelCounts] = field(default_factory=dict)
    predicates: dict[str, LabelCounts] = field(default_factory=dict)
    nested: int = 0
    depth: int = 0
    crossing: int = 0
    several: int = 0
    reach: Distribution = field(default_factory=Distribution)
    unlocated: int = 0
    events: Counter[str] = field(default_factory=Counter)
    roles: Counter[tuple[str, str]] = field(default_factory=Counter)
    pairs: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    scores: tuple[float, float] | None = None

    def add(self, document: Document) -> None:
        """Count a document."""
        self.documents += 1
        self.characters[len(document.text)] += 1
        self.tokens[_count_tokens(document.text)] += 1
        relations = self._add_relations(document)
        self._add_entities(document)
        events = set(document.events)
        self.events.update(event.type for event in events)
        self.roles.update((event.type, argument.role) for event in events for argument in event.arguments)
        self.pairs += document.text_pair is not None
        if document.label is not None:
            self.classes[document.label] += 1
        if (score := document.score) is not None:
            low, high = self.scores or (score, score)
            self.scores = min(low, score), max(high, score)
        annotated = document.entities or relations or events or document.label is not None or document.score is not None
        self.empty += not annotated

    def _add_entities(self, document: Document) -> None:
        entities = list(dict.fromkeys(typed_entities_of(document)))
        self.entities_each[len(entities)] += 1
        by_label: dict[str, list[int]] = {}
        for entity in entities:
            by_label.setdefault(entity.label, []).append(entity.end - entity.start)
            self.mention_tokens[_count_tokens(document.text[entity.start : entity.end])] += 1
        for label, lengths in by_label.items():
            self.labels.setdefault(label, LabelCounts()).add(lengths, len(lengths))
        spans = Counter((entity.start, entity.end) for entity in entities)
        self.several += sum(count > 1 for count in spans.values())
        nested, depth, crossing = _overlaps(spans)
        self.nested += nested
        self.depth = max(self.depth, depth)
        self.crossing += crossing

    def _add_relations(self, document: Document) -> int:
        """Count the relations of a document, or its triples if they have no offsets, and return their number."""
        by_predicate: dict[str, list[Relation]] = {}
        for relation in dict.fromkeys(document.relations if document.spos is None else ()):
            by_predicate.setdefault(relation.predicate, []).append(relation)
        for predicate, some in by_predicate.items():
            counts = self.predicates.setdefault(predicate, LabelCounts())
            counts.add(map(_gap, some), len(some))
            counts.types.update((relation.subject.label, relation.object.label) for relation in some)
            self.reach.update(map(_reach, some))
        triples = simple_triples(document.spos or ())
        self.unlocated += len(triples)
        for predicate, count in Counter(predicate for _, predicate, _ in triples).items():
            self.predicates.setdefault(predicate, LabelCounts()).add((), count)
        for (_, predicate, _), types in triples.items():
            self.predicates[predicate].types[types] += 1
        total = sum(map(len, by_predicate.values())) + len(triples)
        self.relations_each[total] += 1
        return total

    def to_dict(self) -> dict[str, Any]:
        """Return all counts as JSON values."""
        return {
            "documents": self.documents,
            "without_annotation": self.empty,
            "characters": {"sum": sum_of(self.characters), **self.characters.to_dict()},
            "tokens": {"sum": sum_of(self.tokens), **self.tokens.to_dict()},
            "entities": {
                "number": sum_of(self.entities_each),
                "per_document": self.entities_each.to_dict(),
                "tokens": self.mention_tokens.to_dict(),
                "nested": self.nested,
                "depth": self.depth,
                "crossing": self.crossing,
                "spans_with_several_labels": self.several,
                "labels": {
                    label: {
                        "number": counts.items,
                        "documents": counts.documents,
                        "characters": counts.lengths.to_dict(),
                    }
                    for label, counts in by_number(self.labels)
                },
            },
            "relations": {
                "number": sum_of(self.relations_each),
                "without_offsets": self.unlocated,
                "per_document": self.relations_each.to_dict(),
                "characters": self.reach.to_dict(),
                "predicates": {
                    predicate: {
                        "number": counts.items,
                        "documents": counts.documents,
                        "characters_between": counts.lengths.to_dict(),
                        "types": [[*types, count] for types, count in counts.types.most_common()],
                    }
                    for predicate, counts in by_number(self.predicates)
                },
            },
            "events": {
                "number": self.events.total(),
                "types": dict(self.events.most_common()),
                "roles": [[*names, count] for names, count in self.roles.most_common()],
            },
            "pairs": {
                "number": self.pairs,
                "classes": dict(self.classes.most_common()),
                "scores": None if self.scores is None else list(self.scores),
            },
        }


def by_number(counts: Mapping[str, LabelCounts]) -> list[tuple[str, LabelCounts]]:
    """Return the counts of the labels, those with most items first."""
    return sorted(counts.items(), key=lambda item: (-item[1].items, item[0]))


def sum_of(values: Distribution) -> int:
    """Return the sum of the values."""
    return sum(value * count for value, count in values.items())


def _count_tokens(text: str) -> int:
    return sum(map(len, split_at_boundaries(text, ())))


def _gap(relation: Relation) -> int:
    """Return the number of characters between two arguments, 0 if they touch or overlap."""
    one, other = relation.subject, relation.object
    return max(0, other.start - one.end, one.start - other.end)


def _reach(relation: Relation) -> int:
    one, other = relation.subject, relation.object
    return max(one.end, other.end) - min(one.start, other.start)


def _overlaps(spans: Iterable[Span]) -> tuple[int, int, int]:
    """Return how many different spans are inside another, the largest depth, and how many cross another.

    >>> _overlaps([(0, 9), (0, 4), (2, 4), (3, 6)])
    (3, 3, 3)
    """
    nested = depth = 0
    crossing: set[Span] = set()
    around: list[Span] = []
    for span in sorted(set(spans), key=lambda span: (span[0], -span[1])):
        around = [one for one in around if one[1] > span[0]]
        inside = [one for one in around if one[1] >= span[1]]
        nested += bool(inside)
        depth = max(depth, len(inside) + 1)
        if len(inside) < len(around):
            crossing.update([span, *(one for one in around if one[1] < span[1])])
        around.append(span)
    return nested, depth, len(crossing)
