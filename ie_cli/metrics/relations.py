"""Precision, recall and F1 of relations: sets of triples, micro over the corpus, against all gold.

Three ways to say what makes a triple the same (Taillé et al. 2020, "Let's Stop Incorrect Comparisons in End-to-end Relation
Extraction!", for the first two):

    strict       predicate, both spans, both labels
    boundaries   predicate, both spans
    text         predicate, both texts; each slot of a complex object is a triple of its own

Where the data give texts alone, spans are guesses of the reader, so only the third way says anything. Ratios without a
denominator, and the macro mean, are those of `metrics`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.metrics.duie import OfficialCounts, OfficialScorer, spos_of
from ie_cli.metrics.entities import COLUMNS, Counts, EntityScorer, EntityScores, macro_f1, macro_row, unseen_notes
from ie_cli.metrics.scores import Ceiling, DocumentCounts, ScoreTable, reach_notes
from ie_cli.triples import ROLES, Span, Triple, entities_of, triples_of

Match = Literal["strict", "boundaries", "text"]
Argument = Span | str


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """A triple as it is compared: its arguments are spans, or texts; labels are empty where they do not count."""

    subject: Argument
    predicate: str
    object: Argument
    labels: tuple[str, str] = ("", "")

    def triple(self, text: str) -> Triple:
        """The triple of texts."""
        return mention(text, self.subject), self.predicate, mention(text, self.object)


def mention(text: str, argument: Argument) -> str:
    """The text of an argument."""
    return argument if isinstance(argument, str) else text[slice(*argument)]


def items(document: Document, match: Match) -> set[Item]:
    """The distinct triples of an example under a way to match."""
    if match == "text":
        return {Item(*triple) for triple in triples_of(document)}
    return {
        Item(
            (r.subject.start, r.subject.end),
            r.predicate,
            (r.object.start, r.object.end),
            (r.subject.label, r.object.label) if match == "strict" else ("", ""),
        )
        for r in document.relations
    }


def with_text(predicted: Document, text: str) -> Document:
    """A prediction on its gold example's text: files of predictions may leave the text out."""
    return predicted if predicted.text == text else replace(predicted, text=text)


@dataclass(frozen=True, slots=True)
class RelationScores:
    """Scores of a corpus.

    Attributes:
        match: the way to match that `micro`, `predicates` and `unseen` are by.
        strict, boundaries: None where offsets are guessed.
        predicates: by predicate, in the model's order.
        official: by the published rules of DuIE, where asked for.
        entities: None where the model has no entity types of its own.
        unseen: of triples that the training data do not hold; only its recall means something.
        documents: by the chosen way to match, where asked for.
    """

    match: Match
    strict: Counts | None
    boundaries: Counts | None
    text: Counts
    predicates: dict[str, Counts]
    official: OfficialCounts | None = None
    entities: EntityScores | None = None
    ceiling: Ceiling | None = None
    unseen: Counts | None = None
    documents: DocumentCounts | None = None

    @property
    def micro(self) -> Counts:
        """The counts of the chosen way to match."""
        ways = {"strict": self.strict, "boundaries": self.boundaries, "text": self.text}
        return ways[self.match] or self.text

    @property
    def primary(self) -> float:
        """The micro F1 by the chosen way to match."""
        return self.micro.f1

    @property
    def support(self) -> int:
        """Gold items."""
        return self.micro.gold

    def values(self) -> dict[str, float]:
        """Columns of the logs."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1}

    @property
    def precision(self) -> float:
        return self.micro.precision

    @property
    def recall(self) -> float:
        return self.micro.recall

    @property
    def f1(self) -> float:
        return self.micro.f1

    @property
    def macro_f1(self) -> float:
        return macro_f1(self.predicates.values())

    @property
    def ceilings(self) -> dict[str, Ceiling]:
        """Those of relations and of entities, where they were counted."""
        entities = {} if self.entities is None else self.entities.ceilings
        return entities if self.ceiling is None else {"relations": self.ceiling, **entities}

    def tables(self) -> list[ScoreTable]:
        """A row for each predicate; micro, other ways to match and macro below; then the entities', where there are some."""
        ways = {"spans and types": self.strict, "spans": self.boundaries, "text": self.text}
        others = [(f"by {name}", counts) for name, counts in ways.items() if counts is not self.micro]
        summary = [self.micro.row("all (micro)")]
        summary += [counts.row(name) for name, counts in others if counts is not None]
        if self.official is not None:
            summary.append(self.official.row("DuIE's rules"))
        how = {"text": "relations by their texts", "strict": "relations by spans and types"}.get(self.match, "by spans")
        table = ScoreTable(
            "relations",
            ("predicate", *COLUMNS),
            tuple(counts.row(predicate) for predicate, counts in self.predicates.items()),
            (*summary, macro_row(self.macro_f1)),
            (how, *reach_notes(self.ceiling, "relations"), *unseen_notes(self.unseen, "triples")),
        )
        entities = self.entities.tables() if self.entities is not None else []
        return [table, *(replace(table, title="entities") for table in entities)]

    def to_dict(self) -> dict[str, Any]:
        """All scores, unrounded: the layout of ``ie eval --json`` and of `metrics.json`; what is None is left out."""
        fields: dict[str, Any] = self.micro.to_dict()
        fields["macro_f1"] = self.macro_f1
        fields["match"] = self.match
        for way, counts in (("strict", self.strict), ("boundaries", self.boundaries), ("text", self.text)):
            if counts is not None:
                fields[way] = counts.to_dict()
        fields["predicates"] = {predicate: counts.to_dict() for predicate, counts in self.predicates.items()}
        for name, part in (("official", self.official), ("entities", self.entities), ("ceiling", self.ceiling)):
            if part is not None:
                fields[name] = part.to_dict()
        if self.unseen is not None:
            fields["unseen"] = self.unseen.recall_dict()
        return fields


class RelationScorer:
    """Count pairs of gold and predicted examples; memory grows with the labels alone, but for what is asked for besides.

    Args:
        predicates, labels: the model's, for their order; others are added behind them as they appear.
        match: None takes `text` if any offsets are guessed, else `strict`.
        entities: score the entities too; None: where gold lists some, and the predictions are of more than `ROLES`.
        seen: (subject, predicate, object) of the training data by their texts, to score the others by themselves.
        official: the scorer of DuIE's rules, for data that are scored by them.
        documents: keep the counts of each document.
    """

    def __init__(
        self,
        predicates: Iterable[str] = (),
        labels: Iterable[str] = (),
        match: Match | None = None,
        *,
        entities: bool | None = False,
        seen: Collection[Triple] | None = None,
        official: OfficialScorer | None = None,
        documents: bool = False,
    ) -> None:
        self._predicates = list(predicates)
        self._match = match
        self._entities = None if entities is False else EntityScorer(labels)
        self._wanted = entities
        self._named, self._types = False, set[str]()
        self._seen = seen
        self._official = official
        self._guessed = False
        self._ways: dict[Match, _Way] = {
            "strict": _Way(documents=documents),
            "boundaries": _Way(documents=documents),
            "text": _Way(documents=documents),
        }

    def add(self, gold: Document, predicted: Document) -> None:
        """Count one document; duplicates on either side count once.

        Raises:
            DataError: spans are to be compared, but those of one side are guessed.
        """
        predicted = with_text(predicted, gold.text)
        self._require_offsets(gold, predicted)
        for match, way in self._ways.items():
            if match == "text" or not self._guessed:
                way.add(items(gold, match), items(predicted, match), gold.text, self._seen)
        if self._official is not None:
            self._official.add(gold.text, spos_of(gold), spos_of(predicted))
        if self._entities is not None:
            self._entities.add(*(replace(side, entities=list(entities_of(side))) for side in (gold, predicted)))
            self._named |= bool(gold.entities)
            self._types.update(entity.label for entity in predicted.entities)

    def scores(self, ceilings: Mapping[str, Ceiling] | None = None) -> RelationScores:
        """The scores of what was added so far."""
        match = self._match or ("text" if self._guessed else "strict")
        chosen = self._ways[match]
        return RelationScores(
            match,
            None if self._guessed else self._ways["strict"].counts(),
            None if self._guessed else self._ways["boundaries"].counts(),
            self._ways["text"].counts(),
            chosen.by_predicate(self._predicates),
            None if self._official is None else self._official.counts(),
            self._entity_scores(ceilings),
            (ceilings or {}).get("relations"),
            None if self._seen is None else Counts(chosen.unseen[0], 0, chosen.unseen[1]),
            None if chosen.documents is None else chosen.documents.copy(),
        )

    def _entity_scores(self, ceilings: Mapping[str, Ceiling] | None) -> EntityScores | None:
        if self._entities is None or self._guessed:
            return None
        roles = bool(self._types) and self._types <= set(ROLES)
        wanted = self._named and not roles if self._wanted is None else self._wanted
        return self._entities.scores(ceilings) if wanted else None

    def _require_offsets(self, gold: Document, predicted: Document) -> None:
        """Note where offsets are guessed; a guess on either side can only meet the other one by luck."""
        for side, document in (("gold", gold), ("predicted", predicted)):
            if document.spos is None:
                continue
            self._guessed = True
            if self._match in ("strict", "boundaries"):
                where = document.where or gold.where
                raise DataError(
                    f"{where + ': ' if where else ''}the {side} triples give no offsets: {self._match} scores on guessed "
                    "offsets would be luck",
                    hint="use match text.",
                )


class _Way:
    """Counts of one way to match."""

    def __init__(self, *, documents: bool) -> None:
        self._gold: Counter[str] = Counter()
        self._predicted: Counter[str] = Counter()
        self._correct: Counter[str] = Counter()
        self.unseen = [0, 0]
        self.documents = DocumentCounts() if documents else None

    def add(self, gold: set[Item], predicted: set[Item], text: str, seen: Collection[Triple] | None) -> None:
        both = gold & predicted
        if self.documents is not None:
            self.documents.add(len(gold), len(predicted), len(both))
        self._gold.update(item.predicate for item in gold)
        self._predicted.update(item.predicate for item in predicted)
        self._correct.update(item.predicate for item in both)
        if seen is not None:
            unseen = {item for item in gold if item.triple(text) not in seen}
            self.unseen[0] += len(unseen)
            self.unseen[1] += len(unseen & both)

    def counts(self) -> Counts:
        return Counts(self._gold.total(), self._predicted.total(), self._correct.total())

    def by_predicate(self, order: Iterable[str]) -> dict[str, Counts]:
        """The order given, all others sorted behind."""
        first = dict.fromkeys(order)
        others = sorted((self._gold.keys() | self._predicted.keys()) - first.keys())
        return {p: Counts(self._gold[p], self._predicted[p], self._correct[p]) for p in [*first, *others]}
