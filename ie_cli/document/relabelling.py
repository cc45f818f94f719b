"""Rename, merge and leave out labels and predicates of documents, and count what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ie_cli.document import Document, Entity, Relation, Spo

_Item = TypeVar("_Item", Entity, Relation, Spo)

NO_RELATION = ("NA", "no_relation", "Other")
"""The predicates with which NYT, TACRED and SemEval mark two entities without a relation."""


@dataclass(frozen=True, slots=True)
class Relabelling:
    """Which names to replace and which to leave out.

    Attributes:
        rename: new names by those in the data.
        ignore: names in the data of entities and relations to leave out; a relation is also left out if the label of its
            subject or object is. A pair of texts keeps the texts, and loses the class.
        no_relation: predicates, by their new names, that mean that there is no relation.
        found: those of `rename` and `ignore` that occurred in the documents so far.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    ignore: Collection[str] = frozenset()
    no_relation: Collection[str] = frozenset()
    found: set[str] = field(default_factory=set, compare=False)

    def __bool__(self) -> bool:
        return bool(self.rename or self.ignore or self.no_relation)

    def keeping(self, predicates: Collection[str]) -> Relabelling:
        """Return a relabelling that does not take predicates of a model for the absence of a relation."""
        return replace(self, no_relation=frozenset(self.no_relation) - set(predicates))


class RelabelledNames:
    """Applies a relabelling to the documents of a file, and counts what it changes."""

    def __init__(self, relabelling: Relabelling) -> None:
        self._relabelling = relabelling
        self._renamed: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()

    def apply(self, document: Document) -> Document:
        """Return the document with the new names; items that a new name makes equal are merged."""
        relabelling = self._relabelling
        if not (relabelling.rename or relabelling.ignore or document.relations or document.spos):
            return document
        label = None if document.label is None else self._name(document.label, count=True)
        spos = None if document.spos is None else [new for spo in document.spos if (new := self._spo(spo)) is not None]
        exact = document.spos is None
        entities = [self._entity(entity, count=True) for entity in document.entities]
        relations = [self._relation(relation, exact=exact) for relation in document.relations]
        return replace(
            document,
            label=label,
            entities=self._merged(entity for entity in entities if entity is not None),
            relations=self._merged(relation for relation in relations if relation is not None),
            spos=None if spos is None else self._merged(spos),
        )

    def _merged(self, items: Iterable[_Item]) -> list[_Item]:
        """Return the items, without repetitions if a name is replaced; those in data whose names stay are reported elsewhere."""
        return list(dict.fromkeys(items) if self._relabelling.rename else items)

    def describe(self) -> Iterator[str]:
        """Yield what was changed, with numbers."""
        rename = self._relabelling.rename
        if self._renamed:
            listed = ", ".join(f"{old} to {rename[old]} {count:,}" for old, count in self._renamed.most_common())
            yield f"renamed labels and predicates: {listed}"
        if self._ignored:
            yield f"ignored labels and predicates: {_listed(self._ignored)}"
        if self._skipped:
            yield f"skipped predicates that mean no relation: {_listed(self._skipped)}"

    def _name(self, name: str, *, count: bool) -> str | None:
        """Return the new name, or None if items with this name are left out."""
        relabelling = self._relabelling
        if name in relabelling.ignore or name in relabelling.rename:
            relabelling.found.add(name)
        if name in relabelling.ignore:
            if count:
                self._ignored[name] += 1
            return None
        if count and name in relabelling.rename:
            self._renamed[name] += 1
        return relabelling.rename.get(name, name)

    def _entity(self, entity: Entity, *, count: bool) -> Entity | None:
        label = self._name(entity.label, count=count)
        return entity if label == entity.label else None if label is None else replace(entity, label=label)

    def _relation(self, relation: Relation, *, exact: bool) -> Relation | None:
        """Return a relation with new names; of triples without offsets, only the triples are counted, not their positions."""
        predicate = self._predicate(relation.predicate, count=exact, slots=not exact)
        if predicate is None:
            return None
        subject, object_ = (self._entity(side, count=False) for side in (relation.subject, relation.object))
        if subject is None or object_ is None:
            if exact:
                self._ignored[relation.predicate] += 1
            return None
        return Relation(subject, predicate, object_, relation.score)

    def _predicate(self, name: str, *, count: bool, slots: bool = False) -> str | None:
        """Return the new name of a predicate; that of a slot ``P.slot`` follows P."""
        base, dot, slot = name.rpartition(".") if slots else ("", "", name)
        known = self._relabelling
        if base and not (name in known.rename or name in known.ignore or name in known.no_relation):
            new = self._predicate(base, count=False)
            return None if new is None else f"{new}{dot}{slot}"
        new = self._name(name, count=count)
        if new is not None and new in known.no_relation:
            if count:
                self._skipped[name] += 1
            return None
        return new

    def _spo(self, spo: Spo) -> Spo | None:
        predicate = self._predicate(spo.predicate, count=True)
        if predicate is None:
            return None
        types = [self._name(kind, count=False) for kind in (spo.subject_type, spo.object_type)]
        if types[0] is None or types[1] is None:
            self._ignored[spo.predicate] += 1
            return None
        kinds = {slot: self._name(kind, count=False) for slot, kind in spo.slot_types}
        kept = tuple((slot, text) for slot, text in spo.slots if kinds.get(slot, "") is not None)
        return replace(
            spo,
            predicate=predicate,
            slots=kept,
            subject_type=types[0],
            object_type=types[1],
            slot_types=tuple((slot, kind) for slot, kind in kinds.items() if kind is not None),
        )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common())
