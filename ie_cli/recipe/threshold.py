"""The threshold of a head in a recipe: a number, or ``auto``, which `ie train` chooses on the development data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

DEFAULT_THRESHOLD = 0.5
"""The threshold of ``auto`` if none was chosen: half the probability, where the losses separate gold from the rest."""
ThresholdOption = Annotated[float, Field(gt=0, lt=1)] | Literal["auto"]


def chooses_threshold(threshold: ThresholdOption, thresholds: Mapping[str, float]) -> bool:
    """Return whether `ie train` chooses the threshold: what a recipe sets always applies.

    Args:
        threshold: the field `head.threshold`.
        thresholds: the field `head.thresholds`.
    """
    return threshold == "auto" and not thresholds
