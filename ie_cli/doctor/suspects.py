"""Rank the places where models that have not seen an annotation contradict it: the likely errors of annotation.

A place has two versions: that of the annotation, a, and that of the model, m. Its score is a log odds, in nats:

    s = logit p(m) - logit p(a) + log((n(m) + ½) / (n(a) + ½))

p is the probability that the model, which was trained on other folds, gives to a span and label; n counts how often the same
string is annotated so in other places. If a version has no entity here, its p is one minus that of the other version's entity,
and its n counts the places where the string has no annotation or another label. A model that predicts nothing says little if it
misses many entities: for an annotated entity that the model rejects, the first two terms are replaced by -log(1 - r), where r is
the share of the entities with this label that it finds, because it predicts nothing for an entity with the probability 1 - r.
The same is done where the model predicts only a part of an annotated name, which leaves out more than `LONGEST_SLIP` letters
and digits in whole words: names contain names, as "New York Times" contains "York", so that this says no more than nothing.

That held-out probabilities show errors of annotation is the idea of confident learning (Northcutt, Jiang, Chuang 2021, arXiv
1911.00068), and that the same string annotated in two ways does is that of Dickinson and Meurers (2003). Confident learning's
thresholds by label, which are the mean probability of a label where it is annotated, are not used: subtracting their logits made
the ranking no better (`benchmarks/RESULTS.md`).
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from ie_cli.data.findings import Finding
from ie_cli.doctor.mention_counts import MentionCounts
from ie_cli.document import Document, Entity
from ie_cli.document.word_boundaries import begins_word, ends_word
from ie_cli.errors import counted
from ie_cli.formats.common.base import quoted

Kind = Literal["wrong label", "wrong boundary", "missing", "spurious"]
LOWEST = 0.002
"""The probability that lower ones count as, so that a single model's certainty has a limit."""
LEAST = 1.0
"""The score below which a place is not suspected."""
SHOWN = 100
LONGEST_SLIP = 3
"""The number of letters and digits up to which words beside an entity are taken for a part of it by mistake, as an article is."""
_FOUND = 0.5  # score of a prediction
_AROUND = 10  # characters


@dataclass(frozen=True, slots=True)
class Version:
    """An entity as it is annotated, or as the model predicts it.

    Attributes:
        mention: its text.
        probability: of the entity, by a model that has not seen it.
        elsewhere: in how many other places its string is annotated with its label.
        otherwise: in how many other places its string has no annotation, or only that of another label.
    """

    entity: Entity
    mention: str
    probability: float
    elsewhere: int
    otherwise: int

    def describe(self, whose: str, *, alone: bool) -> str:
        """Return the entity and the numbers that count for or against it.

        Args:
            whose: "annotated" or "model".
            alone: whether the other version has no entity.
        """
        others = f", {self.otherwise} otherwise" if alone else ""
        name = f"{whose} {self.entity.label} {quoted(self.mention)}"
        return f"{name} ({self.probability:.2f}; {self.elsewhere} elsewhere{others})"


@dataclass(frozen=True, slots=True)
class Suspect:
    """A place where the annotation is likely wrong.

    Attributes:
        score: how much speaks against the annotation, in nats.
        gold, predicted: the two versions; None if there is no entity.
        around: the text around them.
    """

    kind: Kind
    score: float
    where: str
    gold: Version | None
    predicted: Version | None
    around: str

    def describe(self) -> str:
        """Return the place, the kind and both versions, with their reasons."""
        alone = self.gold is None or self.predicted is None
        sides = [
            version.describe(whose, alone=alone)
            for whose, version in (("annotated", self.gold), ("model", self.predicted))
            if version is not None
        ]
        return f"{self.where}: {self.kind} ({self.score:.1f}): {', '.join(sides)}, in {quoted(self.around)}"


def logit(probability: float) -> float:
    """Return ``log(p/(1-p))``, for a p between `LOWEST` and one minus it."""
    p = min(max(probability, LOWEST), 1 - LOWEST)
    return math.log(p / (1 - p))


def odds_of_counts(model: int, annotated: int) -> float:
    """Return ``log((n(m) + ½) / (n(a) + ½))``."""
    return math.log((model + 0.5) / (annotated + 0.5))


@dataclass(slots=True)
class Suspects:
    """The suspected places in all documents, and how well the models agree with the annotation as a whole.

    Memory holds the best places of each kind, those of rejected entities by label, and the counts of the strings.

    Attributes:
        mentions: counts over all documents.
        kept: number of the best places to keep.
    """

    mentions: MentionCounts
    kept: int = SHOWN
    _gold: Counter[str] = field(default_factory=Counter)
    _found: Counter[str] = field(default_factory=Counter)
    _predicted: int = 0
    _number: int = 0
    _best: defaultdict[tuple[Kind, str], list[tuple[float, int, Suspect]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _kinds: Counter[Kind] = field(default_factory=Counter)
    _rejected: Counter[tuple[Kind, str, float]] = field(
        default_factory=Counter
    )  # by kind, label and term of the counts

    def add(self, gold: Document, predicted: Document) -> None:
        """Compare a document with its prediction, which has scores and was made with the threshold `LOWEST`."""
        annotated = sorted(set(gold.entities))
        scores = {entity: entity.score or 0.0 for entity in predicted.entities}
        likely = sorted(entity for entity in set(scores).difference(annotated) if scores[entity] >= _FOUND)
        self._predicted += sum(score >= _FOUND for score in scores.values())
        there = defaultdict[int, list[Entity]](list)
        for one in likely:
            for at in range(one.start, one.end):
                there[at].append(one)
        contradictions: list[Suspect] = []
        for entity in annotated:
            score = scores.get(entity, 0.0)
            self._gold[entity.label] += 1
            self._found[entity.label] += score >= _FOUND
            if score >= _FOUND:
                continue
            here = sorted({one for at in range(entity.start, entity.end) for one in there.get(at, ())})
            version = self._version(gold, entity, score, annotated=True)
            rivals = [one for one in here if not _is_part(gold.text, one, entity)]
            contradictions += [_replaced(gold, version, self._version(gold, one, scores[one])) for one in rivals]
            if not rivals:
                part = max((one for one in here if one.label == entity.label), key=scores.__getitem__, default=None)
                self._reject(gold, version, None if part is None else self._version(gold, part, scores[part]))
        covered = {at for entity in annotated for at in range(entity.start, entity.end)}
        for entity in likely:
            if covered.isdisjoint(range(entity.start, entity.end)):
                contradictions.append(_missing(gold, self._version(gold, entity, scores[entity])))
        for suspect in _apart(contradictions):
            if suspect.score >= LEAST:
                self._kinds[suspect.kind] += 1
                self._keep(suspect)

    def _version(self, document: Document, entity: Entity, score: float, *, annotated: bool = False) -> Version:
        mention, place = document.text[entity.start : entity.end], Entity(entity.start, entity.end, entity.label)
        # The place itself is one of those that are annotated so, or one of the others.
        elsewhere = self.mentions.annotated(mention, entity.label) - annotated
        otherwise = self.mentions.otherwise(mention, entity.label) - (not annotated)
        return Version(place, mention, score, max(0, elsewhere), max(0, otherwise))

    def _reject(self, document: Document, gold: Version, part: Version | None) -> None:
        """Keep the place of a gold entity of which the model predicts at most a part; the recall of the label counts, too."""
        evidence = odds_of_counts(gold.otherwise, gold.elsewhere)
        suspect = _suspect("spurious" if part is None else "wrong boundary", evidence, document, gold, part)
        self._rejected[suspect.kind, gold.entity.label, evidence] += 1
        self._keep(suspect, gold.entity.label)

    def _keep(self, suspect: Suspect, label: str = "") -> None:
        best, self._number = self._best[suspect.kind, label], self._number + 1
        heapq.heappush(best, (suspect.score, -self._number, suspect))  # of equal ones, the first is kept
        if len(best) > self.kept:
            heapq.heappop(best)

    @property
    def entities(self) -> int:
        """The number of annotated entities."""
        return self._gold.total()

    @property
    def f1(self) -> float:
        """The F1 of the predictions."""
        return 2 * self._found.total() / max(1, self.entities + self._predicted)

    def _missed(self, label: str) -> float:
        """Return ``-log(1 - r)`` for the recall r of a label."""
        return -math.log(1 - min(self._found[label] / self._gold[label], 1 - LOWEST))

    def counts(self) -> Counter[Kind]:
        """Return the numbers of suspected places, those that are not kept included."""
        found = Counter(self._kinds)
        for (kind, label, term), number in self._rejected.items():
            found[kind] += number * (term + self._missed(label) >= LEAST)
        return +found

    def ranked(self) -> list[Suspect]:
        """Return the suspects that were kept, the likeliest errors first."""
        found = (
            replace(one, score=score + self._missed(label)) if label else one
            for (_, label), best in self._best.items()
            for score, _, one in best
        )
        kept = [one for one in found if one.score >= LEAST]
        return sorted(kept, key=lambda one: (-one.score, one.where, one.kind))

    def findings(self, split: str, *, folds: int) -> Iterator[Finding]:
        """Yield a note with the places that are most likely wrong."""
        ranked, kinds = self.ranked(), self.counts()
        model = f"models trained without the {folds} folds that they were asked about (F1 {self.f1:.2f})"
        if not ranked:
            yield Finding("note", f"{split}: {model} nowhere contradict the annotation clearly")
            return
        listed = "".join(f"\n  {one.describe()}" for one in ranked[:SHOWN])
        shown = f"; the first {SHOWN}" if kinds.total() > SHOWN else ""
        yield Finding(
            "note",
            f"{split}: {model} contradict the annotation in {counted(kinds.total(), 'place')}, which may be errors: "
            f"{', '.join(f'{kind} {count:,}' for kind, count in kinds.most_common())}{shown}:{listed}",
        )


def _replaced(document: Document, gold: Version, model: Version) -> Suspect:
    """Return the place of a gold entity, instead of which the model predicts another one."""
    one, other = gold.entity, model.entity
    same = (one.start, one.end) == (other.start, other.end)
    score = logit(model.probability) - logit(gold.probability) + odds_of_counts(model.elsewhere, gold.elsewhere)
    return _suspect("wrong label" if same else "wrong boundary", score, document, gold, model)


def _missing(document: Document, model: Version) -> Suspect:
    """Return the place of a predicted entity where nothing is annotated; ``logit p - logit(1 - p)`` is ``2 logit p``."""
    score = 2 * logit(model.probability) + odds_of_counts(model.elsewhere, model.otherwise)
    return _suspect("missing", score, document, None, model)


def _suspect(kind: Kind, score: float, document: Document, gold: Version | None, model: Version | None) -> Suspect:
    spans = [version.entity for version in (gold, model) if version is not None]
    start, end = min(one.start for one in spans), max(one.end for one in spans)
    around = document.text[max(0, start - _AROUND) : end + _AROUND]
    return Suspect(kind, score, document.where or "", gold, model, around)


def _is_part(text: str, one: Entity, whole: Entity) -> bool:
    """Return whether an entity is a part of a longer name, rather than this name with another boundary."""
    outside = [(whole.start, min(one.start, whole.end)), (max(one.end, whole.start), whole.end)]
    left, added = _words(text, outside), _words(text, [(one.start, whole.start), (whole.end, one.end)])
    return left is not None and left > LONGEST_SLIP and added == 0


def _words(text: str, spans: Iterable[tuple[int, int]]) -> int | None:
    """Return the number of letters and digits in some spans; None if these do not end where words do."""
    found = 0
    for start, end in spans:
        inside = [at for at in range(start, end) if text[at].isalnum()]
        if inside and not (begins_word(text, inside[0]) and ends_word(text, inside[-1] + 1)):
            return None
        found += len(inside)
    return found


def _apart(suspects: list[Suspect]) -> Iterator[Suspect]:
    """Yield the suspects of a document, the likeliest first, without those that share an entity's characters with one before."""
    taken: set[int] = set()
    for suspect in sorted(suspects, key=lambda one: -one.score):
        sides = (version.entity for version in (suspect.gold, suspect.predicted) if version is not None)
        characters = {at for entity in sides for at in range(entity.start, entity.end)}
        if taken.isdisjoint(characters):
            taken |= characters
            yield suspect
