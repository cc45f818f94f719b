"""The score that selects the best model of a run with several tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ie_cli.metrics.scores import Scores
from ie_cli.recipe.balance import Select


def primary_score(scores: Mapping[str, Scores], select: Select) -> float:
    """Return the mean, the worst, or a weighted mean of the primary scores of all tasks.

    Args:
        scores: the scores by task.
        select: `mean`, `worst`, or weights by task; tasks without development data do not count.
    """
    if select == "worst":
        values = [part.primary for part in scores.values()]
        return math.nan if any(map(math.isnan, values)) else min(values)
    weights = (
        dict.fromkeys(scores, 1.0) if select == "mean" else {name: w for name, w in select.items() if name in scores}
    )
    return sum(weight * scores[name].primary for name, weight in weights.items()) / sum(weights.values())
