"""Diagnose training runs that do not learn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ie_cli.encoding.encoder_size import HEAD_RATES, EncoderSize
from ie_cli.errors import counted
from ie_cli.metrics.scores import Scores
from ie_cli.metrics.threshold_curve import ThresholdChoice
from ie_cli.recipe.schema import Recipe
from ie_cli.tasks import Learning, Rate
from ie_cli.training.setup import TrainingSetup, training_items

SEEN_ENOUGH = 1000
"""Number of gold items after which a working run has found something on dev."""
FOUND = 0.1
"""A lower score may be due to chance: an untrained model predicts many spans, and some of them are correct."""


Losses = Mapping[str, tuple[float | None, float | None]]
"""The mean loss of the first steps of each task, and that since the last evaluation, as far as they are known."""


class Diagnostics:
    """Says why the scores of a run are 0, and repeats nothing.

    Attributes:
        best: the best score of each task so far, and its step.
    """

    def __init__(self, recipe: Recipe, setup: TrainingSetup) -> None:
        self._setup = setup
        self._steps = 0
        self._losses: Losses = {}
        self._rates = _rates(recipe, setup)
        self._said: set[str] = set()
        self.best: dict[str, tuple[float, int]] = {}

    def evaluated(self, scores: Mapping[str, Scores], *, step: int, epoch: float, losses: Losses) -> str | None:
        """Return why scores are 0, unless it is too early to know, or None.

        Args:
            scores: the scores on dev by task.
            step: number of completed steps.
            epoch: number of completed epochs.
            losses: the losses of each task.
        """
        self._steps, self._losses = step, losses
        found = [self._zero(name, part, epoch) for name, part in scores.items()]
        for name, part in scores.items():
            if part.primary > self.best.get(name, (0.0, 0))[0]:
                self.best[name] = part.primary, step
        return " ".join(self._new(found)) or None

    def finished(self, scores: Mapping[str, Scores]) -> list[str]:
        """Return why the scores of the finished model are 0 or hardly more, as far as that has not been said."""
        found = [self._zero(name, part, None) or self._low(name, part) for name, part in scores.items()]
        return list(self._new(found))

    def _new(self, found: list[tuple[str, str] | None]) -> Iterator[str]:
        """Yield the texts whose keys are new."""
        for item in found:
            if item is not None and item[0] not in self._said:
                self._said.add(item[0])
                yield item[1]

    def _named(self, name: str, text: str) -> str:
        """Return a diagnosis with the name of its task, if there are several."""
        return f"{name}: {text}" if len(self._setup.tasks) > 1 else text

    def _zero(self, name: str, scores: Scores, epoch: float | None) -> tuple[str, str] | None:
        """Return a key and a diagnosis if the score is 0; `epoch` is None at the end of the run, when nothing is too early."""
        task = self._setup.tasks[name]
        if scores.primary != 0:
            return None
        metric, learning = self._named(name, _title(task.task.metric)), self._learning(name)
        before, at = self.best.get(name, (0.0, 0))
        if before >= FOUND:
            return f"{name} fell", f"{metric} has fallen to 0 from {before:.4f} at step {at}. {learning.advise()}"
        items = training_items(task.task, task.dataset, learning)
        seen = items.total * epoch if epoch is not None else None
        if seen is not None and seen < SEEN_ENOUGH:
            return None
        still = "still " if not before and seen is not None else ""
        after = f" after {seen:.0f} {task.task.words.annotated}" if seen is not None else ""
        was = f" (it was {before:.4f} at step {at})" if before else ""
        return f"{name} zero", f"{metric} is {still}0{after}{was}. {task.task.diagnose(scores, items, task.schema)}"

    def _low(self, name: str, scores: Scores) -> tuple[str, str] | None:
        """Return a key and a diagnosis if a model has learned next to nothing."""
        task = self._setup.tasks[name]
        if scores.primary == 0 or not scores.primary < FOUND:
            return None
        metric = self._named(name, _title(task.task.metric))
        text = f"{metric} is only {scores.primary:.4f} after {counted(self._steps, 'step')}."
        return f"{name} low", f"{text} {self._learning(name).advise()}"

    def _learning(self, name: str) -> Learning:
        first, last = self._losses.get(name, (None, None))
        return Learning(first=first, last=last, rates=self._rates, steps=self._steps)


def _title(metric: str) -> str:
    return metric.upper() if len(metric) < 3 else metric.capitalize()


def _rates(recipe: Recipe, setup: TrainingSetup) -> tuple[Rate, ...]:
    """Return the learning rates of a recipe with the usual ones for its encoder."""
    size = EncoderSize.of(setup.model.encoder.config, pretrained=not recipe.encoder.from_scratch)
    section = recipe.training
    return (
        Rate("training.learning_rate", section.learning_rate, *size.rates),
        Rate("training.head_learning_rate", section.head_learning_rate, *HEAD_RATES),
    )


def without_shy(scores: Mapping[str, Scores], choices: Mapping[str, ThresholdChoice]) -> dict[str, Scores]:
    """Return the scores without those of tasks that find nothing at the default threshold, but something at another."""
    shy = {name for name, choice in choices.items() if scores[name].primary == 0 and choice.f1 >= FOUND}
    return {name: part for name, part in scores.items() if name not in shy}
