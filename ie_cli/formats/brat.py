"""brat: a directory with a text file and an annotation file for each document, NAME.txt and NAME.ann.

A directory with .ann files is read with its subdirectories, in the order of the names; one .ann file is read with its text. A
directory that has them in subdirectories alone is detected if it has no other data: plain text beside these subdirectories, or
files of other formats anywhere. If subdirectories have the names of splits, such as ``train``, these are data of their own.

The id of a document is its name, without the suffix. The offsets count the characters of the text as it is, and the text of each
annotation is compared with them. A text without an .ann file is not annotated: it is left out, but predicted.

Entities, relations and events are read. A trigger is no entity. A role that brat numbers (``Theme``, ``Theme2``) is one role. The
data model has no discontinuous spans, attributes, notes, normalizations and equivalences: they are counted, training does not
see them, and native JSON keeps them in a field ``brat`` with the lines of the .ann file. From this field, the same file is
written again; if entities, relations or events have changed, what still refers to existing ones is kept.

An .ann file without relations does not say whether a text has none or nobody looked for them. It has none (``"relations": []``
in native JSON) if the ``annotation.conf`` of its directory, or else the nearest one in a directory above, declares a type of
relations; otherwise, native JSON lacks the field.

Written are the texts, the .ann files and an ``annotation.conf`` with the types, into a new or empty directory.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path

from ie_cli.document import Document
from ie_cli.document.fields import BRAT
from ie_cli.errors import DataError, counted
from ie_cli.formats.common.base import (
    EVENTS_LOST,
    IDS_LOST,
    SURROGATES_LOST,
    UNLOCATED_TRIPLES,
    BadLine,
    Container,
    Format,
    Reading,
    Record,
    Save,
    count_id_and_fields,
    count_native_only,
    count_unlocated,
    read_no_lines,
)
from ie_cli.formats.common.brat_configuration import NAME, Configuration, declares_relations
from ie_cli.formats.common.brat_lines import Written, describe_beyond, has_ambiguous_roles, name_of, parse, write
from ie_cli.formats.common.split_names import is_split_directory
from ie_cli.formats.table import count_surrogates, without_surrogates
from ie_cli.system.atomic import storing
from ie_cli.system.directories import new_directory
from ie_cli.system.streams import NOT_UTF8
from ie_cli.system.text import write_text

ANNOTATIONS, TEXTS = ".ann", ".txt"
NAMES_CHANGED = "labels and other names with whitespace are written with underscores"
ROLES_CHANGED = "events with roles such as Theme and Theme2, which are read back as one role"
IDS_CHANGED = "ids that cannot be file names, or occur again, are changed"
NO_TRIGGER = "events without a trigger cannot be stored in this format"
CARRIED_LOST = "attributes, notes and others of changed annotations cannot be kept"
_UNSAFE = re.compile(r"[^\w .()+=@,-]")
_LONGEST = 200
"""The largest number of bytes of a part of a name; file systems allow 255, with the suffix and a number."""
_MISSING_HINT = "put NAME.txt and NAME.ann into one directory."
_SHOWN = 3
_PACKED = ("", ".gz", ".zst")
_LINES = (".jsonl", ".ndjson", ".json", ".conll", ".bio", ".iob", ".tsv", ".csv")
_BINARY = (".parquet", ".pq", ".xlsx", ".xlsm", ".spacy")
_OTHER_DATA = tuple(f"{suffix}{packed}" for suffix in _LINES for packed in _PACKED) + _BINARY
"""Suffixes of data among which an annotation file without its text is no reason to leave them out."""
_PLAIN_TEXTS = tuple(f"{suffix}{packed}" for suffix in (TEXTS, ".text") for packed in _PACKED)


def holds(path: str) -> bool:
    """Return whether a path is an annotation file, or a directory with one; beside data in other formats, it needs its text.

    A directory without data of its own may have them in subdirectories.
    """
    if not os.path.isdir(path):
        return path.endswith(ANNOTATIONS)
    try:
        names = {name for name in os.listdir(path) if not name.startswith(".")}
    except OSError:
        return False
    found = {name.removesuffix(ANNOTATIONS) for name in names if name.endswith(ANNOTATIONS)}
    if any(name.endswith(_OTHER_DATA) for name in names):
        return any(f"{name}{TEXTS}" in names for name in found)
    return bool(found) or not any(name.endswith(_PLAIN_TEXTS) for name in names) and _is_root(path)


def _is_root(path: str) -> bool:
    """Return whether the subdirectories of a directory have annotated texts, and none has other data or the name of a split."""
    found = False
    for _, subdirectories, files in os.walk(path):
        subdirectories[:] = [name for name in subdirectories if not name.startswith(".")]
        names = {name for name in files if not name.startswith(".")}
        if any(name.endswith(_OTHER_DATA) for name in names) or any(map(is_split_directory, subdirectories)):
            return False
        found |= any(
            name.endswith(ANNOTATIONS) and f"{name.removesuffix(ANNOTATIONS)}{TEXTS}" in names for name in names
        )
    return found


def owns(path: str, file: str) -> bool:
    """Return whether a file is an annotation file, a text or a configuration of a directory, or those of an annotation file."""
    source, other = Path(os.path.realpath(path)), Path(os.path.realpath(file))
    if other.name == NAME:
        return (source if source.is_dir() else source.parent) in other.parents
    inside = source in other.parents if source.is_dir() else source.with_suffix("") == other.with_suffix("")
    return inside and other.suffix in (ANNOTATIONS, TEXTS)


def read(path: str, reading: Reading) -> Iterator[Record]:
    """Yield a document for each text, and report what the data model cannot express.

    Raises:
        DataError: the directory contains no annotation file.
    """
    beyond: Counter[str] = Counter()
    is_related = cache(declares_relations)
    root = Path(path)
    if not os.path.isdir(path):
        files = [(root, root.with_suffix(TEXTS), root.stem)]
    else:
        names = _names_in(root, reading)
        files = [(Path(f"{n}{ANNOTATIONS}"), Path(f"{n}{TEXTS}"), n.relative_to(root).as_posix()) for n in names]
    for file, text, id in files:
        record = _document(file, text, id, reading, beyond)
        if isinstance(record, Document) and reading.annotation:
            record.related = is_related(file.parent)
        yield record
    for line in describe_beyond(path, beyond):
        reading.report(line)


def _names_in(root: Path, reading: Reading) -> list[Path]:
    """Return the paths of the documents of a directory, without suffix, and report texts without annotation."""
    files = list(_files(root))
    texts = {file.with_suffix("") for file in files if file.suffix == TEXTS}
    annotated = {file.with_suffix("") for file in files if file.suffix == ANNOTATIONS}
    if not annotated:
        raise DataError(f"{root}: this directory contains no .ann file", hint="name the directory with the .ann files.")
    if not reading.annotation:
        return sorted(annotated | texts)
    if left := sorted(texts - annotated):
        shown = ", ".join(f"{text.name}{TEXTS}" for text in left[:_SHOWN]) + (", …" if len(left) > _SHOWN else "")
        reading.report(f"{root}: {counted(len(left), 'text')} without an .ann file left out: {shown}")
    return sorted(annotated)


def _files(root: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if not name.startswith(".")]
        yield from (Path(directory, name) for name in files if not name.startswith("."))


def _document(file: Path, text_file: Path, id: str, reading: Reading, beyond: Counter[str]) -> Record:
    try:
        text = _decoded(text_file, file)
        if not reading.annotation:
            return Document(text, id=id, where=str(text_file))
        content = _decoded(file, file)
    except DataError as error:
        return BadLine(str(file), "", error)
    lines = [line.removesuffix("\r") for line in content.split("\n")]
    try:
        found = parse(enumerate(lines, 1), text, str(file))
    except DataError as error:
        return BadLine(str(file), content, error)
    beyond.update(found.beyond)
    document = Document(
        text,
        sorted(set(found.entities)),
        list(dict.fromkeys(found.relations.values())),
        id,
        where=str(file),
        events=list(dict.fromkeys(found.events.values())),
    )
    kept = [line for line in lines if line.strip()]
    if write(document, None).lines != kept:
        document.meta[BRAT] = kept
    return document


def _decoded(path: Path, file: Path) -> str:
    """Return the content of a file, with its line ends.

    Args:
        path: the file.
        file: the annotation file, for messages.

    Raises:
        DataError: it cannot be read, or is not UTF-8.
    """
    where = f"{file}: " if path == file else f"{file}: its text {path}: "
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}byte {error.start + 1} (0x{error.object[error.start]:02x}) {NOT_UTF8}",
            hint="convert the file: iconv -f ENCODING -t UTF-8 IN > OUT; offsets of characters do not change.",
        ) from error
    except OSError as error:
        raise DataError(f"{where}{error.strerror or error}", hint=_MISSING_HINT) from error


def _written(document: Document) -> Written:
    kept = document.meta.get(BRAT)
    is_kept = isinstance(kept, list) and all(isinstance(line, str) and "\n" not in line for line in kept)
    return write(document, kept if is_kept else None)


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `save` cannot store."""
    events = set(document.events)
    arguments = {argument for event in events for argument in event.arguments}
    ends = {end for one in document.relations for end in (one.subject, one.object)}
    names = {one.label for one in ends | {argument.entity for argument in arguments} | set(document.entities)}
    names |= {one.predicate for one in document.relations} | {event.type for event in events}
    names |= {argument.role for argument in arguments}
    fields = Document(document.text, meta={name: value for name, value in document.meta.items() if name != BRAT})
    return {
        NO_TRIGGER: sum(event.trigger is None for event in events) if not _is_kept(document) else 0,
        NAMES_CHANGED: sum(name_of(name) != name for name in names),
        ROLES_CHANGED: sum(has_ambiguous_roles(event) for event in events),
        CARRIED_LOST: _written(document).lost,
        UNLOCATED_TRIPLES: count_unlocated(document),
        SURROGATES_LOST: count_surrogates(document.text),
        **{what: count for what, count in count_native_only(document).items() if what != EVENTS_LOST},
        **{what: count for what, count in count_id_and_fields(fields).items() if what != IDS_LOST},
    }


def _is_kept(document: Document) -> bool:
    return BRAT in document.meta and _written(document).lines == document.meta[BRAT]


@contextmanager
def save(path: str) -> Iterator[Save]:
    """Create a directory, and store each document in two files; the configuration is written at the end."""
    configuration = Configuration()
    with new_directory(path) as root:
        names: set[str] = set()
        tried: dict[str, int] = {}  # the last number of each name that occurs again: equal ids are common

        def store(document: Document) -> Mapping[str, int]:
            name = _name_of(document, len(names) + 1)
            for number in count(tried.get(name.lower(), 1)):
                free = name if number == 1 else f"{name}-{number}"
                if free.lower() not in names:
                    break
            tried[name.lower()] = number + 1
            names.add(free.lower())
            target = root / free
            target.parent.mkdir(parents=True, exist_ok=True)
            document = replace(document, text=without_surrogates(document.text))  # the lines repeat its mentions
            lines = _written(document).lines
            with storing(path):
                write_text(Path(f"{target}{TEXTS}"), document.text)
                write_text(Path(f"{target}{ANNOTATIONS}"), "".join(f"{line}\n" for line in lines))
            configuration.add(parse(enumerate(lines, 1), document.text, path), lines)
            return {IDS_CHANGED: int(document.id is not None and free != document.id)}

        yield store
        write_text(root / NAME, configuration.text())


def _name_of(document: Document, number: int) -> str:
    """Return the name of a document's files: its id, or its number if it has none."""
    if document.id is None:
        return f"{number:06}"
    parts = [_UNSAFE.sub("_", part).strip() for part in str(document.id).split("/")]
    parts = [f"_{part}" if part.startswith(".") or not part else part for part in parts]
    return "/".join(part.encode()[:_LONGEST].decode(errors="ignore") for part in parts)


FORMAT = Format(
    "brat",
    "brat: a directory with NAME.txt and NAME.ann for each document",
    read_no_lines,
    count_losses=count_losses,
    container=Container(read, holds, save, directories=True, owns=owns),
)
