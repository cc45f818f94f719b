"""The score that selects the best model of a run with several tasks."""

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
    found |= {name: choice.f1 for name, choice in (choices or {}).items()}
    if select == "worst":
        return math.nan if any(map(math.isnan, found.values())) else min(found.values())
    weights = (
        dict.fromkeys(found, 1.0) if select == "mean" else {name: w for name, w in select.items() if name in found}
    )
    return sum(weight * found[name] for name, weight in weights.items()) / sum(weights.values())


def ranked(scores: Mapping[str, Scores], select: Select, choices: Mapping[str, ThresholdChoice]) -> tuple[float, float]:
    """Return the primary score of a model, and the number that models of a run are compared by.

    Of models whose scores with chosen thresholds are equal, the one that needs them less is better.
    """
    primary = primary_score(scores, select, choices)
    if math.isnan(primary):
        return primary, -math.inf
    return primary, primary + _TIE * primary_score(scores, select) if choices else primary
