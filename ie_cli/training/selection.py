"""The score that selects the best model of a run with several tasks, and the best of several runs."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ie_cli.metrics.scores import Scores
from ie_cli.metrics.threshold_curve import ThresholdChoice
from ie_cli.recipe.balance import Select

_TIE = 1e-6
"""Less than any difference of scores that means something."""


def primary_score(
    scores: Mapping[str, Scores], select: Select, choices: Mapping[str, ThresholdChoice] | None = None
) -> float:
    """Return the mean, the worst, or a weighted mean of the primary scores of all tasks.

    Args:
        scores: the scores by task.
        select: `mean`, `worst`, or weights by task; tasks without development data do not count.
        choices: the thresholds that would be chosen if the run ended here, by task: their F1 counts.
    """
    found = {name: part.primary for name, part in scores.items()}
    return combined_score(found | {name: choice.f1 for name, choice in (choices or {}).items()}, select)


def combined_score(values: Mapping[str, float], select: Select) -> float:
    """Return the mean, the worst, or a weighted mean of values by task; see `primary_score`."""
    if select == "worst":
        return math.nan if any(map(math.isnan, values.values())) else min(values.values())
    weights = (
        dict.fromkeys(values, 1.0) if select == "mean" else {name: w for name, w in select.items() if name in values}
    )
    return sum(weight * values[name] for name, weight in weights.items()) / sum(weights.values())


def primary_scores(scores: Mapping[str, Mapping[str, Scores]]) -> dict[str, dict[str, float | None]]:
    """Return the primary scores by split and task for JSON, which has no numbers that are not finite."""
    return {
        split: {task: part.primary if math.isfinite(part.primary) else None for task, part in parts.items()}
        for split, parts in scores.items()
    }


def ranked(scores: Mapping[str, Scores], select: Select, choices: Mapping[str, ThresholdChoice]) -> tuple[float, float]:
    """Return the primary score of a model, and the number that models of a run are compared by.

    Of models whose scores with chosen thresholds are equal, the one that needs them less is better.
    """
    primary = primary_score(scores, select, choices)
    if math.isnan(primary):
        return primary, -math.inf
    return primary, primary + _TIE * primary_score(scores, select) if choices else primary
