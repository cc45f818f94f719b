"""Sort files into the splits train, dev and test by their names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from ie_cli.data.statistics import DatasetStatistics
from ie_cli.errors import DataError
from ie_cli.formats import Reading, read_documents
from ie_cli.formats.directory_files import SPLIT_NAMES, files_in, is_list_of_files, split_of
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
    def of(cls, paths: Sequence[str], *, format: str | None = None, reading: Reading | None = None) -> SplitFiles:
        """Sort files, and the files of directories, by their names.

        If no name says train, the files whose names say no split are the training data.

        Args:
            paths: files and directories.
            format: the format of the files; detected if omitted.
            reading: how to read them.

        Raises:
            DataError: a directory has no data, or there are no training data.
        """
        files = list(dict.fromkeys(file for path in paths for file in _files_of(path, format)))
        named = by_split(files)
        left_out = [(file, NO_SPLIT) for file in named.get(None, [])]
        found: dict[str, list[str]] = {"train": named.get("train", []), "dev": [], "test": []}
        formats: set[str] = {format} if format is not None else set()
        for split in ("dev", "test"):
            for file in named.get(split, []):
                detected = annotated_format(file, format, reading)
                if detected is None:
                    left_out.append((file, NO_ANNOTATION))
                else:
                    found[split].append(file)
                    formats.add(detected)
        if not found["train"]:
            raise DataError(
                f"{', '.join(paths)}: no training data among {', '.join(map(os.path.basename, files))}",
                hint="name the training files, or rename them to train….",
            )
        train, dev, test = (tuple(found[split]) for split in SPLIT_NAMES)
        return cls(train, dev, test, tuple(left_out), frozenset(formats))


def by_split(files: Iterable[str]) -> dict[str | None, list[str]]:
    """Sort files by the splits that their names say; None for those that say none, which are train if no other file is."""
    found: dict[str | None, list[str]] = {}
    for file in files:
        found.setdefault(split_of(file), []).append(file)
    if "train" not in found and None in found:
        found["train"] = found.pop(None)
    return found


def _files_of(path: str, format: str | None) -> tuple[str, ...]:
    """Return the data files of a directory, or any other path itself."""
    return files_in(path, format).files if is_list_of_files(path, format) else (path,)


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


def describe_left_out(files: Iterable[tuple[str, str]]) -> str:
    """Say which files are left out, and why."""
    return "; ".join(f"{os.path.basename(file)}: {reason}" for file, reason in files)


def _ignore(report: str) -> None:
    """Ignore what is reported: the file is read again."""
