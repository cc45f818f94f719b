"""Find out, while an engine predicts, which threshold would be better: the outputs of the same model pass are decoded twice.

The second decoding has a low threshold, and its items with their probabilities make the curve of F1 by threshold. So that its
cost stays near that of the first one, even for a model that has hardly learned to say no, it may find at most as many candidates
as there are tokens: in the first batch, its threshold is lowered until it finds more, or is the lowest one of the curve; in
every batch with more, it is raised until it finds no more. Lower thresholds than the highest of these are not considered. It is
the highest that a batch needs, so that it does not depend on the order of the batches, or on which process predicts them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from ie_cli.codecs.base import Annotation, Candidates, Decoded, Decoder, Mask, Outputs, decode
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_boundaries import BoundaryMasks
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.merging import shifted
from ie_cli.inference.pipeline import Engine
from ie_cli.metrics.scores import Scores
from ie_cli.metrics.threshold_curve import LEAST_GAIN, LOWEST, ThresholdChoice, ThresholdCurve
from ie_cli.tasks import ScoringOptions, Task, ThresholdTask, has_thresholds

_LOW = "low."
"""Prefix of the parts that the second decoding finds."""
_SAME = 1e-3
"""Largest difference of two F1 that are counted in different ways. It is larger for heads whose items at a low threshold do not
contain those at a higher one, and then nothing is chosen."""


class TwiceDecoder:
    """Decodes as another decoder, and a second time with a low threshold; the annotations of the latter are queued.

    Args:
        decoder: what decodes.
        current: its threshold, at least `LOWEST`.
        at: returns the decoder with another threshold.
    """

    def __init__(self, decoder: Decoder, current: float, at: Callable[[float], Decoder]) -> None:
        self._decoder, self._at = decoder, at
        self._ladder = _ladder(current)
        self._step, self._low = 0, decoder
        self._begun = False
        self._queue: deque[tuple[str, Annotation]] = deque()
        self.tokens = {**decoder.tokens, **{_LOW + name: columns for name, columns in decoder.tokens.items()}}

    def decode(self, outputs: Outputs, mask: Mask, boundaries: BoundaryMasks | None = None) -> Decoded:
        """Find the candidates of a batch with both thresholds."""
        found, limit = decode(self._decoder, outputs, mask, boundaries), int(mask.sum())
        more = found if self._low is self._decoder else decode(self._low, outputs, mask, boundaries)
        while not self._begun and self._step < len(self._ladder) - 1 and _count(more) <= limit:
            self._move(1)
            more = decode(self._low, outputs, mask, boundaries)
        self._begun, counted = True, more
        while self._step and _count(counted) > limit:
            self._move(-1)
            counted = decode(self._low, outputs, mask, boundaries)
        low = {_LOW + name: part for name, part in more.parts.items()}
        return Decoded({**found.parts, **low}, found.truncated)

    def annotate(self, found: Mapping[str, Candidates], tokens: Tokens, plan: WindowPlan, text: str) -> Annotation:
        """Select the items of a text, and queue those with the low threshold."""
        low = {name.removeprefix(_LOW): part for name, part in found.items() if name.startswith(_LOW)}
        self._queue.append((text, self._low.annotate(low, tokens, plan, text)))
        own = {name: part for name, part in found.items() if not name.startswith(_LOW)}
        return self._decoder.annotate(own, tokens, plan, text)

    def take(self, text: str) -> Annotation:
        """Return what the low threshold finds in a text that was annotated as a whole, or cut into pieces; in the same order."""
        piece, found = self._queue.popleft()
        at = text.index(piece)
        whole = shifted(found, at)
        while text[at + len(piece) :].strip():  # nothing but whitespace separates pieces
            at += len(piece)
            piece, found = self._queue.popleft()
            at = text.index(piece, at)
            whole.append(shifted(found, at))
        return whole

    @property
    def floor(self) -> float | None:
        """The highest low threshold so far; None before the first batch."""
        return self._ladder[self._step] if self._begun else None

    def _move(self, steps: int) -> None:
        """Lower the threshold by some steps of 1 in logits, or raise it."""
        self._step += steps
        self._low = self._at(self._ladder[self._step]) if self._step else self._decoder


def _ladder(current: float) -> list[float]:
    """Return the thresholds from the current one to the lowest of the curve, in steps of 1 in logits."""
    found = [current]
    while found[-1] > LOWEST:
        odds = math.exp(-1) * found[-1] / (1 - found[-1])
        found.append(max(odds / (1 + odds), LOWEST))
    return found


def _count(found: Decoded) -> int:
    return sum(len(part.scores) for part in found.parts.values())


class ThresholdProbe:
    """Collects the curve of F1 by threshold while an engine predicts.

    Attributes:
        engine: the engine to predict with, which predicts as the given one.
        per_label: whether its thresholds differ by label.
    """

    def __init__(
        self,
        extractor: Extractor,
        engine: Engine,
        task: ThresholdTask,
        *,
        current: float,
        per_label: bool = False,
        flat: bool | None = None,
        options: ScoringOptions,
    ) -> None:
        [part] = engine.tasks
        name = part.name

        def at(threshold: float) -> Decoder:
            return extractor.engine(threshold=threshold, flat=flat).only(name).tasks[0].decoder

        self._decoder = TwiceDecoder(part.decoder, current, at)
        self.engine = replace(engine, tasks=(replace(part, decoder=self._decoder),))
        self._task, self._options, self.per_label = task, options, per_label
        self._schema: LabelSchema = part.codec.schema
        self._curve = ThresholdCurve(current)
        self._floor: float | None = None

    @property
    def description(self) -> str:
        """The threshold in use, for reports."""
        return "per label" if self.per_label else f"{self._curve.current:g}"

    def add(self, gold: Document, predicted: Document) -> None:
        """Count a document that the engine has just predicted."""
        self.count(gold, predicted, self.take(gold))

    def take(self, gold: Document) -> Annotation:
        """Return what the low threshold finds in a document that the engine has just predicted."""
        return self._decoder.take(gold.text)

    def count(self, gold: Document, predicted: Document, found: Annotation) -> None:
        """Count a document, which may have been predicted by another process, given what the low threshold finds in it."""
        low = replace(predicted, entities=found.entities, relations=found.relations)
        self._curve.add(*self._task.scored_items(gold, low, self._schema, self._options))

    @property
    def floor(self) -> float | None:
        """The lowest threshold that can be chosen, according to what was predicted; None if nothing was."""
        return self._floor if self._floor is not None else self._decoder.floor

    def raise_floor(self, floors: Iterable[float | None]) -> None:
        """Set the lowest threshold that can be chosen to the highest of those of several probes."""
        self._floor = max((floor for floor in floors if floor is not None), default=None)

    def choice(self, scores: Scores) -> ThresholdChoice | None:
        """Return the best threshold for the data that were added.

        Args:
            scores: the scores of the engine on these data.

        Returns:
            The choice; None if it would be wrong: the curve does not have the F1 of these scores at the current threshold, or
            thresholds per label are better than a single one.
        """
        floor = self._curve.current if self.floor is None else self.floor
        choice, f1 = self._curve.choose(floor), scores.primary
        if self.per_label:
            return replace(choice, f1_before=f1) if choice.changed and choice.f1 >= f1 + LEAST_GAIN else None
        if abs(choice.f1_before - f1) > _SAME:
            return None
        return replace(choice, f1=choice.f1 if choice.changed else f1, f1_before=f1)


def threshold_probe(
    extractor: Extractor,
    name: str,
    engine: Engine,
    *,
    task: Task,
    options: ScoringOptions,
    threshold: float | None = None,
    flat: bool | None = None,
) -> ThresholdProbe | None:
    """Return what finds a better threshold for a task of a model; None if it has none, or an extreme one.

    Args:
        extractor: the model.
        name: the name of the task in the recipe.
        engine: an engine of this task only.
        task: the task.
        options: the scoring options.
        threshold: the threshold that the engine was built with, if it is not that of the model.
        flat: whether the engine removes overlapping entities, if it is not as the model says.
    """
    if not has_thresholds(task):
        return None
    head = extractor.recipe.instances()[name].head
    current = extractor.tasks[name].threshold_in_use(head) if threshold is None else threshold
    if not LOWEST <= current < 1:
        return None
    per_label = threshold is None and bool(head.thresholds)
    return ThresholdProbe(extractor, engine, task, current=current, per_label=per_label, flat=flat, options=options)


def describe_better(choice: ThresholdChoice, *, per_label: bool = False) -> str:
    """Say what a better threshold gives than those in use.

    Args:
        choice: the better threshold.
        per_label: whether the thresholds in use differ by label.
    """
    now = "the thresholds per label" if per_label else f"the threshold {choice.before:g}"
    return f"F1 is {choice.f1:.4f} with the threshold {choice.threshold:g}, and {choice.f1_before:.4f} with {now}"
