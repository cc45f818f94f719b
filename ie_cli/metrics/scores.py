"""The interface of all scores, whatever the task: one number to select models by, columns for the logs, and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from ie_cli.document import Document


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The recall ceiling: how many gold items a model can express, and the reasons for the others."""

    reachable: int
    total: int
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def recall(self) -> float:
        return self.reachable / self.total if self.total else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return the unrounded recall, and the counts."""
        return {"recall": self.recall, "reachable": self.reachable, "total": self.total, "reasons": self.reasons}


Row = tuple[str, tuple[float | int | None, ...]]


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """A table of scores as the terminal, the model card and HTML pages render it.

    Attributes:
        title: the title, e.g. ``entities``; empty if there is only one table.
        columns: the column headings; the first is that of the rows' names.
        rows: a name and its values each: integers are counts, floats are scores, None if there is no score.
        summary: summary rows, shown separately.
        notes: sentences shown below the table.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    summary: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentCounts:
    """The numbers of gold, predicted and correct items by document, in the order of the data."""

    gold: list[int] = field(default_factory=list)
    predicted: list[int] = field(default_factory=list)
    correct: list[int] = field(default_factory=list)

    def add(self, gold: int, predicted: int, correct: int) -> None:
        """Append the counts of the next document."""
        self.gold.append(gold)
        self.predicted.append(predicted)
        self.correct.append(correct)

    def copy(self) -> DocumentCounts:
        """Return a copy of the counts so far."""
        return DocumentCounts(list(self.gold), list(self.predicted), list(self.correct))

    def to_dict(self) -> dict[str, list[int]]:
        """Return the three lists by name."""
        return asdict(self)


class Scores(Protocol):
    """The scores of a corpus.

    Scores may also have an attribute `decision`: the cuts between ordered classes, if they were chosen on these data.
    """

    @property
    def primary(self) -> float:
        """The score that the best model is selected by; higher is better."""

    @property
    def support(self) -> int:
        """The number of gold items behind the primary score."""

    def values(self) -> dict[str, float]:
        """Return the columns of the logs of a training run."""

    @property
    def ceilings(self) -> Mapping[str, Ceiling]:
        """The recall ceilings by kind of item, if they were counted."""

    @property
    def documents(self) -> DocumentCounts | None:
        """The counts behind the primary score, by document; None unless requested."""

    def tables(self) -> list[ScoreTable]:
        """Return the scores as tables."""

    def to_dict(self) -> dict[str, Any]:
        """Return all scores, unrounded, in the layout of ``ie eval --json`` and `metrics.json`."""


class Scorer(Protocol):
    """Counts pairs of gold and predicted documents."""

    def add(self, gold: Document, predicted: Document) -> None:
        """Count one document."""

    def scores(self, ceilings: Mapping[str, Ceiling] | None = None) -> Scores:
        """Return the scores of the documents added so far.

        Args:
            ceilings: the recall ceilings by kind of item (``entities``, ``relations``), if they were counted.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRecord:
    """An error as plain values, for files and reports.

    Attributes:
        kind: a key of `ErrorAnalysis.kinds`.
        where: ``file:line``, or the id of the document.
        line: the error as one line of text.
        text: an excerpt of the document.
        gold, predicted: what each side has there; None if it has nothing.
        marks: (start, end, side) of the spans in `text`; the side is ``gold`` or ``predicted``.
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
        """Return the error as plain values."""


class ErrorAnalysis(Protocol):
    """Counts the errors of pairs of gold and predicted documents by kind, and keeps examples.

    An analysis may also have an attribute `notes`: remarks on the counts, e.g. that a limit was exceeded.
    """

    @property
    def kinds(self) -> Mapping[str, str]:
        """The kinds and their descriptions, in the order in which they are shown."""

    @property
    def counts(self) -> Counter[str]:
        """The number of errors of each kind."""

    @property
    def samples(self) -> Mapping[str, Sequence[SampledCase]]:
        """Examples by kind."""

    def add(self, gold: Document, predicted: Document) -> None:
        """Count the errors of one document by kind."""


def reach_notes(ceiling: Ceiling | None, items: str) -> list[str]:
    """Return the note on a recall ceiling below a table; `items` names the extracted items."""
    if ceiling is None or not ceiling.total:
        return []
    line = f"recall ceiling {ceiling.recall:.4f}"
    if unreachable := ceiling.total - ceiling.reachable:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(ceiling.reasons.items()))
        line += f": {unreachable} of {ceiling.total} {items} cannot be predicted ({reasons})"
    return [line]
