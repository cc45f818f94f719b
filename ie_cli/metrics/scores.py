"""What all scores of a corpus have in common, whatever the task: one number to choose models by, columns for the logs, tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ie_cli.document import Document


@dataclass(frozen=True, slots=True)
class Ceiling:
    """How much of the gold a model could return at all, and why not the rest."""

    reachable: int
    total: int
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def recall(self) -> float:
        return self.reachable / self.total if self.total else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Recall, unrounded, and counts."""
        return {"recall": self.recall, "reachable": self.reachable, "total": self.total, "reasons": self.reasons}


Row = tuple[str, tuple[float | int | None, ...]]


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """A table of scores as the terminal, the model card and HTML pages render it.

    Attributes:
        title: what it is of, e.g. ``entities``; empty where there is one table only.
        columns: what stands above the values; the first is of the rows' names.
        rows: a name and its values each: whole numbers are counts, fractions are scores, None where there is no score.
        summary: rows over all, shown apart from the others.
        notes: sentences that belong below it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    summary: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()


class Scores(Protocol):
    """The scores of a corpus."""

    @property
    def primary(self) -> float:
        """What the best model is chosen by; higher is better."""

    def values(self) -> dict[str, float]:
        """Columns of the logs of a training run."""

    def tables(self) -> list[ScoreTable]:
        """The scores to be read."""

    def to_dict(self) -> dict[str, Any]:
        """All scores, unrounded: the layout of ``ie eval --json`` and of `metrics.json`."""


class Scorer(Protocol):
    """Counts pairs of gold and predicted documents."""

    def add(self, gold: Document, predicted: Document) -> None:
        """Count one document."""

    def scores(self, ceilings: Mapping[str, Ceiling] | None = None) -> Scores:
        """The scores of what was added so far.

        Args:
            ceilings: by kind of item (``entities``, ``relations``), where they were counted.
        """


def reach_notes(ceiling: Ceiling | None, items: str) -> list[str]:
    """What is said of a recall ceiling below a table; `items` names what is extracted."""
    if ceiling is None or not ceiling.total:
        return []
    line = f"recall ceiling {ceiling.recall:.4f}"
    if lost := ceiling.total - ceiling.reachable:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(ceiling.reasons.items()))
        line += f": {lost} of {ceiling.total} {items} cannot be predicted ({reasons})"
    return [line]
