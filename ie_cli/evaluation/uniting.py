"""Unite the annotations that several files have of one text, and find what they contradict each other in.

A file that uses a label nowhere says nothing about it, so that files with different labels complement each other. An item that
only one side has is therefore a conflict if the other side's file uses its label somewhere: it is missing there, or has another
label or boundary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, TypeVar

from ie_cli.data.label_items import label_items
from ie_cli.document import Document, Entity, Event
from ie_cli.errors import DataError
from ie_cli.evaluation.agreement import (
    ALONE,
    Disagreement,
    Sides,
    entity_details,
    event_details,
    pair_details,
    relation_details,
)
from ie_cli.metrics.entity_errors import ErrorCase, entity_cases
from ie_cli.metrics.relation_errors import relation_cases
from ie_cli.metrics.relations import Item, item_of
from ie_cli.metrics.scores import ErrorRecord

OnConflict = Literal["error", "first", "union"]
Names = set[tuple[str, str]]
"""Kinds of items with their labels, as in `label_items`."""


@dataclass(slots=True)
class Uniting:
    """Unites versions of texts, with counts.

    Attributes:
        keep_first: whether a conflicting item of a later version is left out.
        conflicts: called with each conflict.
        names: the labels that each file uses.
        texts: the number of texts with several versions, and of those whose annotations are equal.
        added: the number of items that later versions added without a conflict.
        counts: the number of conflicts by item and kind.
        fields: the number of user fields and ids that differ, of which the first is kept.
    """

    keep_first: bool
    conflicts: Callable[[Disagreement], None]
    names: list[Names] = field(default_factory=list)
    texts: list[int] = field(default_factory=lambda: [0, 0])
    added: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    fields: int = 0

    def unite(self, versions: Sequence[tuple[int, Document]]) -> Document:
        """Return one document for versions of a text, each given with the number of its file.

        Raises:
            DataError: some versions have triples with offsets, others without.
        """
        (first, united), *others = versions
        known, before = set(self.names[first]), (self.counts.total(), self.added)
        for file, version in others:
            united = self._both(united, version, known, self.names[file])
            known |= self.names[file]
        self.texts[0] += 1
        self.texts[1] += (self.counts.total(), self.added) == before
        return united

    def _both(self, one: Document, other: Document, known: Names, names: Names) -> Document:
        """Return the union of two versions; `known` and `names` are the labels that their files use."""
        _require_same_offsets(one, other)
        names_of, where = (known, names), (one.where or "", other.where or "")
        entities = set(self._entities(one, other, names_of, where))
        triples = set(self._triples(one, other, names_of, where))
        events = set(self._events(one, other, names_of, where))
        self._pair(one, other, where)
        self.fields += sum(one.meta[key] != value for key, value in other.meta.items() if key in one.meta)
        self.fields += one.id is not None and other.id is not None and one.id != other.id
        guessed = other.spos is not None or one.spos is not None
        relations = [
            relation
            for relation in other.relations
            if item_of(relation, "text" if guessed else "strict", other.text) not in triples
            and not {relation.subject, relation.object} & entities
        ]
        spos = [spo for spo in other.spos or () if not {Item(*triple) for triple in spo.triples} & triples]
        return replace(
            one,
            entities=_union(one.entities, (entity for entity in other.entities if entity not in entities)),
            relations=_union(one.relations, relations),
            events=_union(one.events, (event for event in other.events if event not in events)),
            spos=_union(one.spos or (), spos) if guessed else None,
            meta=other.meta | one.meta,
            id=other.id if one.id is None else one.id,
            label=other.label if one.label is None else one.label,
            score=other.score if one.score is None else one.score,
            related=one.related or other.related,
        )

    def _entities(
        self, one: Document, other: Document, names_of: tuple[Names, Names], where: tuple[str, str]
    ) -> Iterator[Entity]:
        """Count conflicts, and yield the entities of the later version to leave out."""
        for case in _separate(entity_cases(one, other)[0]):
            labels = [None if side is None else side.label for side in (case.gold, case.predicted)]
            out = self._leaves_out("entity", labels, names_of, where, (case.kind, partial(entity_details, case)))
            if out and case.predicted is not None:
                yield case.predicted

    def _triples(
        self, one: Document, other: Document, names_of: tuple[Names, Names], where: tuple[str, str]
    ) -> Iterator[Item]:
        for case in relation_cases(one, other)[0]:
            predicates = [None if side is None else side.predicate for side in (case.gold, case.predicted)]
            out = self._leaves_out(
                "relation", predicates, names_of, where, (case.kind, partial(relation_details, case))
            )
            if out and case.predicted is not None:
                yield case.predicted

    def _events(
        self, one: Document, other: Document, names_of: tuple[Names, Names], where: tuple[str, str]
    ) -> Iterator[Event]:
        sides = set(one.events), set(other.events)
        for event in sorted(sides[0] - sides[1]):
            make = partial(event_details, one, event, "only_a")
            self._leaves_out("event", [event.type, None], names_of, where, ("missed", make))
        for event in sorted(sides[1] - sides[0]):
            make = partial(event_details, one, event, "only_b")
            if self._leaves_out("event", [None, event.type], names_of, where, ("invented", make)):
                yield event

    def _pair(self, one: Document, other: Document, where: tuple[str, str]) -> None:
        """Count a conflict between the classes or scores of a pair, of which the first is kept."""
        values = ((one.label, other.label), (one.score, other.score))
        if any(None not in pair and pair[0] != pair[1] for pair in values):
            self._conflict("pair", where, ("class", partial(pair_details, one, other, "class")))

    def _leaves_out(
        self,
        item: str,
        labels: Sequence[str | None],
        names_of: tuple[Names, Names],
        where: tuple[str, str],
        case: _Case,
    ) -> bool:
        """Return whether an item of the later version is left out; count a conflict, or an added item.

        Args:
            item: the kind of item.
            labels: the label on each side; None if a side has nothing.
            names_of: the labels that the file of each side uses.
            where: the place of each side.
            case: the kind of the difference, and what returns its details.
        """
        sides = zip(labels, reversed(names_of), strict=True)
        if not any(label is not None and (item, label) in names for label, names in sides):
            self.added += labels[1] is not None
            return False
        self._conflict(item, where, case)
        return self.keep_first

    def _conflict(self, item: str, where: tuple[str, str], case: _Case) -> None:
        kind, make = case
        self.counts[item, ALONE.get(kind, kind)] += 1
        (a, b), shown = make()
        self.conflicts(Disagreement(item=item, where=where, a=a, b=b, record=shown))


_Case = tuple[str, Callable[[], tuple[Sides, ErrorRecord]]]
_Item = TypeVar("_Item")


def names_of_document(document: Document) -> Names:
    """Return the labels that a document uses."""
    return set(label_items(document))


def _separate(cases: Iterable[ErrorCase]) -> Iterator[ErrorCase]:
    """Yield the cases; entities that differ in boundary and label may both be right, and are judged separately."""
    for case in cases:
        if case.kind == "both":
            yield replace(case, kind="missed", predicted=None)
            yield replace(case, kind="invented", gold=None)
        else:
            yield case


def _union(first: Iterable[_Item], second: Iterable[_Item]) -> list[_Item]:
    return list(dict.fromkeys([*first, *second]))


def _require_same_offsets(one: Document, other: Document) -> None:
    """Check that the relations of both versions have offsets, or neither.

    Raises:
        DataError: they do not.
    """
    sides = (one, other), (other, one)
    if any(a.spos is not None and b.spos is None and b.relations for a, b in sides):
        raise DataError(
            f"{one.where} and {other.where}: the relations of one have offsets, those of the other have not",
            hint="convert the file with offsets first: ie convert IN OUT.json --to duie.",
        )
