"""The data files of a directory, and the splits train, dev and test that their names say."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from ie_cli.errors import DataError
from ie_cli.formats import FORMATS, container_of, is_container
from ie_cli.formats.common.split_names import SPLIT_NAMES, SPLITS, is_split_directory
from ie_cli.formats.common.tag_names import is_name_file
from ie_cli.formats.suffixes import suffix_of, suffixes_of
from ie_cli.system.urls import is_url

WHOLE_FILES = "document"
"""The format that reads a file as one document."""
PLAIN = ("text", WHOLE_FILES)
"""The formats of plain text, whose files may have any name."""
_WORD = re.compile(rf"(?<![^\W\d_])({'|'.join(SPLITS)})(?![^\W\d_])")
_JOURNAL = ".part.json"
"""The end of the name of a job's journal, which is no data."""


@dataclass(frozen=True, slots=True)
class DirectoryFiles:
    """What a directory contains.

    Attributes:
        files: its data: files, and subdirectories that are data themselves, sorted by name.
        tag_names: files with the names of tags or labels (``labels.json``), which are not read as data.
        others: other files and directories, relative to the directory.
    """

    files: tuple[str, ...]
    tag_names: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def split_of(path: str) -> str | None:
    """Return the split that a path says: by the last such word in the name of the file, or else by its directory's name.

    >>> split_of("data/news_train.jsonl.gz"), split_of("dev/a.json"), split_of("devices.json")
    ('train', 'dev', None)
    """
    directory, name = os.path.split(path.rstrip("/\\"))
    words = _WORD.findall(name.lower())
    return SPLITS[words[-1]] if words else SPLITS.get(os.path.basename(directory).lower())


def sort_into_splits(paths: Sequence[str], *, found: Collection[str] = ()) -> tuple[dict[str, list[str]], list[str]]:
    """Sort files into splits by what their names say.

    Files that say no split are training data. Of these, files that were only found in a directory are left out if others say
    train.

    Args:
        paths: the files.
        found: those that were found in a directory; the others were named.

    Returns:
        The files of each split that has some, in the order train, dev and test, and the files that are left out.
    """
    said = {path: split_of(path) for path in paths}
    left_out = [path for path in paths if said[path] is None and path in found] if "train" in said.values() else []
    files = {split: [path for path in paths if (said[path] or "train") == split] for split in SPLIT_NAMES}
    files["train"] = [path for path in files["train"] if path not in left_out]
    return {split: some for split, some in files.items() if some}, left_out


def is_list_of_files(path: str, format: str | None) -> bool:
    """Return whether a path is a directory whose files are read one by one, because it is not read as a whole.

    A directory of splits in a format that has directories is such a list, too.

    Args:
        path: the path.
        format: the name of the format, or None.
    """
    if path == "-" or is_url(path) or not os.path.isdir(path):
        return False
    if not is_container(path, format):
        return True
    if format is None or container_of(path) == format:
        return False
    return any(is_split_directory(one) and container_of(one) == format for one in _entries(path))


def suffixes_for(format: str | None) -> tuple[str, ...]:
    """Return the suffixes of the files of a directory that are read in a format, or in any if it is None."""
    if format in PLAIN:
        return FORMATS["text"].suffixes
    named = FORMATS.get(format or "")
    return tuple(suffixes_of(written=False)) if named is None or named.container is None else named.suffixes


def is_data_file(path: str) -> bool:
    """Return whether a path is a file that may be data: not the journal of a job."""
    return os.path.isfile(path) and not path.endswith(_JOURNAL)


def files_in(directory: str, format: str | None) -> DirectoryFiles:
    """Find the files of a directory whose suffix stands for a format, and those of its subdirectories ``train``, ``dev`` etc.

    A file with the names of tags is left out, unless there is nothing else or plain text is read.

    Args:
        directory: the directory.
        format: the name of the format, or None.

    Raises:
        DataError: there is none, or the directory cannot be read.
    """
    expected = suffixes_for(format)
    found: list[str] = []
    others: list[str] = []
    for path, is_data in _walk(directory, format, expected):
        (found if is_data else others).append(path)
    if not found:
        raise DataError(
            f"{directory}: this directory contains no file with a suffix of {', '.join(expected)}",
            hint="name the files, or a pattern such as 'DIRECTORY/*.dat'.",
        )
    tag_names = [] if format in PLAIN else list(filter(is_name_file, found))
    if len(tag_names) == len(found):
        tag_names = []
    return DirectoryFiles(
        tuple(path for path in found if path not in tag_names),
        tuple(tag_names),
        tuple(os.path.relpath(path, directory) for path in others),
    )


def _walk(directory: str, format: str | None, expected: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    """Yield the files of a directory and whether each is data."""
    for path in _entries(directory):
        if os.path.isdir(path) and is_split_directory(path) and not is_container(path, format):
            yield from _walk(path, format, expected)
        elif os.path.isdir(path):
            yield path, is_split_directory(path)
        else:
            yield path, suffix_of(path) in expected and is_data_file(path)


def _entries(directory: str) -> list[str]:
    """Return the paths in a directory that are not hidden, sorted by name.

    Raises:
        DataError: it cannot be read.
    """
    try:
        names = sorted(name for name in os.listdir(directory) if not name.startswith("."))
    except OSError as error:
        raise DataError(
            f"{directory}: {error.strerror or error}", hint="check the permissions of the directory."
        ) from error
    return [os.path.join(directory, name) for name in names]
