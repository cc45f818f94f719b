"""All that an evaluation found, as one object; and the JSON file that it is stored in, from which reports can be made later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ie_cli.errors import DataError
from ie_cli.metrics.scores import Ceiling, DocumentCounts, ErrorAnalysis, ErrorRecord, Row, Scores, ScoreTable
from ie_cli.system.json_reading import loads
from ie_cli.system.streams import open_output, read_lines

RESULT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorSummary:
    """The errors by kind, and examples.

    Attributes:
        kinds: with the words for each, in the order in which they are shown.
        notes: what must be said of the counts.
    """

    kinds: Mapping[str, str]
    counts: Mapping[str, int]
    cases: tuple[ErrorRecord, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, analysis: ErrorAnalysis) -> ErrorSummary:
        """What an analysis has found."""
        cases = (case.record() for kind in analysis.kinds for case in analysis.samples.get(kind, ()))
        return cls(
            kinds=dict(analysis.kinds),
            counts={kind: analysis.counts[kind] for kind in analysis.kinds},
            cases=tuple(cases),
            notes=tuple(getattr(analysis, "notes", ())),  # those of other tasks need not have any
        )

    def line(self) -> str:
        """The counts in words."""
        counts = ", ".join(f"{self.counts[kind]} {words}" for kind, words in self.kinds.items())
        return "; ".join([counts, *self.notes])


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """An evaluation.

    Attributes:
        task: its name in the table of tasks.
        model: the model's directory, or the file of predictions.
        data: the gold data.
        environment: versions, machine, device, date, by name.
    """

    task: str
    model: str
    data: str
    scores: Scores
    errors: ErrorSummary
    environment: Mapping[str, str]

    @property
    def title(self) -> str:
        """What was scored on what."""
        return f"{self.model} on {self.data}"

    @property
    def documents(self) -> DocumentCounts | None:
        """The counts that the primary score is made of, by document; None where the task has none."""
        return self.scores.documents

    @property
    def ceilings(self) -> Mapping[str, Ceiling]:
        """The recall ceilings by kind of item, where they were counted."""
        return self.scores.ceilings

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
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
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredScores:
    """Scores as a file holds them.

    Attributes:
        columns: of the logs. shown: the tables. fields: the layout of `metrics.json`.
    """

    primary: float
    support: int
    ceilings: Mapping[str, Ceiling]
    documents: DocumentCounts | None
    columns: Mapping[str, float]
    shown: tuple[ScoreTable, ...]
    fields: Mapping[str, Any]

    def values(self) -> dict[str, float]:
        """Columns of the logs."""
        return dict(self.columns)

    def tables(self) -> list[ScoreTable]:
        """The scores to be read."""
        return list(self.shown)

    def to_dict(self) -> dict[str, Any]:
        """All scores, unrounded."""
        return dict(self.fields)


def write_result(result: EvaluationResult, path: str) -> None:
    """Write a result as one JSON object, a field on each line.

    Raises:
        StorageError: the file cannot be written.
    """
    with open_output(path) as out:
        lines = (
            f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in result.to_dict().items()
        )
        out.write("{\n" + ",\n".join(lines) + "\n}\n")


def read_result(path: str) -> EvaluationResult:
    """Read what `write_result` wrote.

    Raises:
        DataError: the file cannot be read, is no result, or was written by a newer version.
    """
    text = "\n".join(line for _, line in read_lines(path))
    hint = "give a file that `ie eval --save FILE.json` wrote."
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
            notes=tuple(map(str, errors.get("notes", ()))),  # earlier versions have none
        ),
        environment={str(name): str(value) for name, value in fields["environment"].items()},
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
        raise TypeError(f"a row of a table holds numbers alone, got {cells!r}")
    return str(name), tuple(cells)
