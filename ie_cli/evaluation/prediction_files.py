"""Put a file of predictions beside its gold data, and score it without a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.evaluation.environment import describe_environment
from ie_cli.evaluation.result import ErrorSummary, EvaluationResult
from ie_cli.metrics.scores import ErrorAnalysis, Scorer
from ie_cli.tasks import TASKS, ScoringOptions, Task


def pair_documents(gold: Iterable[Document], predicted: Iterable[Document]) -> Iterator[tuple[Document, Document]]:
    """Pair by order, checking that the texts (and the ids, where both have one) are the same; in a stream.

    A prediction without a text (CLUENER's submission form) must have the gold example's id.

    Raises:
        DataError: the two do not belong together, with both places.
    """
    for number, (truth, guess) in enumerate(zip_longest(gold, predicted), 1):
        if truth is None or guess is None:
            longer, shorter = ("gold data", "predictions") if guess is None else ("predictions", "gold data")
            raise DataError(
                f"the {shorter} end after {number - 1} examples, the {longer} go on",
                hint="score the file that was predicted from; `ie predict --on-error skip` leaves lines out.",
            )
        _check(truth, guess, number)
        yield truth, guess


def _check(truth: Document, guess: Document, number: int) -> None:
    where = f"{guess.where or f'prediction {number}'} and {truth.where or f'gold example {number}'}"
    if truth.id is not None and guess.id is not None and truth.id != guess.id:
        raise DataError(
            f"{where}: id {guess.id!r} stands beside id {truth.id!r}",
            hint="predictions and gold data must be in one order, without missing lines.",
        )
    if not guess.text and truth.text and guess.id is not None:
        end = max((entity.end for entity in guess.entities), default=0)
        if end > len(truth.text):
            raise DataError(
                f"{where}: an entity ends at {end}, but the text has {len(truth.text)} characters",
                hint="are these predictions of the same data, and the ids unique?",
            )
    elif guess.text != truth.text:
        raise DataError(
            f"{where}: the texts differ: {guess.text[:40]!r} beside {truth.text[:40]!r}",
            hint="predictions and gold data must hold the same texts in one order, without missing lines.",
        )


def evaluate_predictions(
    pairs: Iterable[tuple[Document, Document]],
    *,
    options: ScoringOptions,
    model: str,
    data: str,
    trained: Iterable[Document] | None = None,
    keep: int = 0,
) -> EvaluationResult:
    """Score pairs of gold and predicted documents as what the gold holds: the last task of `TASKS` that has items in it.

    An option that means nothing for this task is left aside where it belongs to a task that the gold holds no items of.

    Args:
        model, data: the names of the predictions and of the gold data, for reports.
        trained: the training data, to report the recall on all that is not in them.
        keep: examples of each kind of error.

    Raises:
        DataError: an option has no meaning for what the gold data hold.
    """
    known = None if trained is None else list(trained)
    candidates = [_Candidate.of(task, options, known, keep) for task in reversed(TASKS.values())]
    for truth, guess in pairs:
        for place, candidate in enumerate(candidates):
            candidate.add(truth, guess)
            if candidate.found:
                del candidates[place + 1 :]
    chosen = candidates[-1]
    if not any(accepts(candidate.task, options) for candidate in candidates):
        chosen.task.validate_options(options)
    return EvaluationResult(
        task=chosen.task.name,
        model=model,
        data=data,
        scores=chosen.scorer.scores(),
        errors=ErrorSummary.of(chosen.analysis),
        environment=describe_environment(),
    )


def accepts(task: Task, options: ScoringOptions) -> bool:
    """Whether all of the options mean something for a task."""
    try:
        task.validate_options(options)
    except DataError:
        return False
    return True


@dataclass(slots=True)
class _Candidate:
    """A task that the gold data may be of.

    Attributes:
        found: whether gold holds an item of it.
    """

    task: Task
    scorer: Scorer
    analysis: ErrorAnalysis
    found: bool = field(default=False, init=False)

    @classmethod
    def of(cls, task: Task, options: ScoringOptions, trained: Iterable[Document] | None, keep: int) -> _Candidate:
        own = options if accepts(task, options) else ScoringOptions(documents=options.documents)
        own = replace(own, seen=None if trained is None else task.seen(trained))
        return cls(task, task.scorer(LabelSchema(()), own), task.errors(keep, own))

    def add(self, gold: Document, predicted: Document) -> None:
        """Score one document."""
        self.scorer.add(gold, predicted)
        self.analysis.add(gold, predicted)
        self.found = self.found or bool(self.task.items(gold))
