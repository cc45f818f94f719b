"""The data of a task, read once before the first training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ie_cli.data.dataset import Split, compute_fingerprints, splits, unused_option_of
from ie_cli.data.names import unknown_name
from ie_cli.data.negatives import FileCounts
from ie_cli.data.spool import Spool
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats.common.base import Tokens
from ie_cli.recipe.schema import DataSection


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
    documents: Spool
    dev_documents: Spool | None
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
) -> TaskData:
    """Read train, dev and test; if dev is a fraction of train, read both in one pass.

    Test is scored only after training, but its errors are reported now.

    Args:
        section: the data section of the recipe.
        characters: whether to count the characters of train too.
        tokens: what the tokens of train are, if it is known.
        annotated: whether a document has an item of the task.

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
    documents, statistics = Spool(), DatasetStatistics()
    same = dev is not None and dev.keep is None and dev.sources == train.sources
    dev_documents = documents if same else Spool() if dev is not None else None
    reports: dict[str, None] = {}
    reading = replace(train.reading, report=reports.setdefault)
    files: dict[str, FileCounts] = {}
    for source, document in train.unfiltered().read(reading):
        if train.keep is None or train.keep(document.text):
            statistics.add(document)
            files.setdefault(source, FileCounts()).add(annotated=annotated(document))
            if characters:
                statistics.characters.update(document.text + (document.text_pair or ""))
            documents.add(document)
        elif dev_documents is not None:  # dev is the rest of train
            dev_documents.add(document)
    if dev is not None and dev_documents is not None and dev.keep is None and not same:
        for _, document in dev.read(reading):
            dev_documents.add(document)
    for split, stamp in zip(read, before, strict=True):
        if split.stamp() != stamp:
            raise DataError(
                f"{', '.join(split.sources)}: the data changed while they were read", hint="run the command again."
            )
    test_documents = Spool(document for _, document in test.read(reading)) if test is not None else None
    for name, part, split in (("dev", dev_documents, dev), ("test", test_documents, test)):
        if part is not None and split is not None and not len(part):
            raise _empty(name, split, section)
    if (unknown := unknown_name(section, reading.relabelling.found, statistics.known_names())) is not None:
        raise unknown
    return TaskData(train, dev, test, documents, dev_documents, test_documents, statistics, files, list(reports))


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
