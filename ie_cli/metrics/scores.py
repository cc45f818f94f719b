"""What all scores of a corpus have in common, whatever the task: one number to choose models by, columns for the logs, tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
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


@dataclass(frozen=True, slots=True)
class DocumentCounts:
    """Items in gold, in prediction and in both, document by document in the order of the data."""

    gold: list[int] = field(default_factory=list)
    predicted: list[int] = field(default_factory=list)
    correct: list[int] = field(default_factory=list)

    def add(self, gold: int, predicted: int, correct: int) -> None:
        """Append the counts of the next document."""
        self.gold.append(gold)
        self.predicted.append(predicted)
        self.correct.append(correct)

    def copy(self) -> DocumentCounts:
        """The counts so far."""
        return DocumentCounts(list(self.gold), list(self.predicted), list(self.correct))

    def to_dict(self) -> dict[str, list[int]]:
        """The three lists by their names."""
        return asdict(self)


class Scores(Protocol):
    """The scores of a corpus."""

    @property
    def primary(self) -> float:
        """What the best model is chosen by; higher is better."""

    @property
    def support(self) -> int:
        """How many gold items the primary score is of."""

    def values(self) -> dict[str, float]:
        """Columns of the logs of a training run."""

    @property
    def ceilings(self) -> Mapping[str, Ceiling]:
        """The recall ceilings by kind of item, where they were counted."""

    @property
    def documents(self) -> DocumentCounts | None:
        """The counts that the primary score is made of, by document; None where nobody asked for them."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRecord:
    """An error in plain values, to be stored and shown.

    Attributes:
        kind: as `ErrorAnalysis.kinds` names it.
        where: ``file:line``, or the id of the document.
        line: the error in one line of text.
        text: an excerpt of the document.
        gold, predicted: what each side has there; None where it has nothing.
        marks: (start, end, side) of what is meant in `text`; the side is ``gold`` or ``predicted``.
    """

    kind: str
    where: str
    line: str
    text: str
    gold: str | None
    predicted: str | None
    marks: tuple[tuple[int, int, str], ...]


class SampledCase(Protocol):
    """An error that an analysis keeps as an example."""

    def record(self) -> ErrorRecord:
        """The error in plain values."""


class ErrorAnalysis(Protocol):
    """Sorts the errors of pairs of gold and predicted documents by kind, and keeps examples.

    One that has `notes` too has sentences that must be said of the counts, e.g. that a bound was met.
    """

    @property
    def kinds(self) -> Mapping[str, str]:
        """The kinds in the order in which they are shown, with the words for each."""

    @property
    def counts(self) -> Counter[str]:
        """How many errors there are of each kind."""

    @property
    def samples(self) -> Mapping[str, Sequence[SampledCase]]:
        """Examples by kind."""

    def add(self, gold: Document, predicted: Document) -> None:
        """Sort the errors of one document."""


def reach_notes(ceiling: Ceiling | None, items: str) -> list[str]:
    """What is said of a recall ceiling below a table; `items` names what is extracted."""
    if ceiling is None or not ceiling.total:
        return []
    line = f"recall ceiling {ceiling.recall:.4f}"
    if lost := ceiling.total - ceiling.reachable:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(ceiling.reasons.items()))
        line += f": {lost} of {ceiling.total} {items} cannot be predicted ({reasons})"
    return [line]
