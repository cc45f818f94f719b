"""How the training of a model goes: its losses and learning rates, as evidence for a diagnosis."""

from __future__ import annotations

import math
from dataclasses import dataclass

_ROSE, _FELL = 1.2, 0.8
"""The loss has risen or fallen if its ratio to that of the first steps is above or below these."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A learning rate of a recipe, and the lowest and the highest rate with which such models usually learn."""

    field: str
    value: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """How the training of a model goes.

    Attributes:
        first: the mean loss of the first steps; None if it is unknown, e.g. in a resumed run.
        last: the mean loss of the latest steps; None if it is unknown.
        rates: the learning rates.
        steps: the number of steps so far.
    """

    first: float | None
    last: float | None
    rates: tuple[Rate, ...]
    steps: int

    @property
    def ratio(self) -> float:
        """The latest loss as a share of that of the first steps; not a number if one of them is unknown."""
        return self.last / self.first if self.first and self.last is not None else math.nan

    @property
    def explains(self) -> bool:
        """Whether the rates or a rising loss explain a model that has not learned."""
        return self.ratio > _ROSE or any(not rate.lowest <= rate.value <= rate.highest for rate in self.rates)

    def advise(self) -> str:
        """Return what the losses and rates suggest; rates above the usual ones are never to be raised, nor low ones lowered."""
        high = [rate for rate in self.rates if rate.value > rate.highest]
        low = [rate for rate in self.rates if rate.value < rate.lowest]
        found = [f"{self._about(rate, 'above')}: lower it." for rate in high]
        if not high or self.ratio <= _ROSE:
            found += [f"{self._about(rate, 'below')}: raise it." for rate in low]
        if not found and self.ratio > _ROSE:
            found = [f"The loss has risen: lower {' and '.join(rate.field for rate in self.rates)}."]
        return " ".join([*self._losses(), *(found or [self._more()])])

    def _losses(self) -> list[str]:
        if math.isnan(self.ratio):
            return []
        return [f"The training loss was {self.first:.3g} at first and is {self.last:.3g} now."]

    def _more(self) -> str:
        slow = "" if self.ratio < _FELL or math.isnan(self.ratio) else ", and the loss has hardly fallen"
        return f"The learning rates are usual ones{slow}: train longer (training.epochs)."

    @staticmethod
    def _about(rate: Rate, side: str) -> str:
        return f"{rate.field} {rate.value:.1e} is {side} the usual {rate.lowest:.1e} to {rate.highest:.1e}"
