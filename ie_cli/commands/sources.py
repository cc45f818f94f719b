"""The input files of a command that reads several as one stream."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any

from ie_cli.commands.console import say
from ie_cli.commands.input_options import settle, watching
from ie_cli.commands.inputs import Input
from ie_cli.document import Document
from ie_cli.errors import DataError, counted, join_hints
from ie_cli.formats import FORMATS, BadLine, Reading, Record, container_of, read_records
from ie_cli.formats.common.base import UnknownFormat
from ie_cli.formats.common.hub_dataset import PREFIX
from ie_cli.formats.common.split_names import is_split_directory
from ie_cli.formats.directory_files import (
    WHOLE_FILES,
    files_in,
    is_data_file,
    is_list_of_files,
    suffixes_for,
)
from ie_cli.formats.registry import UnusedOption
from ie_cli.formats.suffixes import suffix_of
from ie_cli.system.stores import is_pattern, matching_urls
from ie_cli.system.urls import is_url

_PLAIN_HINT = (
    "read plain text with `ie predict --text` (one document per line) or `ie predict --document` (one per file)"
)
_SHOWN = 3


def _no_name(name: str) -> None:
    """Ignore the name of a format."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Input files in the order in which they are read.

    Attributes:
        files: the files, all with the same options.
        directories: the directories that some of them were found in.
        searched: whether they were found in a directory or by a pattern, so that one may be all there is today.
        found: the paths of those that were found in a directory.
    """

    files: tuple[Input, ...]
    _: KW_ONLY
    directories: tuple[Input, ...] = ()
    searched: bool = False
    found: frozenset[str] = frozenset()

    @classmethod
    def find(cls, given: Sequence[Input], *, quiet: bool) -> Sources:
        """Replace directories by their files, and patterns that no shell has replaced by the files that match.

        Raises:
            DataError: a directory or a pattern contains no file, or a file is found twice.
        """
        files: list[Input] = []
        searched, found = False, set[str]()
        directories = [one for one in given if is_list_of_files(one.path, one.format)]
        for one in given:
            if one in directories:
                paths = _files_in(one, quiet=quiet)
                found.update(paths)
            elif _is_pattern(one.path):
                paths = _matches(one.path)
            else:
                paths = [one.path]
            searched |= paths != [one.path]
            files.extend(replace(one, path=path) for path in paths)
        require_distinct([file.path for file in files])
        return cls(tuple(files), directories=tuple(directories), searched=searched, found=frozenset(found))

    @property
    def paths(self) -> list[str]:
        """The paths of the files."""
        return [file.path for file in self.files]

    @property
    def are_several(self) -> bool:
        """Whether there is or could be more than one file, so that records need the name of theirs."""
        return len(self.files) > 1 or self.searched

    @property
    def are_live(self) -> bool:
        """Whether one of them is a stream, which may still be growing."""
        return any(path == "-" or not (Path(path).is_file() or _is_directory(path)) for path in self.paths)

    def require_exist(self) -> None:
        """Check that the files exist, before a model is loaded.

        Raises:
            DataError: one does not, or stdin is closed.
        """
        for file in self.files:
            try:
                file.require_exists()
            except DataError as error:
                raise DataError(error.message, hint=join_hints(_sentence_hint(file.path), error.hint)) from error

    def would_include(self, path: str) -> bool:
        """Return whether a local file would be an input if it existed, because its directory is one, or a split of one."""
        parents = [os.path.realpath(os.path.dirname(path) or os.curdir)]
        while is_split_directory(parents[-1]):
            parents.append(os.path.dirname(parents[-1]))
        inside = (one for one in self.directories if os.path.realpath(one.path) in parents)
        return any(suffix_of(path) in suffixes_for(one.format) for one in inside)

    def own(self, file: str) -> bool:
        """Return whether an input needs a local file besides itself, such as the text of annotations."""
        formats = (FORMATS.get(one.format or container_of(one.path) or "") for one in self.files)
        return any(
            found is not None and found.container is not None and found.container.owns(one.path, file)
            for one, found in zip(self.files, formats, strict=True)
        )

    def size(self) -> int | None:
        """Return the number of bytes of all files, or None if that of one is not known."""
        sizes = [file.size() for file in self.files]
        return None if None in sizes else sum(filter(None, sizes))

    def options(self) -> dict[str, Any]:
        """Return the reading options as JSON values, and the list of the files if there are several."""
        return self.files[0].options() | ({"inputs": self.paths} if self.are_several else {})

    def describe(self) -> str:
        """Return the path, or how many files there are, for a message."""
        if self.are_several:
            return counted(len(self.files), "file")
        return "standard input" if self.paths == ["-"] else self.paths[0]

    def records(
        self, reading: Reading, *, detected: Callable[[str], None] = _no_name, with_ids: bool = False
    ) -> Iterator[Record]:
        """Stream the records of all files.

        One of several files that cannot be read is a bad line, so that `--on-error` applies to it as to a record.

        Args:
            reading: the options of reading.
            detected: called with the name of each file's format.
            with_ids: whether documents without an id get their place as id: those of several files, and whole files.

        Raises:
            UnusedOption: an option of reading applies to none of them.
        """
        if self.are_several:
            settle(self.files, reading)
        for number, file in enumerate(self.files):
            for record in self._records_of(file, reading, detected):
                if number and isinstance(record, Document) and record.columns is not None and record.columns.before:
                    record.columns = record.columns.without_header()
                if with_ids and isinstance(record, Document) and record.id is None:
                    record.id = record.where if self._needs_id(file) else None
                yield record

    def _needs_id(self, file: Input) -> bool:
        return self.are_several or (file.format == WHOLE_FILES and file.path != "-")

    def _records_of(self, file: Input, reading: Reading, detected: Callable[[str], None]) -> Iterator[Record]:
        try:
            reading, detected = watching(file, reading, detected)
            yield from read_records(file.path, format=file.format, reading=reading, detected=detected)
        except UnusedOption:
            raise
        except DataError as error:
            if isinstance(error, UnknownFormat) and not reading.annotation:
                error = DataError(error.message, hint=join_hints(error.hint, _PLAIN_HINT))
            if not self.are_several:
                raise error from None
            yield BadLine(file.path, "", error)


def _sentence_hint(path: str) -> str | None:
    """Return a hint if a path that does not exist looks like a text."""
    is_text = (" " in path or not path.isascii()) and not suffix_of(path)
    return "annotate a sentence with: echo 'SENTENCE' | ie predict - --text" if is_text else None


def _is_directory(path: str) -> bool:
    return path != "-" and not is_url(path) and os.path.isdir(path)


def _is_pattern(path: str) -> bool:
    if is_url(path):
        return is_pattern(path)
    return glob.has_magic(path) and not path.startswith(PREFIX) and not os.path.exists(path)


def _matches(pattern: str) -> list[str]:
    """Return the files that match a pattern, in which ``**`` stands for any directories.

    Raises:
        DataError: there is none.
    """
    if is_url(pattern):
        found = list(matching_urls(pattern))
    else:
        found = [path for path in sorted(glob.glob(pattern, recursive=True)) if is_data_file(path)]
    if not found:
        raise no_match(pattern)
    return found


def no_match(pattern: str) -> DataError:
    """Return the error for a pattern that no file matches."""
    hint = "check the pattern, and whether you may list the files." if is_url(pattern) else "check it with: ls PATTERN"
    return DataError(f"{pattern}: no file matches this pattern", hint=hint)


def _files_in(directory: Input, *, quiet: bool) -> list[str]:
    """Return the data files of a directory and of its splits; report the others.

    Raises:
        DataError: there is none.
    """
    found = files_in(directory.path, directory.format)
    if found.tag_names and not quiet:
        say(
            f"{directory.path}: not read as data: {', '.join(map(os.path.basename, found.tag_names))} (names of tags or labels)"
        )
    if found.others and not quiet:
        shown = ", ".join(found.others[:_SHOWN]) + (", …" if len(found.others) > _SHOWN else "")
        say(
            f"{directory.path}: reading {counted(len(found.files), 'file')}; ignored by their suffix: "
            f"{len(found.others)} ({shown})"
        )
    return list(found.files)


def require_distinct(paths: Sequence[str]) -> None:
    """Check that no file is read twice.

    Raises:
        DataError: one would be.
    """
    seen: dict[str, str] = {}
    for path in paths:
        key = path if path == "-" or is_url(path) else os.path.realpath(path)
        if key in seen:
            raise DataError(f"{path}: this file is named twice as input", hint="name it once.")
        seen[key] = path
