"""Options that change the losses of a head in training."""

from __future__ import annotations

from dataclasses import dataclass

from ie_cli.recipe.schema import TrainingSection


@dataclass(frozen=True, slots=True)
class LossOptions:
    """Options of losses.

    Attributes:
        smoothing: ε of label smoothing; 0 for the plain labels.
        negatives: λ: about λ·n of the entries that are not gold count, n being the number of tokens; None for all entries.
    """

    smoothing: float = 0.0
    negatives: float | None = None

    @classmethod
    def of(cls, section: TrainingSection) -> LossOptions:
        """Return the options that a recipe sets."""
        return cls(smoothing=section.label_smoothing, negatives=section.negative_sampling)
