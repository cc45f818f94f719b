"""The scores of an agreement, as tables and as JSON values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ie_cli.metrics.agreement import Confusion, kappa, label_kappas
from ie_cli.metrics.entities import Counts, EntityScores
from ie_cli.metrics.relations import RelationScores
from ie_cli.metrics.scores import Row, ScoreTable

_COLUMNS = ("F1", "A", "B", "both")
_KAPPAS = ("kappa of tokens", "kappa of characters")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementScores:
    """How far two annotations of the same texts agree.

    Attributes:
        documents: the number of pairs of documents.
        equal: the number of those without a disagreement.
        counts: the number of disagreements by item and kind.
        entities, relations: the scores of these, with the first annotation as gold.
        tokens, characters: the units of all texts by their classes on both sides.
        events: the counts of events by type.
        classes: the numbers of pairs of texts by their classes on both sides.
    """

    documents: int
    equal: int
    counts: Mapping[tuple[str, str], int]
    entities: EntityScores
    tokens: Confusion
    characters: Confusion
    relations: RelationScores
    events: Mapping[str, Counts]
    classes: Counter[tuple[str, str]]

    def tables(self) -> Iterator[ScoreTable]:
        """Yield a table for each kind of item that occurs."""
        if _occurs(self.entities.micro):
            yield self._entity_table()
        if _occurs(self.relations.text):
            yield self._relation_table()
        if self.events:
            rows = tuple(_row(name, counts) for name, counts in self.events.items())
            yield ScoreTable("events", ("type", *_COLUMNS), rows, (_row("all (micro)", _sum(self.events.values())),))
        if self.classes:
            yield self._class_table()

    def _entity_table(self) -> ScoreTable:
        by_label = [label_kappas(self.tokens), label_kappas(self.characters)]
        rows = tuple(
            _row(label, counts, *(kappas.get(label) for kappas in by_label))
            for label, counts in self.entities.labels.items()
        )
        summary = (
            _row("all (micro)", self.entities.micro, kappa(self.tokens), kappa(self.characters)),
            _row(
                "boundaries only", self.entities.boundaries, *map(kappa, map(_covered, (self.tokens, self.characters)))
            ),
        )
        return ScoreTable("entities", ("label", *_COLUMNS, *_KAPPAS), rows, summary)

    def _relation_table(self) -> ScoreTable:
        scores = self.relations
        rows = tuple(_row(name, counts) for name, counts in scores.predicates.items())
        criteria = {"spans and types": scores.strict, "spans": scores.boundaries, "text": scores.text}
        summary = tuple(_row(f"by {name}", counts) for name, counts in criteria.items() if counts is not None)
        how = "by text" if scores.match == "text" else "by spans and types"
        return ScoreTable(
            "relations", ("predicate", *_COLUMNS), rows, summary, (f"rows of predicates: relations {how}",)
        )

    def _class_table(self) -> ScoreTable:
        rows = tuple(_row(name, counts) for name, counts in self._class_counts().items())
        note = f"Cohen's kappa {_shown(kappa(self.classes))}"
        return ScoreTable(
            "classes of pairs", ("class", *_COLUMNS), rows, (_row("all", _sum(self._class_counts().values())),), (note,)
        )

    def _class_counts(self) -> dict[str, Counts]:
        names = sorted({name for pair in self.classes for name in pair})
        sides: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        for pair, count in self.classes.items():
            for side, name in zip(sides, pair, strict=True):
                side[name] += count
        return {name: Counts(sides[0][name], sides[1][name], self.classes[name, name]) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """Return all scores, unrounded; a kind of item that does not occur is left out."""
        fields: dict[str, Any] = {"documents": self.documents, "equal": self.equal}
        if _occurs(self.entities.micro):
            tokens, characters = label_kappas(self.tokens), label_kappas(self.characters)
            fields["entities"] = {
                **_fields(self.entities.micro),
                "boundaries": _fields(self.entities.boundaries),
                "kappa_tokens": kappa(self.tokens),
                "kappa_characters": kappa(self.characters),
                "labels": {
                    label: _fields(counts)
                    | {"kappa_tokens": tokens.get(label), "kappa_characters": characters.get(label)}
                    for label, counts in self.entities.labels.items()
                },
            }
        if _occurs(self.relations.text):
            scores = self.relations
            criteria = {"strict": scores.strict, "boundaries": scores.boundaries, "text": scores.text}
            fields["relations"] = {name: _fields(counts) for name, counts in criteria.items() if counts is not None}
            fields["relations"]["match"] = scores.match
            fields["relations"]["predicates"] = {name: _fields(counts) for name, counts in scores.predicates.items()}
        if self.events:
            types = {name: _fields(counts) for name, counts in self.events.items()}
            fields["events"] = {**_fields(_sum(self.events.values())), "types": types}
        if self.classes:
            classes = {name: _fields(counts) for name, counts in self._class_counts().items()}
            fields["pairs"] = {"kappa": kappa(self.classes), "classes": classes}
        counts: dict[str, dict[str, int]] = {}
        for (item, kind), count in self.counts.items():
            counts.setdefault(item, {})[kind] = count
        return fields | {"disagreement_counts": counts}


def _occurs(counts: Counts) -> bool:
    return bool(counts.gold or counts.predicted)


def _covered(confusion: Confusion) -> Counter[tuple[bool, bool]]:
    """Return units by whether any entity covers them."""
    found: Counter[tuple[bool, bool]] = Counter()
    for (one, other), count in confusion.items():
        found[bool(one), bool(other)] += count
    return found


def _sum(counts: Iterable[Counts]) -> Counts:
    some = list(counts)
    return Counts(sum(c.gold for c in some), sum(c.predicted for c in some), sum(c.correct for c in some))


def _row(name: str, counts: Counts, *kappas: float | None) -> Row:
    scored = counts.gold or counts.predicted
    return name, (counts.f1 if scored else None, counts.gold, counts.predicted, counts.correct, *kappas)


def _fields(counts: Counts) -> dict[str, Any]:
    return {"f1": counts.f1, "a": counts.gold, "b": counts.predicted, "both": counts.correct}


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
