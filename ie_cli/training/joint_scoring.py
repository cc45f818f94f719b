"""Score documents with several processes: each predicts a share of them, and the first one scores all.

The shares are the chunks that a single process would form of the same documents, so that every prediction is the same to the last
bit, whatever the number of processes. In each round, every process predicts one chunk, and the first collects them in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from ie_cli.codecs.base import Annotation
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.evaluation.evaluate import score
from ie_cli.evaluation.gold import CeilingCounter
from ie_cli.evaluation.thresholds import ThresholdProbe
from ie_cli.inference.pipeline import Engine, chunks_of, extract
from ie_cli.metrics.scores import Ceiling, Scores
from ie_cli.metrics.threshold_curve import ThresholdChoice
from ie_cli.system.signals import Stop, Stopped
from ie_cli.tasks import ScoringOptions, Task
from ie_cli.training.processes import Processes


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of a task, the same in all processes.

    Attributes:
        choice: the threshold that is best for what was scored; None if none is chosen.
    """

    scores: Scores
    choice: ThresholdChoice | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JointScoring:
    """What scores a task on documents.

    Attributes:
        stop: checked by several processes after each round.
        probe: finds the best threshold, if one is chosen.
    """

    processes: Processes
    stop: Stop
    task: Task
    schema: LabelSchema
    options: ScoringOptions
    probe: ThresholdProbe | None

    def score(
        self, engine: Engine, documents: Iterable[Document], *, ceilings: Mapping[str, Ceiling] | None = None
    ) -> Scored:
        """Predict and score documents.

        Args:
            engine: an engine with this task only.
            documents: the documents, the same in all processes.
            ceilings: their recall ceilings if known; otherwise they are counted.

        Raises:
            IEError: a process failed.
            Stopped: a signal has arrived at one of several processes.
        """
        if self.probe is not None:
            engine = self.probe.engine
        if self.processes.several:
            return self._together(engine, documents, ceilings)
        each = None if self.probe is None else self.probe.add
        scores = score(
            engine, documents, task=self.task, schema=self.schema, options=self.options, each=each, ceilings=ceilings
        )
        return Scored(scores, self._choice(scores))

    def _choice(self, scores: Scores) -> ThresholdChoice | None:
        return None if self.probe is None else self.probe.choice(scores)

    def _together(
        self, engine: Engine, documents: Iterable[Document], ceilings: Mapping[str, Ceiling] | None
    ) -> Scored:
        processes, scorer = self.processes, self.task.scorer(self.schema, self.options)
        if ceilings is None:  # tokenise each text only once for prediction and ceilings
            engine = replace(engine, tokenizer=engine.tokenizer.with_cache())
        reach = CeilingCounter.of(engine) if ceilings is None else None
        for gold, own in self._rounds(engine, documents):
            found = processes.collect(processes.together(lambda own=own: self._predicted(engine, own)))  # type: ignore[misc]
            for chunk, predicted in zip(gold, found, strict=False):  # only the first process has any
                for document, (guess, low) in zip(chunk, predicted, strict=True):
                    scorer.add(document, guess)
                    if self.probe is not None and low is not None:
                        self.probe.count(document, guess, low)
                    if reach is not None:
                        reach.add(document)
            self._check_stop()
        if self.probe is not None:
            self.probe.raise_floor(processes.gather(self.probe.floor))
        return processes.on_first(lambda: self._result(scorer, reach, ceilings))

    def _result(self, scorer: Any, reach: CeilingCounter | None, ceilings: Mapping[str, Ceiling] | None) -> Scored:
        scores: Scores = scorer.scores(ceilings if reach is None else reach.ceilings())
        return Scored(scores, self._choice(scores))

    def _rounds(
        self, engine: Engine, documents: Iterable[Document]
    ) -> Iterator[tuple[list[list[Document]], list[Document]]]:
        """Yield the chunks of each round, and the one that this process predicts, which is empty if there is none."""
        chunks = chunks_of(engine, documents)
        while gold := list(islice(chunks, self.processes.count)):
            rank = self.processes.rank
            yield gold, gold[rank] if rank < len(gold) else []

    def _predicted(self, engine: Engine, chunk: list[Document]) -> list[tuple[Document, Annotation | None]]:
        """Return the annotation of each document, and what a low threshold finds in it."""
        probe = self.probe
        return [
            (guess, None if probe is None else probe.take(document))
            for document, guess in zip(chunk, extract(engine, chunk), strict=True)
        ]

    def _check_stop(self) -> None:
        [signum] = self.processes.highest([self.stop.signum or 0])
        if signum:
            raise Stopped(signum)
