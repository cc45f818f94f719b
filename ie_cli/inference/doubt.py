"""Find out, while an engine predicts, which predictions are in doubt: how near to their thresholds the candidates are.

The outputs of the same model pass are decoded a second time, with lower thresholds, so that rejected candidates count as
predicted ones do. What is measured is the margin in logits, ``|log(p/(1-p)) - log(t/(1-t))|``, from the probability p of an
item to its threshold t: it does not depend on where the threshold is, and a calibrated temperature is part of p.

The low thresholds depend on nothing but the options, so that a resumed job finds the same.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from ie_cli.codecs.base import Annotation, Candidates, Decoded, Decoder, Decoding, Mask, Outputs, decode
from ie_cli.codecs.pairs import PairDecoder
from ie_cli.document import Entity, Relation
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_boundaries import BoundaryMasks
from ie_cli.inference.pipeline import Engine, Extraction, Pending

FARTHEST = 4.0
"""The margin in logits from which on an item is not in doubt, if no score says so: a probability of 0.98 or 0.02 at 0.5."""
_LOW = "low."
"""Prefix of the parts that the second decoding finds."""
_LEAST, _MOST = 1e-12, 60.0
"""The least probability, and a margin that no two probabilities have."""
Reach = Callable[[float], float]
"""Returns the margin below which an item is in doubt, from its threshold."""


def logit(probability: float) -> float:
    """Return ``log(p/(1-p))``, finite for 0 and 1, too."""
    clipped = min(max(probability, _LEAST), 1 - _LEAST)
    return math.log(clipped) - math.log1p(-clipped)


def reach_of(below: float | None) -> Reach:
    """Return how far from its threshold an item is in doubt.

    Args:
        below: the score below which a predicted item is in doubt, and a rejected one with the same margin, too; None for
            the margin `FARTHEST`.
    """
    if below is None:
        return lambda threshold: FARTHEST
    return lambda threshold: max(0.0, logit(below) - logit(threshold))


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is in doubt in one document.

    Attributes:
        margins: the margins of the items in doubt, of which no two entities share a character.
        tokens: the number of tokens that the model has read of it.
    """

    margins: tuple[float, ...]
    tokens: int

    @property
    def uncertainty(self) -> float:
        """The sum of the items' entropies in bits, divided by the root of the number of tokens.

        The sum alone prefers long texts, which cost more to annotate, and the mean by token prefers the shortest ones.
        """
        return sum(map(entropy, self.margins)) / math.sqrt(max(1, self.tokens))


def entropy(margin: float) -> float:
    """Return the entropy in bits of a decision with the probability ``σ(margin)``: 1 on the threshold, 0 far from it."""
    p = 1 / (1 + math.exp(min(margin, _MOST)))
    return -(p * math.log2(p) + (1 - p) * math.log2(1 - p))


@dataclass(frozen=True, slots=True)
class Watch:
    """An engine that predicts as another one, and what is in doubt in each document that it has just predicted."""

    engine: Engine
    _found: deque[Doubt] = field(default_factory=deque)

    @classmethod
    def of(cls, engine: Engine, *, below: float | None = None) -> Watch:
        """Return the engine that watches another one.

        Args:
            engine: what predicts.
            below: the score below which an item is in doubt; see `reach_of`.
        """
        found: deque[Doubt] = deque()

        def observe(pending: Pending, annotation: Annotation) -> None:
            second = 0 if pending.second is None else len(pending.second)
            found.append(Doubt(tuple(annotation.margins), len(pending.tokens) + second))

        tasks = tuple(_watched(part, reach_of(below)) for part in engine.tasks)
        return cls(replace(engine, tasks=tasks, observer=observe), found)

    def take(self) -> Doubt:
        """Return the doubt of the next document; they are in the order of the predicted documents."""
        return self._found.popleft()


def thresholds_of(engine: Engine) -> Iterator[float]:
    """Yield the thresholds of an engine's tasks: those of their labels, and 0.5 for pairs, whose classes have a cut."""
    for part in engine.tasks:
        if part.codec.reads == "windows":
            yield from {part.decoding.threshold, *part.decoding.thresholds.values()}
        elif _is_cut(part):
            yield 0.5


def _is_cut(part: Extraction) -> bool:
    """Return whether a task decides between classes of pairs; the grades of others have no threshold."""
    return len(part.decoding.decision) > 0


def _watched(part: Extraction, reach: Reach) -> Extraction:
    if part.codec.reads != "windows":
        if not _is_cut(part):
            return part
        return replace(part, decoder=cast(Decoder, PairDoubts(cast(PairDecoder, part.decoder), reach)))
    return replace(part, decoder=DoubtDecoder(part, reach))


class DoubtDecoder:
    """Decodes as the decoder of a task, and again with low thresholds, and adds the margins of items in doubt.

    Args:
        part: the task.
        reach: how far from its threshold an item is in doubt.
    """

    def __init__(self, part: Extraction, reach: Reach) -> None:
        self._decoder, self._decoding, self._reach = part.decoder, part.decoding, reach
        self._low: Decoder = part.codec.decoder(lowered(part.decoding, reach))
        self.tokens = {**part.decoder.tokens, **{_LOW + name: at for name, at in self._low.tokens.items()}}

    def decode(self, outputs: Outputs, mask: Mask, boundaries: BoundaryMasks | None = None) -> Decoded:
        """Find the candidates of a batch with both thresholds."""
        found = decode(self._decoder, outputs, mask, boundaries)
        low = decode(self._low, outputs, mask, boundaries).parts
        return Decoded({**found.parts, **{_LOW + name: part for name, part in low.items()}}, found.truncated)

    def annotate(self, found: Mapping[str, Candidates], tokens: Tokens, plan: WindowPlan, text: str) -> Annotation:
        """Select the items of a text, with the margins of those in doubt."""
        low = {name.removeprefix(_LOW): part for name, part in found.items() if name.startswith(_LOW)}
        own = {name: part for name, part in found.items() if not name.startswith(_LOW)}
        annotation = self._decoder.annotate(own, tokens, plan, text)
        annotation.margins = self._margins(annotation, self._low.annotate(low, tokens, plan, text))
        return annotation

    def _margins(self, own: Annotation, low: Annotation) -> list[float]:
        entities = [(e, self._margin(e.label, e.score)) for e in own.entities]
        entities += [(e, -self._margin(e.label, e.score)) for e in set(low.entities).difference(own.entities)]
        relations = [self._margin(r.predicate, r.score) for r in own.relations if not _is_limited(r)]
        others = set(low.relations).difference(own.relations)
        relations += [-self._margin(r.predicate, r.score) for r in sorted(others) if not _is_limited(r)]
        # What exceeds its threshold and is not predicted was rejected for another reason, such as an overlap.
        return [*_apart(entities), *(margin for margin in relations if 0 <= margin < math.inf)]

    def _margin(self, name: str, score: float | None) -> float:
        """Return the signed margin of an item, positive if it exceeds its threshold; infinite if it is not in doubt."""
        threshold = self._decoding.thresholds.get(name, self._decoding.threshold)
        margin = logit(score or 0.0) - logit(threshold)
        return margin if abs(margin) < self._reach(threshold) else math.inf


class PairDoubts(PairDecoder):
    """Decodes pairs as another decoder, and adds the margin of a pair's similarity to the next cut between two classes.

    A cosine from -1 to 1 is taken for a probability from 0 to 1.
    """

    def __init__(self, decoder: PairDecoder, reach: Reach) -> None:
        super().__init__(decoder.schema, Decoding(decision=tuple(decoder.decision)), by_cosine=decoder.by_cosine)
        self._within = reach(0.5)

    def annotation(self, score: float) -> Annotation:
        """Return a pair's similarity and its class, and its margin if it is in doubt."""
        found = super().annotation(score)
        margin = min(abs(self._logit(score) - self._logit(cut)) for cut in self.decision.tolist())
        found.margins = [margin] if margin < self._within else []
        return found

    def _logit(self, score: float) -> float:
        return logit((1 + score) / 2 if self.by_cosine else score)


def lowered(decoding: Decoding, reach: Reach) -> Decoding:
    """Return options that also find the rejected items in doubt."""

    def low(threshold: float) -> float:
        return 1 / (1 + math.exp(reach(threshold) - logit(threshold)))

    thresholds = {name: low(threshold) for name, threshold in decoding.thresholds.items()}
    return replace(decoding, threshold=low(decoding.threshold), thresholds=thresholds)


def _apart(entities: Iterable[tuple[Entity, float]]) -> Iterator[float]:
    """Yield the margins of the entities most in doubt that share no character: neighbouring spans are one question."""
    taken: set[int] = set()
    in_doubt = [(margin, entity) for entity, margin in entities if 0 <= margin < math.inf]
    for margin, entity in sorted(in_doubt):
        characters = range(entity.start, entity.end)
        if taken.isdisjoint(characters):
            taken.update(characters)
            yield margin


def _is_limited(relation: Relation) -> bool:
    """Return whether a relation has the score of an argument, which is then in doubt itself."""
    scores = (relation.subject.score, relation.object.score)
    return any(score is not None and score <= (relation.score or 0.0) for score in scores)
