"""Agreement of two annotations of the same texts: scores by kind of item, kappa, and a list of disagreements.

The first annotation takes the place of gold, the second that of a prediction; F1 is the same the other way round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ie_cli.document import Document, Event
from ie_cli.document.fields import entity_fields, event_fields
from ie_cli.evaluation.agreement_scores import AgreementScores
from ie_cli.metrics.agreement import Confusion, classes_of
from ie_cli.metrics.entities import Counts, EntityScorer
from ie_cli.metrics.entity_errors import ErrorCase, entity_cases, record
from ie_cli.metrics.relation_errors import RelationErrorCase, relation_cases
from ie_cli.metrics.relations import Item, RelationScorer
from ie_cli.metrics.scores import ErrorRecord

KINDS = {
    "label": "other label",
    "boundary": "other boundary",
    "both": "other boundary and label",
    "predicate": "other predicate",
    "type": "other type",
    "class": "other class",
    "only_a": "only in A",
    "only_b": "only in B",
}
"""The kinds of disagreement and their descriptions, in the order in which they are shown."""
ALONE = {"missed": "only_a", "invented": "only_b"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """One item on which two annotations differ.

    Attributes:
        item: what it is: ``entity``, ``relation``, ``event`` or ``pair``.
        where: the places of the record on both sides.
        a, b: the fields of the item on each side; None if a side has nothing.
        record: the disagreement as a report shows it.
    """

    item: str
    where: tuple[str, str]
    a: dict[str, Any] | None
    b: dict[str, Any] | None
    record: ErrorRecord

    @property
    def kind(self) -> str:
        """A key of `KINDS`."""
        return self.record.kind

    def line(self) -> str:
        """Return the disagreement as one line of text."""
        shown = self.record.text.replace("\n", "⏎")
        sides = "; ".join(
            f"{name} {side or 'nothing'}" for name, side in (("A", self.record.gold), ("B", self.record.predicted))
        )
        return f"{' and '.join(dict.fromkeys(self.where))}: {KINDS[self.kind]}: {shown}; {sides}"

    def to_dict(self) -> dict[str, Any]:
        """Return the disagreement as JSON values."""
        fields = {"item": self.item, "kind": self.kind, "where_a": self.where[0], "where_b": self.where[1]}
        return {**fields, "text": self.record.text, "a": self.a, "b": self.b}


@dataclass(slots=True)
class Agreement:
    """Compares pairs of documents.

    Attributes:
        keep: the number of disagreements that are kept; None for all.
        counts: the number of disagreements by item and kind.
        disagreements: the first disagreements.
        documents: the number of pairs, and of those without a disagreement.
        truncated: the number of pairs with so many overlapping disagreements that only equal spans were paired.
    """

    keep: int | None = None
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    disagreements: list[Disagreement] = field(default_factory=list)
    documents: list[int] = field(default_factory=lambda: [0, 0])
    truncated: int = 0
    _entities: EntityScorer = field(default_factory=EntityScorer)
    _tokens: Confusion = field(default_factory=Counter)
    _characters: Confusion = field(default_factory=Counter)
    _relations: RelationScorer = field(default_factory=RelationScorer)
    _events: dict[str, Counter[str]] = field(default_factory=dict)
    _classes: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, a: Document, b: Document) -> None:
        """Compare two annotations of a text."""
        before = self.counts.total()
        for cases in (self._entity_cases, self._relation_cases, self._event_cases, self._pair_cases):
            for item, kind, make in cases(a, b):
                self.counts[item, kind] += 1
                if self.keep is None or len(self.disagreements) < self.keep:
                    sides, shown = make()
                    where = a.where or "", b.where or ""
                    self.disagreements.append(
                        Disagreement(item=item, where=where, a=sides[0], b=sides[1], record=shown)
                    )
        self.documents[0] += 1
        self.documents[1] += self.counts.total() == before

    def _entity_cases(self, a: Document, b: Document) -> Iterator[_Found]:
        self._entities.add(a, b)
        if not a.text_pair:
            for total, found in zip((self._tokens, self._characters), classes_of(a, b), strict=True):
                total.update(found)
        cases, _, truncated = entity_cases(a, b)
        self.truncated += truncated
        for case in cases:
            yield "entity", ALONE.get(case.kind, case.kind), partial(entity_details, case)

    def _relation_cases(self, a: Document, b: Document) -> Iterator[_Found]:
        self._relations.add(a, b)
        cases, _, truncated = relation_cases(a, b)
        self.truncated += truncated
        for case in cases:
            yield "relation", ALONE.get(case.kind, case.kind), partial(relation_details, case)

    def _event_cases(self, a: Document, b: Document) -> Iterator[_Found]:
        sides = set(a.events), set(b.events)
        for counts, some in zip(("gold", "predicted", "correct"), (*sides, sides[0] & sides[1]), strict=True):
            for event in some:
                self._events.setdefault(event.type, Counter())[counts] += 1
        for kind, some in (("only_a", sides[0] - sides[1]), ("only_b", sides[1] - sides[0])):
            for event in sorted(some):
                yield "event", kind, partial(event_details, a, event, kind)

    def _pair_cases(self, a: Document, b: Document) -> Iterator[_Found]:
        if a.label is not None and b.label is not None:
            self._classes[a.label, b.label] += 1
        if a.label != b.label:
            kind = "only_b" if a.label is None else "only_a" if b.label is None else "class"
            yield "pair", kind, partial(pair_details, a, b, kind)

    def scores(self) -> AgreementScores:
        """Return the scores of the documents added so far."""
        return AgreementScores(
            documents=self.documents[0],
            equal=self.documents[1],
            counts={(item, kind): count for item, kind, count in self._ordered_counts()},
            entities=self._entities.scores(),
            tokens=Confusion(self._tokens),
            characters=Confusion(self._characters),
            relations=self._relations.scores(),
            events={
                name: Counts(counts["gold"], counts["predicted"], counts["correct"])
                for name, counts in sorted(self._events.items())
            },
            classes=Counter(self._classes),
        )

    def _ordered_counts(self) -> Iterator[tuple[str, str, int]]:
        for item in dict.fromkeys(item for item, _ in self.counts):
            yield from ((item, kind, self.counts[item, kind]) for kind in KINDS if self.counts[item, kind])


Sides = tuple[dict[str, Any] | None, dict[str, Any] | None]
_Found = tuple[str, str, Callable[[], tuple[Sides, ErrorRecord]]]
"""The item and the kind of a disagreement, and what returns its details."""


def entity_details(case: ErrorCase) -> tuple[Sides, ErrorRecord]:
    """Return the fields of both sides of an entity, and how a report shows it."""
    a, b = (None if side is None else entity_fields(side, case.document.text) for side in (case.gold, case.predicted))
    return (a, b), _renamed(case.record())


def relation_details(case: RelationErrorCase) -> tuple[Sides, ErrorRecord]:
    """Return the same of a triple."""
    a, b = (None if side is None else _item_fields(side, case.document.text) for side in (case.gold, case.predicted))
    return (a, b), _renamed(case.record())


def _renamed(shown: ErrorRecord) -> ErrorRecord:
    return replace(shown, kind=ALONE.get(shown.kind, shown.kind))


def _item_fields(item: Item, text: str) -> dict[str, Any]:
    """Return a triple by its texts, with the spans and labels by which it is compared."""
    fields: dict[str, Any] = dict(zip(("subject", "predicate", "object"), item.triple(text), strict=True))
    if not isinstance(item.subject, str):
        fields["spans"] = [item.subject, item.object]
    return fields | ({"labels": item.labels} if any(item.labels) else {})


def event_details(document: Document, event: Event, kind: str) -> tuple[Sides, ErrorRecord]:
    """Return the same of an event that one side has."""
    text = document.text
    arguments = [f"{argument.role} {document.mention(argument.entity)!r}" for argument in event.arguments]
    trigger = [] if event.trigger is None else [repr(document.mention(event.trigger))]
    described = ", ".join([event.type, *trigger, *arguments])
    spans = [(entity.start, entity.end) for entity in event.entities]
    fields, first = event_fields(event, text), kind == "only_a"
    shown = record(
        kind,
        document,
        described,
        (described, None) if first else (None, described),
        (spans, ()) if first else ((), spans),
    )
    return ((fields, None) if first else (None, fields)), shown


def pair_details(a: Document, b: Document, kind: str) -> tuple[Sides, ErrorRecord]:
    """Return the same of the class of a pair of texts."""
    sides = _class_of(a), _class_of(b)
    shown = record(kind, a, "", sides, ((), ()))
    first, second = (
        None if side is None else {"label": one.label, "score": one.score}
        for one, side in ((a, sides[0]), (b, sides[1]))
    )
    return (first, second), replace(shown, text=f"{a.text} | {a.text_pair}")


def _class_of(document: Document) -> str | None:
    value = document.score if document.label is None else document.label
    return None if value is None else str(value)
