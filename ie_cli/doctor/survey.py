"""Collect, in one pass over a split for one task, everything that the findings report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from ie_cli.data.dataset import Split
from ie_cli.data.negatives import FileCounts
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.doctor.near_findings import StoredTexts
from ie_cli.doctor.pairs import PairChecks
from ie_cli.doctor.reach import Reach
from ie_cli.doctor.relation_directions import RelationDirections
from ie_cli.doctor.repetitions import RepeatedIds, RepeatedTexts
from ie_cli.doctor.spans import SpanCounts
from ie_cli.document import Document
from ie_cli.formats import BadLine, read_records
from ie_cli.formats.common.base import OFFSETS_HINT, OFFSETS_RULE, OffsetError
from ie_cli.system.streams import NOT_UTF8
from ie_cli.tasks import Task
from ie_cli.tasks.kinds import RELATIONS

_SHOWN_BAD = 20
_SHOWN_UNDECODED = 3  # a file in another encoding has hardly any other line


@dataclass(slots=True)
class BadRecords:
    """Records that cannot be read: their number, how many are not UTF-8, and the messages and hints of the first ones."""

    count: int = 0
    undecoded: int = 0
    shown: list[str] = field(default_factory=list)
    hints: dict[str, None] = field(default_factory=dict)

    def add(self, record: BadLine) -> None:
        """Count a record."""
        self.count += 1
        is_undecoded = record.error.message.endswith(NOT_UTF8)
        self.undecoded += is_undecoded
        if len(self.shown) < _SHOWN_BAD and not (is_undecoded and self.undecoded > _SHOWN_UNDECODED):
            self.shown.append(record.error.message)
            hint = record.error.hint
            if hint == OFFSETS_HINT:  # the rest of this hint says how to list the records, which happens here
                hint = f"{OFFSETS_RULE}."
            self.hints.update(dict.fromkeys(filter(None, [hint])))


@dataclass(slots=True)
class Survey:
    """The result of one pass over a split.

    Attributes:
        names: the names that occur and their counts, by kind of item.
        negatives: number of examples without any item that the task extracts.
        texts: the texts, but not those of pairs if the task reads pairs.
        distinct: the distinct texts among them, for the near duplicates.
        reports: what the readers detected and repaired.
        files: the counts of examples without such an item, by file.
        renamed: the names that the recipe renames or ignores and that occur.
    """

    task: Task
    reach: Reach
    names: dict[str, Counter[str]]
    negatives: int = 0
    empty_texts: int = 0
    statistics: DatasetStatistics = field(default_factory=DatasetStatistics)
    texts: RepeatedTexts = field(default_factory=RepeatedTexts)
    distinct: StoredTexts = field(default_factory=StoredTexts)
    pairs: PairChecks = field(default_factory=PairChecks)
    ids: RepeatedIds = field(default_factory=RepeatedIds)
    spans: SpanCounts = field(default_factory=SpanCounts)
    directions: RelationDirections = field(default_factory=RelationDirections)
    bad: BadRecords = field(default_factory=BadRecords)
    reports: list[str] = field(default_factory=list)
    files: dict[str, FileCounts] = field(default_factory=dict)
    renamed: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, split: Split, task: Task, reach: Reach) -> Survey:
        """Survey a split by reading it once."""
        survey = cls(task, reach, {kind.items: Counter() for kind in task.kinds})
        # If dev is a share of train, both are read from the same files, and train reports how, and the bad records.
        listed_by_train = split.keep is not None and split.part.startswith("dev")
        reading = replace(split.reading, report=_ignore if listed_by_train else survey.reports.append)
        for source in split.sources:
            for record in read_records(source, format=split.section.format, reading=reading):
                if isinstance(record, BadLine):
                    if not listed_by_train:
                        survey.add_bad(record)
                elif split.keep is None or split.keep(record.text):
                    survey.add(record)
                    survey.files.setdefault(source, FileCounts()).add(annotated=bool(task.items(record)))
        survey.renamed = reading.relabelling.found
        return survey

    @property
    def documents(self) -> int:
        """The number of readable examples."""
        return self.statistics.documents

    @property
    def items(self) -> int:
        """The number of items that the task extracts."""
        return self.names[self.task.words.items].total()

    @property
    def is_empty(self) -> bool:
        """Whether all records can be read, and none of them has an item that the task extracts."""
        return not self.bad.count and not self.items

    def add(self, document: Document) -> None:
        """Count a document."""
        annotation = self.task.annotation(document)
        self.statistics.add(document)
        self.negatives += not annotation[self.task.words.items]
        self.pairs.add(document)
        for kind in self.task.kinds:
            self.names[kind.items].update(map(kind.name_of, annotation[kind.items]))
        self.spans.add(document, [item for kind in self.task.kinds if kind.spans for item in annotation[kind.items]])
        if document.text_pair is None or any(kind.spans for kind in self.task.kinds):  # each text is an example
            self.empty_texts += not document.text.strip()
            if self.texts.add(document, sorted(annotation.items())):
                self.distinct.add(document.text, document.where or "")
        if any(kind is RELATIONS for kind in self.task.kinds):
            self.directions.add(document)
        self.ids.add(document)
        self.reach.add(document)

    def add_bad(self, record: BadLine) -> None:
        """Count a record that cannot be read."""
        self.bad.add(record)
        if isinstance(record.error, OffsetError):
            self.spans.offsets.add_error(record.error, record.where)


def _ignore(report: str) -> None:
    pass
