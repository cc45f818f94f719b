"""Sort files into the splits train, dev and test by their names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from ie_cli.data.statistics import DatasetStatistics
from ie_cli.errors import DataError
from ie_cli.formats import Reading, container_of, is_container, read_documents
from ie_cli.formats.common.tag_names import is_name_file
from ie_cli.formats.suffixes import suffix_of, suffixes_of
from ie_cli.tasks import TASKS

SPLIT_NAMES = {
    "train": ("train", "training"),
    "dev": ("dev", "valid", "validation", "val", "eval", "development"),
    "test": ("test", "testing"),
}
"""The words in a name that say which split a file belongs to."""
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
        by_split: dict[str | None, list[str]] = {}
        for file in files:
            by_split.setdefault(split_of(file), []).append(file)
        left_out = [(file, NO_SPLIT) for file in by_split.get(None, [])]
        if "train" not in by_split:
            by_split["train"], left_out = by_split.get(None, []), []
        found: dict[str, list[str]] = {"train": by_split["train"], "dev": [], "test": []}
        formats: set[str] = {format} if format is not None else set()
        for split in ("dev", "test"):
            for file in by_split.get(split, []):
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


def split_of(path: str) -> str | None:
    """Return the split that the name of a file says, or else that of its directory; None if neither does.

    >>> split_of("data/news_train.jsonl.gz"), split_of("dev/a.json"), split_of("devices.json")
    ('train', 'dev', None)
    """
    name = os.path.basename(path)
    for part in (name, os.path.basename(os.path.dirname(path))):
        for split, words in SPLIT_NAMES.items():
            if re.search(rf"(?<![^\W\d_])({'|'.join(words)})(?![^\W\d_])", part, re.IGNORECASE):
                return split
    return None


def _files_of(path: str, format: str | None) -> Iterator[str]:
    """Yield a file or a directory that is data itself, or the data files of a directory, sorted by name.

    The files of subdirectories that are named as splits are among them.

    Raises:
        DataError: a directory has none.
    """
    if path == "-" or not os.path.isdir(path) or container_of(path) is not None:
        yield path
        return
    found = list(_data_files(path))
    found = [file for file in found if not is_name_file(file)] or found
    if not found and is_container(path, format):
        found = [path]
    if not found:
        expected = ", ".join(suffixes_of(written=False))
        raise DataError(
            f"{path}: this directory contains no file with a suffix of {expected}", hint="name the files themselves."
        )
    yield from found


def _data_files(directory: str) -> Iterator[str]:
    try:
        names = sorted(name for name in os.listdir(directory) if not name.startswith("."))
    except OSError as error:
        raise DataError(
            f"{directory}: {error.strerror or error}", hint="check the permissions of the directory."
        ) from error
    for name in names:
        file = os.path.join(directory, name)
        if os.path.isdir(file) and any(name.lower() in words for words in SPLIT_NAMES.values()):
            yield from (file,) if container_of(file) is not None else _data_files(file)
        elif os.path.isfile(file) and suffix_of(file) in suffixes_of(written=False):
            yield file


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
