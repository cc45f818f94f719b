"""The data of a task, read once before the first training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ie_cli.data.dataset import Split, compute_fingerprints, splits, unused_option_of
from ie_cli.data.document_shards import DocumentShards, ShardDirectory
from ie_cli.data.names import unknown_name
from ie_cli.data.negatives import FileCounts
from ie_cli.data.spool import Spool
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.data.training_reading import KeptReading, TrainingReading
from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats.common.base import Reading, Tokens
from ie_cli.recipe.schema import DataSection

_LARGE_DEV = (
    "dev: {:,} examples are more than are kept in memory: each evaluation predicts all of them and reads them from a temporary "
    "file, whereas some thousand are enough to compare models"
)


@dataclass(frozen=True, slots=True)
class TaskData:
    """The data of a task.

    Attributes:
        train, dev, test: the splits as sources.
        documents: the documents of train.
        dev_documents, test_documents: the documents of dev and test, None if there is no such split.
        statistics: the statistics of train.
        files: the counts of examples without annotation, by file of train.
        reports: what the readers detected, repaired and left out.
    """

    train: Split
    dev: Split | None
    test: Split | None
    documents: DocumentShards
    dev_documents: Spool | DocumentShards | None
    test_documents: Spool | None
    statistics: DatasetStatistics
    files: Mapping[str, FileCounts]
    reports: Sequence[str]

    @property
    def dev_is_train(self) -> bool:
        """Whether dev and train are the same data."""
        dev = self.dev
        return dev is not None and (dev.sources, dev.part) == (self.train.sources, self.train.part)


def read_task_data(
    section: DataSection,
    *,
    characters: bool = False,
    tokens: Tokens | None = None,
    annotated: Callable[[Document], bool] = lambda document: True,
    purpose: str = "",
) -> TaskData:
    """Read train, dev and test; if dev is a fraction of train, read both in one pass.

    Test is scored only after training, but its errors are reported now.

    Args:
        section: the data section of the recipe.
        characters: whether to count the characters of train too.
        tokens: what the tokens of train are, if it is known.
        annotated: whether a document has an item of the task.
        purpose: the name of the task, on which `annotated` depends.

    Raises:
        DataError: a source is missing, damaged, readable only once, or changes; dev or test is empty; an option is unused.
        RecipeError: the section renames or ignores a name that does not occur.
    """
    train, dev, test = splits(section, tokens=tokens)
    for split in (train, dev, test):
        if split is not None:
            split.require_rereadable()
    if (unused := unused_option_of(section)) is not None:
        raise unused
    # Compared before hashing and after reading, because encoded windows are stored under the hash.
    read = [split for split in (train, dev) if split is not None]
    before = [split.stamp() for split in read]
    compute_fingerprints(read)
    reading = replace(train.reading, report=(reports := dict[str, None]()).setdefault)
    kept = KeptReading(_reading_key(section, train, dev, [purpose, characters]))
    with kept.one_first():
        if (found := kept.find()) is None:
            found = _read_train(train, dev, reading, kept.directory, characters=characters, annotated=annotated)
            found.reports, found.names = dict(reports), set(reading.relabelling.found)
            _require_same([train], before[:1])
            kept.keep(found)
    reports |= found.reports
    reading.relabelling.found.update(found.names)
    same = dev is not None and dev.keep is None and dev.sources == train.sources
    dev_documents: Spool | DocumentShards | None = found.documents if same else found.dev_documents
    if dev is not None and dev_documents is None:
        dev_documents = Spool(document for _, document in dev.read(reading))
    _require_same(read, before)
    test_documents = Spool(document for _, document in test.read(reading)) if test is not None else None
    _require_examples(section, {"dev": (dev, dev_documents), "test": (test, test_documents)})
    if (unknown := unknown_name(section, reading.relabelling.found, found.statistics.known_names())) is not None:
        raise unknown
    if isinstance(dev_documents, Spool) and not dev_documents.in_memory:
        reports.setdefault(_LARGE_DEV.format(len(dev_documents)))
    statistics, files = found.statistics, found.files
    return TaskData(train, dev, test, found.documents, dev_documents, test_documents, statistics, files, list(reports))


def _require_same(read: Sequence[Split], stamps: Sequence[Sequence[tuple[int, int] | None]]) -> None:
    """Check that files have not changed since they were hashed.

    Raises:
        DataError: one has.
    """
    for split, stamp in zip(read, stamps, strict=True):
        if split.stamp() != stamp:
            raise DataError(
                f"{', '.join(split.sources)}: the data changed while they were read", hint="run the command again."
            )


def _reading_key(section: DataSection, train: Split, dev: Split | None, purpose: Sequence[Any]) -> object | None:
    """Return everything that a reading depends on besides the version; None if a source has no fingerprint."""
    if train.fingerprint is None:
        return None
    options = section.model_dump(mode="json", exclude={"test", "context"})
    return [train.fingerprint, None if dev is None else dev.part, train.tokens, options, *purpose]


def _read_train(
    train: Split,
    dev: Split | None,
    reading: Reading,
    directory: ShardDirectory,
    *,
    characters: bool,
    annotated: Callable[[Document], bool],
) -> TrainingReading:
    """Read train, and dev if it is the rest of train, in one pass."""
    part = dev is not None and dev.keep is not None
    found = TrainingReading(
        DocumentShards(directory=directory, name="train"),
        DocumentShards(directory=directory, name="dev") if part else None,
    )
    for source, document in train.unfiltered().read(reading):
        if train.keep is None or train.keep(document.text):
            found.statistics.add(document)
            found.files.setdefault(source, FileCounts()).add(annotated=annotated(document))
            if characters:
                found.statistics.characters.update(document.text + (document.text_pair or ""))
            found.documents.add(document)
        elif found.dev_documents is not None:
            found.dev_documents.add(document)
    return found


def _require_examples(
    section: DataSection, parts: Mapping[str, tuple[Split | None, Spool | DocumentShards | None]]
) -> None:
    """Check that dev and test contain examples.

    Raises:
        DataError: one of them is empty.
    """
    for name, (split, documents) in parts.items():
        if documents is not None and split is not None and not len(documents):
            raise _empty(name, split, section)


def _empty(name: str, split: Split, section: DataSection) -> DataError:
    if section.fold is not None and split.keep is not None:
        return DataError(
            f"data.fold: fold {section.fold} of {', '.join(split.sources)} contains no examples",
            hint="use fewer folds.",
        )
    if split.keep is not None:
        return DataError(
            f"data.dev: {section.dev} of {', '.join(split.sources)} contains no examples",
            hint="use a larger fraction or a file, or omit data.dev.",
        )
    return DataError(
        f"{', '.join(split.sources)}: the data contain no examples",
        hint=f"check data.{name} and data.format, or omit data.{name}.",
    )
