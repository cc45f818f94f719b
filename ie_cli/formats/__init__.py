"""Reading data by the names of formats, which are in `registry`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain

from ie_cli.document import Document
from ie_cli.document.relabelling import RelabelledNames
from ie_cli.document.trimming import TrimCounts, trim_document
from ie_cli.errors import DataError, did_you_mean
from ie_cli.formats import datasets_directory, hub, table
from ie_cli.formats.common.base import BadLine, Format, Lines, Reading, Record, TokenFile, not_local
from ie_cli.formats.common.detect import detect, peek
from ie_cli.formats.common.hub_dataset import PREFIX
from ie_cli.formats.common.json_stream import read_head, spans_lines
from ie_cli.formats.registry import FORMATS, kind_of_table
from ie_cli.formats.remote_files import read_copy
from ie_cli.system.streams import read_lines, require_present
from ie_cli.system.urls import is_url

__all__ = ["FORMATS", "BadLine", "Format", "Reading", "Record", "find_format", "read_documents", "read_records"]


def find_format(name: str, *, written: bool = False) -> Format:
    """Return the format of a name.

    Args:
        name: the name of the format.
        written: whether the hint of the error lists only formats that can be written.

    Raises:
        DataError: there is no format of this name.
    """
    if name not in FORMATS:
        names = [known for known, format in FORMATS.items() if format.writable or not written]
        raise DataError(
            f"unknown format '{name}'{did_you_mean(name, names)}", hint=f"choose one of {', '.join(names)}."
        )
    return FORMATS[name]


def container_of(path: str) -> str | None:
    """Return the name of the format of a directory or binary file, that of a URL by its suffix; None if it is read as lines."""
    if path == "-" or path.startswith(PREFIX):
        return None
    if is_url(path):
        containers = [(name, one) for name, one in FORMATS.items() if one.container is not None]
        return next((name for name, one in containers if path.lower().endswith(one.suffixes)), None)
    if not os.path.exists(path):
        return None
    return next(
        (name for name, one in FORMATS.items() if one.container is not None and one.container.holds(path)), None
    )


def is_container(path: str, format: str | None) -> bool:
    """Return whether a path is read as a whole: a directory that is no list of files, or a binary file.

    Args:
        path: the path.
        format: the name of its format, or None.
    """
    if format is None:
        return container_of(path) is not None
    container = None if format not in FORMATS else FORMATS[format].container
    return container is not None and (container.directories or not os.path.isdir(path))


def read_records(
    source: str,
    *,
    format: str | None = None,
    reading: Reading | None = None,
    detected: Callable[[str], None] = lambda name: None,
) -> Iterator[Record]:
    """Stream the examples of a source, with a `BadLine` for each record that cannot be read.

    Args:
        source: a file, a directory in a format that has directories, ``-`` for stdin, a URL, or ``hub:…``.
        format: the name of the format; if omitted, it is detected from the first lines.
        reading: the options of reading.
        detected: called with the name of the format.

    Raises:
        DataError: the source cannot be opened, or its format cannot be detected.
    """
    reading = reading or Reading()
    if source.startswith(PREFIX):
        detected(datasets_directory.FORMAT.name)
        return edited(hub.read(source, reading), source, reading)
    name = "stdin" if source == "-" else source
    format = _named_or_known(source, format, reading)
    if format is not None and (container := find_format(format).container) is not None:
        if source == "-" or (is_url(source) and container.directories):
            raise not_local(name)
        if is_url(source):
            detected(format)
            return edited(read_copy(source, container.read, reading), source, reading)
        require_present(source)
        detected(format)
        return edited(container.read(source, reading), source, reading)
    undecoded = _Undecoded(name)
    keep_ends = format is None or find_format(format).keep_ends
    lines: Lines = read_lines(source, undecoded.add, keep_ends=keep_ends)
    if reading.progress is not None:
        lines = _watched(lines, reading.progress)
    stream = iter(lines)
    if format is None:
        raw: list[tuple[int, str]] = []
        head = peek(_without_ends(stream, raw.append))
        try:
            format = detect(head, name)
        except DataError:
            undecoded.require_none()  # a more specific error
            raise
        if find_format(format).keep_ends:
            head = raw
        else:
            stream = _without_ends(stream)
    else:
        head = read_head(stream) if find_format(format).arrays else []
    detected(format)
    found = find_format(format)
    if not found.by_line or (found.arrays and spans_lines(head)):
        undecoded.require_none()
    return edited(undecoded.interleave(found.read(chain(head, stream), name, reading)), name, reading)


def _named_or_known(source: str, format: str | None, reading: Reading) -> str | None:
    """Return the name of the format of a source if it is given, or known without its content."""
    format = container_of(source) if format is None else format
    if format is None and reading.columns and suffix_is(source, *table.CSV.suffixes):
        return "csv"  # names that are given are not known otherwise
    return format


def format_of(source: str, *, format: str | None, reading: Reading) -> str | None:
    """Return the name of the format in which `read_records` reads a source, whose content is only read to detect it.

    That of a table says what a row is, if its columns show that.
    None stands for a source that may be readable only once, such as stdin or a URL, and for one that cannot be read: whoever
    reads it reports the error.
    """
    if source.startswith(PREFIX):
        format, source = datasets_directory.FORMAT.name, source.removeprefix(PREFIX)
    known = _named_or_known(source, format, reading)
    directory = source.partition("?")[0]
    if not os.path.isfile(source) and not (os.path.isdir(directory) and is_container(directory, known)):
        return known
    try:
        if known is None:
            known = detect(peek(iter(read_lines(source, lambda number, raw, error: None))), source)
        rows = FORMATS[known].rows if known in FORMATS else None
        return known if rows is None else kind_of_table(known, rows(source, reading))
    except DataError:
        return known


def format_read(source: str, *, format: str | None, reading: Reading) -> str | None:
    """Return the same as `format_of`, from the first record of a source that can be read again, be it remote.

    Its values decide what a row of some tables is. What can be read only once is not read; what cannot be read gives what
    `format_of` does.
    """
    found = format_of(source, format=format, reading=reading)
    if source == "-" or not (
        is_url(source) or source.startswith(PREFIX) or os.path.isfile(source) or os.path.isdir(source)
    ):
        return found
    names, rows = list[str](), list[str]()
    quiet = replace(reading, report=lambda text: None, decided=lambda file: None, progress=None, row_is=rows.append)
    try:
        next(iter(read_records(source, format=format, reading=quiet, detected=names.append)), None)
    except DataError:
        return found
    if not names:
        return found
    return kind_of_table(names[-1], rows[0]) if rows else names[-1]


def edited(records: Iterable[Record], name: str, reading: Reading) -> Iterator[Record]:
    """Yield the records with trimmed spans and new names as the options say, and report what was changed.

    Spans of data without offsets are always trimmed.
    """
    counts, names = TrimCounts(), RelabelledNames(reading.relabelling)
    for record in records:
        if isinstance(record, Document):
            if reading.trim or record.spos is not None:
                record = trim_document(record, counts)
            if reading.relabelling:
                record = names.apply(record)
        yield record
    for found in filter(None, (counts.describe(), *names.describe())):
        reading.report(f"{name}: {found}")


def suffix_is(source: str, *suffixes: str) -> bool:
    """Return whether the name of a source ends with a suffix, be it compressed or not."""
    return source.lower().removesuffix(".gz").removesuffix(".zst").endswith(suffixes)


def _watched(lines: Lines, progress: Callable[[int], None]) -> Iterator[tuple[int, str]]:
    """Yield the lines, and report the bytes of each with its line feed."""
    for number, line in lines:
        progress(len(line.encode("utf-8", "surrogatepass")) + (not line.endswith("\n")))
        yield number, line


def _without_ends(
    lines: Iterator[tuple[int, str]], keep: Callable[[tuple[int, str]], None] | None = None
) -> Iterator[tuple[int, str]]:
    """Yield the lines without their ends, as `read_lines` does; `keep` gets each one as it is."""
    for number, line in lines:
        if keep is not None:
            keep((number, line))
        yield number, line.removesuffix("\n").removesuffix("\r")


class _Undecoded:
    """Collects lines that are not UTF-8: bad lines if each line is a record, otherwise an error."""

    def __init__(self, name: str) -> None:
        self._name, self._strict = name, False
        self._lines: list[BadLine] = []

    def add(self, number: int, raw: bytes, error: DataError) -> None:
        """Add a line.

        Raises:
            DataError: the line may be part of a larger record.
        """
        if self._strict:
            raise error
        raw = raw.removesuffix(b"\n").removesuffix(b"\r")
        self._lines.append(BadLine(f"{self._name}:{number}", raw.decode("utf-8", "surrogateescape"), error))

    def require_none(self) -> None:
        """Reject the lines collected so far and later ones.

        Raises:
            DataError: there was such a line.
        """
        self._strict = True
        for line in self._lines:
            raise line.error

    def interleave(self, records: Iterator[Record]) -> Iterator[Record]:
        """Yield the records with the collected lines at their positions."""
        for record in records:
            if self._lines:
                yield from self._collected()
            yield record
        yield from self._collected()

    def _collected(self) -> Iterator[BadLine]:
        lines, self._lines = self._lines, []
        yield from lines


def find_tokens(source: str, *, format: str | None, reading: Reading) -> TokenFile | None:
    """Return what is decided about a file of tokens from its first records; None for other formats.

    A file that cannot be read gives None, too: whoever reads it reports the error.
    """
    found: list[TokenFile] = []
    quiet = replace(reading, report=lambda text: None, decided=found.append)
    try:
        next(read_records(source, format=format, reading=quiet), None)
    except DataError:
        return None
    return found[0] if found else None


def read_documents(
    source: str | os.PathLike[str],
    *,
    format: str | None = None,
    reading: Reading | None = None,
    detected: Callable[[str], None] = lambda name: None,
) -> Iterator[Document]:
    """Stream the documents of a source; the arguments are those of `read_records`.

    Raises:
        DataError: the source or one of its records cannot be read.
    """
    for record in read_records(os.fspath(source), format=format, reading=reading, detected=detected):
        if isinstance(record, BadLine):
            raise record.error
        record.attach_text()  # some readers add annotations to a document after creating it
        yield record
