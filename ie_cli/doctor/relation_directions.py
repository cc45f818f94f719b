"""Find predicates that join their arguments in both directions, or types that they hardly ever join."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from ie_cli.data.findings import Finding
from ie_cli.document import Document, Relation
from ie_cli.errors import counted
from ie_cli.formats.common.base import quoted

_SHOWN = 5
_ENOUGH = 20  # relations of a predicate with its usual types
_RARE = 0.02  # share of types that a predicate hardly ever joins
_MAJORITY = 10  # relations in the usual direction for each in the other one
_SHARE = 0.01

Types = tuple[str, str]


@dataclass(slots=True)
class RelationDirections:
    """The types that each predicate joins, with their numbers and the first places, and the pairs joined in both directions."""

    relations: int = 0
    both: dict[str, int] = field(default_factory=dict)
    _both_shown: dict[str, str] = field(default_factory=dict)
    _types: defaultdict[str, dict[Types, int]] = field(default_factory=lambda: defaultdict(dict))
    _places: dict[tuple[str, Types], str] = field(default_factory=dict)

    def add(self, document: Document) -> None:
        """Add a document; positions of triples without offsets are guessed, but their types are not."""
        relations = set(document.relations)
        self.relations += len(relations)
        for relation in sorted(relations):
            subject, object_ = relation.subject, relation.object
            types = subject.label, object_.label
            counts = self._types[relation.predicate]
            counts[types] = counts.get(types, 0) + 1
            shown = f"{document.where}: {_mention(document, relation)}"
            self._places.setdefault((relation.predicate, types), shown)
            if subject < object_ and Relation(object_, relation.predicate, subject) in relations:
                self.both[relation.predicate] = self.both.get(relation.predicate, 0) + 1
                self._both_shown.setdefault(relation.predicate, shown)

    def findings(self, split: str) -> Iterator[Finding]:
        """Yield the findings about pairs in both directions, reversed types and rare types."""
        yield from self._in_both_directions(split)
        reversed_, rare = [], []
        for predicate, counts in self._types.items():
            usual, most = max(counts.items(), key=lambda item: (item[1], item[0]))
            for types, count in counts.items():
                if types == usual or most < _ENOUGH:
                    continue
                opposite = counts.get((types[1], types[0]), 0) if types[0] != types[1] else 0
                if opposite >= _MAJORITY * count:
                    reversed_.append((count, predicate, types, opposite))
                elif count < _RARE * sum(counts.values()):
                    rare.append((count, predicate, types, most))
        if reversed_:
            total = sum(count for count, *_ in reversed_)
            yield Finding(
                "warning" if total >= _SHARE * self.relations else "note",
                f"{split}: {counted(total, 'relation')} whose predicate joins the same types at least {_MAJORITY} times as "
                "often in the other direction; subject and object may be exchanged:"
                f"{self._listed(reversed_, 'in the other direction')}",
            )
        if rare:
            total = sum(count for count, *_ in rare)
            yield Finding(
                "note",
                f"{split}: {counted(total, 'relation')} with types that are rare for the predicate (less than {_RARE:.0%}); "
                f"their types or predicates may be wrong:{self._listed(rare, 'with the usual types')}",
            )

    def _in_both_directions(self, split: str) -> Iterator[Finding]:
        """Yield a note for predicates that join some pairs in both directions, but not all."""
        partial = {p: n for p, n in self.both.items() if 2 * n < sum(self._types[p].values())}
        if partial:
            listed = "".join(
                f"\n  {quoted(predicate)}: {2 * count:,} of {sum(self._types[predicate].values()):,} relations, first "
                f"{self._both_shown[predicate]}"
                for predicate, count in sorted(partial.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
            )
            yield Finding(
                "note",
                f"{split}: {counted(len(partial), 'predicate')} annotated in both directions between some pairs of entities, but "
                f"only in one between others; if they are symmetric, annotate them alike:{listed}",
            )

    def _listed(self, found: list[tuple[int, str, Types, int]], what: str) -> str:
        lines = ""
        for count, predicate, types, most in sorted(found, key=lambda one: (one[0] / one[3], one[1:3]))[:_SHOWN]:
            place = self._places[predicate, types]
            lines += f"\n  {quoted(predicate)} {types[0]} → {types[1]}: {count:,}, {most:,} {what}, first {place}"
        return lines


def _mention(document: Document, relation: Relation) -> str:
    subject, object_ = (document.text[one.start : one.end] for one in (relation.subject, relation.object))
    return f"{quoted(subject)} → {quoted(object_)}"
