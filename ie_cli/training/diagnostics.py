"""Diagnose training runs that do not learn."""

from __future__ import annotations

from ie_cli.metrics.scores import Scores
from ie_cli.tasks import TrainingItems
from ie_cli.training.setup import TaskSetup

SEEN_ENOUGH = 1000
"""Number of gold items after which a working run has found something on dev."""


def diagnose_no_learning(scores: Scores, setup: TaskSetup, epochs: float) -> str | None:
    """Return why the score is still 0 after many gold items, or None if it is not 0 or it is too early to tell."""
    words, counts = setup.task.words, setup.dataset.counts
    items = TrainingItems(counts.items.get(words.items, 0), counts.unreachable.get(words.items, {}))
    seen = items.total * epochs
    if scores.primary != 0 or seen < SEEN_ENOUGH:
        return None
    name = setup.task.metric.upper()
    return f"{name} is still 0 after {seen:.0f} {words.annotated}. {setup.task.diagnose(scores, items, setup.schema)}"
