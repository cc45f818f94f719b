"""Sort files into the splits train, dev and test by their names."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from ie_cli.data.statistics import DatasetStatistics
from ie_cli.errors import DataError
from ie_cli.formats import Reading, read_documents
from ie_cli.formats.common.split_names import SPLIT_NAMES
from ie_cli.formats.directory_files import sort_into_splits
from ie_cli.tasks import TASKS

_EXAMPLES = 100
NO_SPLIT = "its name says no split"
NO_ANNOTATION = "no annotation in its first 100 examples"


@dataclass(frozen=True, slots=True)
class SplitFiles:
    """Files by split.

    Attributes:
        train, dev, test: the files, sorted by name.
        left_out: the other files, with the reason.
        formats: the formats of all of these splits.
    """

    train: tuple[str, ...]
    dev: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    formats: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        files: Sequence[str],
        *,
        found: Collection[str] = (),
        format: str | None = None,
        reading: Reading | None = None,
    ) -> SplitFiles:
        """Sort files by their names, and leave out dev and test files without annotation.

        Args:
            files: the files.
            found: those that were found in a directory, and left out if they say no split while others say train.
            format: the format of the files; detected if omitted.
            reading: how to read them.

        Raises:
            DataError: there are no training data.
        """
        named, unnamed = sort_into_splits(files, found=found)
        left_out = [(file, NO_SPLIT) for file in unnamed]
        if "train" not in named:
            raise DataError(
                f"no training data among {', '.join(map(os.path.basename, files))}",
                hint="name the training files, or rename them to train….",
            )
        formats: set[str] = {format} if format is not None else set()
        for split in ("dev", "test"):
            for file in named.pop(split, []):
                detected = annotated_format(file, format, reading)
                if detected is None:
                    left_out.append((file, NO_ANNOTATION))
                else:
                    named.setdefault(split, []).append(file)
                    formats.add(detected)
        train, dev, test = (tuple(named.get(split, ())) for split in SPLIT_NAMES)
        return cls(train, dev, test, tuple(left_out), frozenset(formats))

    def describe(self) -> str:
        """Say which files are which split, and which are left out."""
        files = {split: getattr(self, split) for split in SPLIT_NAMES}
        rest = f"; left out: {describe_left_out(self.left_out)}" if self.left_out else ""
        return describe_files(files) + rest


def annotated_format(path: str, format: str | None, reading: Reading | None) -> str | None:
    """Return the format of a file that is annotated for some task, or None if it is not, or cannot be read."""
    quiet = replace(reading, report=_ignore) if reading else None
    detected: list[str] = []
    statistics = DatasetStatistics()
    try:
        documents = read_documents(path, format=format, reading=quiet, detected=detected.append)
        for document in islice(documents, _EXAMPLES):
            statistics.add(document)
            if any(task.propose(statistics, overlapping=0) is not None for task in TASKS.values()):
                return detected[0] if detected else format
    except DataError:
        return None
    return None


def describe_files(files: Mapping[str, Sequence[str]]) -> str:
    """Say which files are which split."""
    return "; ".join(f"{split}: {', '.join(paths)}" for split, paths in files.items() if paths)


def require_utf8(values: Iterable[str]) -> None:
    """Check that a recipe can contain the names of files, and other values from the command line.

    Raises:
        DataError: one contains bytes that are not UTF-8.
    """
    for value in values:
        if not _is_utf8(value):
            raise DataError(
                f"{value}: this name is not valid UTF-8, so that no recipe can contain it", hint="rename the file."
            )


def _is_utf8(value: str) -> bool:
    """Return whether the bytes of a value are UTF-8, whatever the encoding of the locale is."""
    try:
        os.fsencode(value).decode("utf-8")
    except UnicodeError:
        return False
    return True


def describe_left_out(files: Iterable[tuple[str, str]]) -> str:
    """Say which files are left out, and why."""
    return "; ".join(f"{os.path.basename(file)}: {reason}" for file, reason in files)


def _ignore(report: str) -> None:
    """Ignore what is reported: the file is read again."""
