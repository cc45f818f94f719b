"""Compare a prediction file with its gold data, and score it without a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.errors import DataError, counted
from ie_cli.evaluation.environment import describe_environment
from ie_cli.evaluation.result import ErrorSummary, EvaluationResult
from ie_cli.metrics.scores import ErrorAnalysis, Scorer
from ie_cli.tasks import TASKS, ScoringOptions, Task


def pair_documents(gold: Iterable[Document], predicted: Iterable[Document]) -> Iterator[tuple[Document, Document]]:
    """Pair documents by order in a stream, and check that their texts (and second texts and ids, if both have one) are equal.

    A prediction without a text (CLUENER's submission format) must have the id of the gold example.

    Raises:
        DataError: the two do not match; the message names both places.
    """
    for number, (truth, guess) in enumerate(zip_longest(gold, predicted), 1):
        if truth is None or guess is None:
            longer, shorter = ("gold data", "predictions") if guess is None else ("predictions", "gold data")
            raise DataError(
                f"the {shorter} end after {counted(number - 1, 'example')}, but the {longer} continue",
                hint="score the file that was predicted from; `ie predict --on-error skip` skips lines.",
            )
        _check(truth, guess, number)
        yield truth, guess


def _check(truth: Document, guess: Document, number: int) -> None:
    where = f"{guess.where or f'prediction {number}'} and {truth.where or f'gold example {number}'}"
    if truth.id is not None and guess.id is not None and truth.id != guess.id:
        raise DataError(
            f"{where}: id {guess.id!r} differs from id {truth.id!r}",
            hint="put predictions and gold data in the same order, without missing lines.",
        )
    if not guess.text and truth.text and guess.id is not None:
        end = max((entity.end for entity in guess.entities), default=0)
        if end > len(truth.text):
            raise DataError(
                f"{where}: an entity ends at {end}, but the text has {counted(len(truth.text), 'character')}",
                hint="check that these are predictions of the same data, and that the ids are unique.",
            )
        return
    texts = [(guess.text, truth.text)]
    if guess.text_pair is not None and truth.text_pair is not None:  # formats of entities cannot hold a second text
        texts.append((guess.text_pair, truth.text_pair))
    for one, other in texts:
        if one != other:
            raise DataError(
                f"{where}: the texts differ: {one[:40]!r} and {other[:40]!r}",
                hint="predictions and gold data must have the same texts in the same order, without missing lines.",
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
    """Score pairs of gold and predicted documents for the last task of `TASKS` that has items in the gold data.

    An option that does not apply to this task is ignored if it applies to a task without items in the gold data.

    Args:
        pairs: the pairs, e.g. from `pair_documents`.
        options: the scoring options.
        model: the name of the predictions, for reports.
        data: the name of the gold data, for reports.
        trained: the training data, to report the recall on items that they do not contain.
        keep: the number of examples of each kind of error.

    Raises:
        DataError: an option does not apply to the items of the gold data.
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
    """Return whether all options apply to a task."""
    try:
        task.validate_options(options)
    except DataError:
        return False
    return True


@dataclass(slots=True)
class _Candidate:
    """A task that the gold data may be annotated for.

    Attributes:
        found: whether the gold data have an item of it.
    """

    task: Task
    scorer: Scorer
    analysis: ErrorAnalysis
    found: bool = field(default=False, init=False)

    @classmethod
    def of(cls, task: Task, options: ScoringOptions, trained: Iterable[Document] | None, keep: int) -> _Candidate:
        options = options if accepts(task, options) else ScoringOptions(documents=options.documents)
        options = replace(options, seen=None if trained is None else task.seen(trained))
        return cls(task, task.scorer(LabelSchema(()), options), task.errors(keep, options))

    def add(self, gold: Document, predicted: Document) -> None:
        """Score one document."""
        self.scorer.add(gold, predicted)
        self.analysis.add(gold, predicted)
        self.found = self.found or bool(self.task.items(gold))
