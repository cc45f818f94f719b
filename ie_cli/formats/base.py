"""What all formats share: the options of reading, bad lines, checked entities."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ie_cli.errors import DataError
from ie_cli.example import Entity, Example
from ie_cli.triples import Mentions, text_triples, triples_of

Lines = Iterable[tuple[int, str]]


def _no_report(text: str) -> None:
    """Say nothing."""


def _nothing_lost(example: Example) -> Mapping[str, int]:
    return {}


@dataclass(frozen=True, slots=True)
class Reading:
    """Options of reading; the first three are for columns, `mentions` for triples without offsets.

    Attributes:
        text_column: column of the token, negative from the right.
        label_columns: columns of the tags; None looks for them.
        joiner: what stands between tokens; None is a blank, or nothing beside a Chinese character.
        mentions: which occurrences a triple is put on: the pair that stands nearest, the first ones, or all pairs.
        annotation: read entities and relations too; False for texts that are to be predicted.
        report: called with what was detected and repaired.
    """

    text_column: int = 0
    label_columns: tuple[int, ...] | None = None
    joiner: str | None = None
    mentions: Mentions = "nearest"
    annotation: bool = True
    report: Callable[[str], None] = field(default=_no_report, compare=False)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A record that could not be read: where it is, its text as it stands there, and why."""

    where: str
    raw: str
    error: DataError


Record = Example | BadLine


@dataclass(frozen=True, slots=True)
class Format:
    """A row of the table of formats.

    Attributes:
        read: numbered lines and the file's name -> records, in a stream.
        write: an example -> its lines, with the line end; None where nothing can be written.
        lost: what of an example `write` cannot express, by what to say of it.
        frame: what stands before the first, between two, and after the last of what `write` gives.
    """

    name: str
    help: str
    read: Callable[[Lines, str, Reading], Iterator[Record]]
    write: Callable[[Example], str] | None = None
    lost: Callable[[Example], Mapping[str, int]] = _nothing_lost
    frame: tuple[str, str, str] = ("", "", "")


def short(value: Any) -> str:
    """A value in a message."""
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= 60 else shown[:59] + "…"


RELATIONS_LOST = "relations have no place in this format"
PLACELESS = "triples have no place in their text, and this format needs one"


def placeless(example: Example) -> int:
    """How many triples without offsets have no place in the text."""
    return len(triples_of(example) - text_triples(example.text, example.relations)) if example.spos else 0


OFFSETS_HINT = "offsets are 0-based characters, end exclusive; `ie check RECIPE` lists every such line."


def checked_entity(
    start: Any, end: Any, label: Any, text: str, *, mention: Any = None, score: float | None = None
) -> Entity:
    """An entity whose offsets lie in the text and, where the mention is given too, slice it.

    Raises:
        DataError: with what was got, without the place.
    """
    if not isinstance(label, str) or not label:
        raise DataError(f"an entity's label must be a non-empty string, got {label!r}")
    if any("\ud800" <= char <= "\udfff" for char in label):
        raise DataError(f"the label {label!r} holds half a surrogate pair, which no file can store")
    for name, value in (("start", start), ("end", end)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise DataError(f"entity '{label}': {name} must be a whole number, got {value!r}", hint=OFFSETS_HINT)
    if end <= start:
        what = "is empty" if end == start else "ends before it starts"
        raise DataError(f"entity '{label}' covers characters {start}-{end}: it {what}", hint=OFFSETS_HINT)
    if start < 0 or end > len(text):
        raise DataError(
            f"entity '{label}' covers characters {start}-{end}, but the text has {len(text)}{_units(start, end, text, mention)}",
            hint=OFFSETS_HINT,
        )
    if mention is not None and mention != text[start:end]:
        raise DataError(
            f"entity '{label}' covers characters {start}-{end}, which are {text[start:end]!r}, but its text is "
            f"{mention!r}{_units(start, end, text, mention)}",
            hint=OFFSETS_HINT,
        )
    return Entity(start, end, label, score)


def _units(start: int, end: int, text: str, mention: Any) -> str:
    """Recognise offsets that count something else than characters."""
    if not isinstance(mention, str):
        return ""
    if text[start : end + 1] == mention:
        return " (its end seems to be inclusive)"
    for encoding, name, width in (("utf-16-le", "UTF-16 units", 2), ("utf-8", "UTF-8 bytes", 1)):
        raw = text.encode(encoding, "surrogatepass")[start * width : end * width]
        if raw == mention.encode(encoding, "surrogatepass"):
            return f" (its offsets seem to count {name})"
    return ""


def at(where: str, error: DataError) -> DataError:
    """The same error with its place before it."""
    return DataError(f"{where}: {error.message}", hint=error.hint)
