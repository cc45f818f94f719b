"""The result of an evaluation as one object, and the JSON file that stores it, from which reports can be made later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ie_cli.errors import DataError
from ie_cli.evaluation.context import Agreement, ContextScores
from ie_cli.metrics.scores import Ceiling, DocumentCounts, ErrorAnalysis, ErrorRecord, Row, Scores, ScoreTable
from ie_cli.system.json_reading import loads
from ie_cli.system.streams import open_output, read_lines
from ie_cli.tasks import TASKS

RESULT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorSummary:
    """The error counts by kind, and examples.

    Attributes:
        kinds: the kinds and their descriptions, in the order in which they are shown.
        notes: remarks on the counts.
    """

    kinds: Mapping[str, str]
    counts: Mapping[str, int]
    cases: tuple[ErrorRecord, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, analysis: ErrorAnalysis) -> ErrorSummary:
        """Summarise an error analysis."""
        cases = (case.record() for kind in analysis.kinds for case in analysis.samples.get(kind, ()))
        return cls(
            kinds=dict(analysis.kinds),
            counts={kind: analysis.counts[kind] for kind in analysis.kinds},
            cases=tuple(cases),
            notes=tuple(getattr(analysis, "notes", ())),  # optional: custom tasks need not define it
        )

    def line(self) -> str:
        """Return the counts and notes as one line of text."""
        counts = ", ".join(f"{self.counts[kind]} {words}" for kind, words in self.kinds.items())
        return "; ".join([counts, *self.notes])


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """The result of an evaluation.

    Attributes:
        task: the task's name in the table of tasks.
        model: the model directory, or the prediction file.
        data: the gold data.
        environment: versions, machine, device and date, by name.
        context: the scores of the texts between their neighbours, if they were measured.
    """

    task: str
    model: str
    data: str
    scores: Scores
    errors: ErrorSummary
    environment: Mapping[str, str]
    context: ContextScores | None = None

    @property
    def title(self) -> str:
        """The model and the data, for headings."""
        return f"{self.model} on {self.data}"

    @property
    def documents(self) -> DocumentCounts | None:
        """The counts behind the primary score, by document; None if the task has none."""
        return self.scores.documents

    @property
    def ceilings(self) -> Mapping[str, Ceiling]:
        """The recall ceilings by kind of item, if they were counted."""
        return self.scores.ceilings

    def to_dict(self) -> dict[str, Any]:
        """Return the complete result as JSON values."""
        return {
            "version": RESULT_VERSION,
            "task": self.task,
            "model": self.model,
            "data": self.data,
            "primary": self.scores.primary,
            "support": self.scores.support,
            "values": self.scores.values(),
            "scores": self.scores.to_dict(),
            "tables": [asdict(table) for table in self.scores.tables()],
            "ceilings": {name: ceiling.to_dict() for name, ceiling in self.ceilings.items()},
            "errors": asdict(self.errors),
            "documents": None if self.documents is None else self.documents.to_dict(),
            "environment": dict(self.environment),
        } | self.context_fields()

    def context_fields(self) -> dict[str, Any]:
        """Return the field `context` as JSON values; an empty dict if it was not measured."""
        return {} if self.context is None else {"context": asdict(self.context)}

    def context_line(self) -> str | None:
        """Return the scores between neighbours as one line of text; None if they were not measured."""
        if self.context is None:
            return None
        metric = TASKS[self.task].metric
        return self.context.line("F1" if metric == "f1" else metric.capitalize())


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredScores:
    """Scores that were read from a file.

    Attributes:
        columns: the columns of the logs.
        shown: the tables.
        fields: all scores in the layout of `metrics.json`.
    """

    primary: float
    support: int
    ceilings: Mapping[str, Ceiling]
    documents: DocumentCounts | None
    columns: Mapping[str, float]
    shown: tuple[ScoreTable, ...]
    fields: Mapping[str, Any]

    def values(self) -> dict[str, float]:
        """Return the columns of the logs."""
        return dict(self.columns)

    def tables(self) -> list[ScoreTable]:
        """Return the scores as tables."""
        return list(self.shown)

    def to_dict(self) -> dict[str, Any]:
        """Return all scores, unrounded."""
        return dict(self.fields)


def write_result(result: EvaluationResult, path: str) -> None:
    """Write a result as one JSON object, one field per line.

    Raises:
        StorageError: the file cannot be written.
    """
    with open_output(path) as out:
        lines = (
            f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in result.to_dict().items()
        )
        out.write("{\n" + ",\n".join(lines) + "\n}\n")


def read_result(path: str) -> EvaluationResult:
    """Read a result that `write_result` wrote.

    Raises:
        DataError: the file cannot be read, is not a result, or was written by a newer version.
    """
    text = "\n".join(line for _, line in read_lines(path))
    hint = "use a file that `ie eval --save FILE.json` wrote."
    try:
        fields = loads(text)
        version = fields["version"]
        if version == RESULT_VERSION:
            return _result(fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not the result of an evaluation: {error!r:.80}", hint=hint) from error
    raise DataError(f"{path}: a result of version {version!r}; this `ie` reads version {RESULT_VERSION}", hint=hint)


def _result(fields: Mapping[str, Any]) -> EvaluationResult:
    errors, documents = fields["errors"], fields["documents"]
    scores = StoredScores(
        primary=float(fields["primary"]),
        support=int(fields["support"]),
        ceilings={name: _ceiling(values) for name, values in fields["ceilings"].items()},
        documents=None if documents is None else DocumentCounts(**documents),
        columns={name: float(value) for name, value in fields["values"].items()},
        shown=tuple(map(_table, fields["tables"])),
        fields=dict(fields["scores"]),
    )
    return EvaluationResult(
        task=str(fields["task"]),
        model=str(fields["model"]),
        data=str(fields["data"]),
        scores=scores,
        errors=ErrorSummary(
            kinds={str(kind): str(words) for kind, words in errors["kinds"].items()},
            counts={kind: int(errors["counts"][kind]) for kind in errors["kinds"]},
            cases=tuple(map(_case, errors["cases"])),
            notes=tuple(map(str, errors.get("notes", ()))),  # earlier versions did not write them
        ),
        environment={str(name): str(value) for name, value in fields["environment"].items()},
        context=_context(fields.get("context")),  # earlier versions did not write it
    )


def _context(values: Mapping[str, Any] | None) -> ContextScores | None:
    if values is None:
        return None
    counts = {name: int(count) for name, count in values["agreement"].items()}
    return ContextScores(
        neighbours=int(values["neighbours"]),
        alone=float(values["alone"]),
        between=float(values["between"]),
        agreement=Agreement(**counts),
    )


def _ceiling(values: Mapping[str, Any]) -> Ceiling:
    return Ceiling(values["reachable"], values["total"], dict(values["reasons"]))


def _case(values: Mapping[str, Any]) -> ErrorRecord:
    sides = (values["gold"], values["predicted"])
    gold, predicted = (None if side is None else str(side) for side in sides)
    return ErrorRecord(
        kind=str(values["kind"]),
        where=str(values["where"]),
        line=str(values["line"]),
        text=str(values["text"]),
        gold=gold,
        predicted=predicted,
        marks=tuple((int(start), int(end), str(side)) for start, end, side in values["marks"]),
    )


def _table(values: Mapping[str, Any]) -> ScoreTable:
    return ScoreTable(
        str(values["title"]),
        tuple(map(str, values["columns"])),
        tuple(map(_row, values["rows"])),
        tuple(map(_row, values["summary"])),
        tuple(map(str, values["notes"])),
    )


def _row(values: Any) -> Row:
    name, cells = values
    if not all(cell is None or isinstance(cell, (int, float)) for cell in cells):
        raise TypeError(f"a table row must hold only numbers, got {cells!r}")
    return str(name), tuple(cells)
