"""Precision, recall and F1 of relations as sets of triples, micro-averaged over the corpus, against all gold.

There are three criteria for matching triples (the first two from Taillé et al. 2020, "Let's Stop Incorrect Comparisons in
End-to-end Relation Extraction!"):

    strict       predicate, both spans, both labels
    boundaries   predicate, both spans
    text         predicate, both texts; each slot of a complex object is a separate triple

If the data have texts only, the spans are guessed by the reader, and only the third criterion is meaningful. It ignores types.
If both sides have types, triples are therefore counted once more by text and types.

Ratios whose denominator is 0 and the macro mean are defined as in `entities`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ie_cli.document import Document, Relation
from ie_cli.document.fields import NO_TYPE
from ie_cli.errors import DataError, counted
from ie_cli.metrics.duie import OfficialCounts, OfficialScorer, spos_of
from ie_cli.metrics.entities import COLUMNS, Counts, EntityScorer, EntityScores, macro_f1, macro_row, unseen_notes
from ie_cli.metrics.scores import Ceiling, DocumentCounts, ScoreTable, reach_notes
from ie_cli.triples import ROLES, Span, Triple, entities_and_unrelated, entities_of, simple_triples, triples_of

Match = Literal["strict", "boundaries", "text"]
Argument = Span | str


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """A triple in the form in which it is compared: arguments are spans or texts; labels are empty if they are ignored."""

    subject: Argument
    predicate: str
    object: Argument
    labels: tuple[str, str] = ("", "")

    def triple(self, text: str) -> Triple:
        """Return the triple of texts."""
        return mention(text, self.subject), self.predicate, mention(text, self.object)


def mention(text: str, argument: Argument) -> str:
    """Return the text of an argument."""
    return argument if isinstance(argument, str) else text[slice(*argument)]


def items(document: Document, match: Match) -> set[Item]:
    """Return the distinct triples of a document by a matching criterion."""
    if match == "text":
        return {Item(*triple) for triple in triples_of(document)}
    return {item_of(relation, match, document.text) for relation in document.relations}


def item_of(relation: Relation, match: Match, text: str) -> Item:
    """Return the triple of a relation by a matching criterion."""
    spans = [(side.start, side.end) for side in (relation.subject, relation.object)]
    if match == "text":
        return Item(mention(text, spans[0]), relation.predicate, mention(text, spans[1]))
    labels = (relation.subject.label, relation.object.label) if match == "strict" else ("", "")
    return Item(spans[0], relation.predicate, spans[1], labels)


def typed_items(document: Document) -> set[Item]:
    """Return the distinct triples of a document by the texts and the types of their arguments."""
    if document.spos is not None:
        return {Item(*triple, (a or NO_TYPE, b or NO_TYPE)) for triple, (a, b) in simple_triples(document.spos).items()}
    found = ((item.triple(document.text), item.labels) for item in items(document, "strict"))
    return {Item(*triple, labels) for triple, labels in found}


def with_text(predicted: Document, text: str) -> Document:
    """Return a prediction with the text of its gold document, because prediction files may omit the text."""
    return predicted if predicted.text == text else replace(predicted, text=text)


@dataclass(frozen=True, slots=True)
class RelationScores:
    """The relation scores of a corpus.

    Attributes:
        match: the matching criterion of `micro`, `predicates` and `unseen`.
        strict, boundaries: counts by these criteria; None if offsets are guessed.
        text: counts by text.
        predicates: counts by predicate, in the model's order.
        official: counts by the published rules of DuIE, if requested.
        entities: scores of the entities; None if the model has no entity types.
        unseen: counts of triples that do not occur in the training data; only the recall is meaningful.
        documents: counts by document, if requested.
        typed: counts by text and types; None if `strict` counts types, or one side has none.
        has_types: whether the arguments of gold triples have types.
        unscored: the number of annotated entities, and of those in no relation, if the model has no entity types.
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
    typed: Counts | None = None
    has_types: bool = False
    unscored: tuple[int, int] = (0, 0)

    @property
    def micro(self) -> Counts:
        """The counts by the chosen matching criterion."""
        counts = {"strict": self.strict, "boundaries": self.boundaries, "text": self.text}
        return counts[self.match] or self.text

    @property
    def primary(self) -> float:
        """The micro F1 by the chosen matching criterion."""
        return self.micro.f1

    @property
    def support(self) -> int:
        """The number of gold items."""
        return self.micro.gold

    def values(self) -> dict[str, float]:
        """Return the columns of the logs."""
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
        """The recall ceilings of relations and entities, if they were counted."""
        entities = {} if self.entities is None else self.entities.ceilings
        return entities if self.ceiling is None else {"relations": self.ceiling, **entities}

    def tables(self) -> list[ScoreTable]:
        """Return a table with a row per predicate and micro, other criteria and macro below; then the entity tables, if any."""
        criteria = {
            "spans and types": self.strict,
            "spans": self.boundaries,
            "text": self.text,
            "text and types": self.typed,
        }
        others = [(f"by {name}", counts) for name, counts in criteria.items() if counts is not self.micro]
        summary = [self.micro.row("all (micro)")]
        summary += [counts.row(name) for name, counts in others if counts is not None]
        if self.official is not None:
            summary.append(self.official.row("DuIE's rules"))
        criterion = {"text": "by text", "strict": "by spans and types"}.get(self.match, "by spans")
        table = ScoreTable(
            "relations",
            ("predicate", *COLUMNS),
            tuple(counts.row(predicate) for predicate, counts in self.predicates.items()),
            (*summary, macro_row(self.macro_f1)),
            (
                f"relations {criterion}",
                *self._type_notes(),
                *self._entity_notes(),
                *reach_notes(self.ceiling, "relations"),
                *unseen_notes(self.unseen, "triples"),
            ),
        )
        entities = self.entities.tables() if self.entities is not None else []
        return [table, *(replace(table, title="entities") for table in entities)]

    def _type_notes(self) -> list[str]:
        """Return the scores that ignore the types that gold has."""
        blind = ["these scores"] if self.match != "strict" else []
        blind += ["DuIE's rules"] if self.official is not None else []
        return [f"{' and '.join(blind)} do not compare the types of arguments"] if blind and self.has_types else []

    def _entity_notes(self) -> list[str]:
        """Return what is not scored of the annotated entities if the model has no entity types."""
        entities, unrelated = self.unscored
        if unrelated:
            are = "is" if unrelated == 1 else "are"
            return [
                f"{unrelated:,} of {entities:,} annotated entities {are} in no relation; the model does not extract them, nor "
                "entity types"
            ]
        if entities:
            types = counted(entities, "annotated entity", "annotated entities")
            return [f"the types of {types} are not compared: the model does not extract them"]
        return []

    def to_dict(self) -> dict[str, Any]:
        """Return all scores but those that are None, unrounded, in the layout of ``ie eval --json`` and `metrics.json`."""
        fields: dict[str, Any] = self.micro.to_dict()
        fields["macro_f1"] = self.macro_f1
        fields["match"] = self.match
        criteria = {"strict": self.strict, "boundaries": self.boundaries, "text": self.text, "text_types": self.typed}
        for match, counts in criteria.items():
            if counts is not None:
                fields[match] = counts.to_dict()
        fields["predicates"] = {predicate: counts.to_dict() for predicate, counts in self.predicates.items()}
        for name, part in (("official", self.official), ("entities", self.entities), ("ceiling", self.ceiling)):
            if part is not None:
                fields[name] = part.to_dict()
        if self.unseen is not None:
            fields["unseen"] = self.unseen.recall_dict()
        return fields


class RelationScorer:
    """Counts pairs of gold and predicted documents; memory only grows with the labels, unless an option needs more.

    Args:
        predicates, labels: those of the model, in order; others follow as they occur.
        match: the matching criterion; None is `text` if any offsets are guessed, else `strict`.
        entities: also score the entities; None: only if gold has entities, and the predicted labels are not just `ROLES`.
        seen: (subject, predicate, object) texts of the training data, to score all other triples separately.
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
        self._score_entities = entities
        self._gold_has_entities, self._types = False, set[str]()
        self._unscored = (0, 0)
        self._seen = seen
        self._official = official
        self._guessed = False
        self._counters: dict[Match, _MatchCounter] = {
            "strict": _MatchCounter(documents=documents),
            "boundaries": _MatchCounter(documents=documents),
            "text": _MatchCounter(documents=documents),
        }
        self._typed = _MatchCounter(documents=False)
        self._argument_types: tuple[set[str], set[str]] = (set(), set())

    def add(self, gold: Document, predicted: Document) -> None:
        """Count one document; duplicates on either side count once.

        Raises:
            DataError: spans are compared, but those of one side are guessed.
        """
        predicted = with_text(predicted, gold.text)
        self._require_offsets(gold, predicted)
        for match, counter in self._counters.items():
            if match == "text" or not self._guessed:
                counter.add(items(gold, match), items(predicted, match), gold.text, self._seen)
        typed = typed_items(gold), typed_items(predicted)
        self._typed.add(*typed, gold.text, None)
        for known, side in zip(self._argument_types, typed, strict=True):
            known.update(label for item in side for label in item.labels)
        if self._official is not None:
            self._official.add(gold.text, spos_of(gold), spos_of(predicted))
        if self._entities is not None:
            self._entities.add(*(replace(side, entities=list(entities_of(side))) for side in (gold, predicted)))
            self._gold_has_entities |= bool(gold.entities)
            self._types.update(entity.label for entity in predicted.entities)
        else:
            entities, unrelated = entities_and_unrelated(gold)
            self._unscored = self._unscored[0] + entities, self._unscored[1] + unrelated

    def scores(self, ceilings: Mapping[str, Ceiling] | None = None) -> RelationScores:
        """Return the scores of the documents added so far."""
        match = self._match or ("text" if self._guessed else "strict")
        chosen = self._counters[match]
        has_types, predicts_types = (bool(types - {NO_TYPE, "", *ROLES}) for types in self._argument_types)
        return RelationScores(
            match,
            None if self._guessed else self._counters["strict"].counts(),
            None if self._guessed else self._counters["boundaries"].counts(),
            self._counters["text"].counts(),
            chosen.by_predicate(self._predicates),
            None if self._official is None else self._official.counts(),
            self._entity_scores(ceilings),
            (ceilings or {}).get("relations"),
            None if self._seen is None else Counts(chosen.unseen[0], 0, chosen.unseen[1]),
            None if chosen.documents is None else chosen.documents.copy(),
            self._typed.counts() if self._guessed and has_types and predicts_types else None,
            has_types,
            self._unscored,
        )

    def _entity_scores(self, ceilings: Mapping[str, Ceiling] | None) -> EntityScores | None:
        if self._entities is None or self._guessed:
            return None
        roles = bool(self._types) and self._types <= set(ROLES)
        scored = self._gold_has_entities and not roles if self._score_entities is None else self._score_entities
        return self._entities.scores(ceilings) if scored else None

    def _require_offsets(self, gold: Document, predicted: Document) -> None:
        """Record whether offsets are guessed; guessed offsets match those of the other side only by chance."""
        for side, document in (("gold", gold), ("predicted", predicted)):
            if document.spos is None:
                continue
            self._guessed = True
            if self._match in ("strict", "boundaries"):
                where = document.where or gold.where
                raise DataError(
                    f"{where + ': ' if where else ''}the {side} triples have no offsets: {self._match} scores on guessed "
                    "offsets would be arbitrary",
                    hint="use match text.",
                )


class _MatchCounter:
    """Counts triples by one matching criterion."""

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
        """Return the counts by predicate: those of `order` first, then all others sorted."""
        first = dict.fromkeys(order)
        others = sorted((self._gold.keys() | self._predicted.keys()) - first.keys())
        return {p: Counts(self._gold[p], self._predicted[p], self._correct[p]) for p in [*first, *others]}
