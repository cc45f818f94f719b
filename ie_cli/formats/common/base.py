"""What all formats share: the options of reading, bad lines, checked entities."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.triples import Mentions, text_triples, triples_of

Lines = Iterable[tuple[int, str]]


def _no_report(text: str) -> None:
    """Say nothing."""


def _nothing_lost(document: Document) -> Mapping[str, int]:
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


Record = Document | BadLine


@dataclass(frozen=True, slots=True)
class Format:
    """A row of the table of formats.

    Attributes:
        read: numbered lines and the file's name -> records, in a stream.
        write: an example -> its lines, with the line end; None where nothing can be written.
        lost: what of an example `write` cannot express, by what to say of it.
        by_line: whether each line is a record of its own.
        frame: what stands before the first, between two, and after the last of what `write` gives.
    """

    name: str
    help: str
    read: Callable[[Lines, str, Reading], Iterator[Record]]
    write: Callable[[Document], str] | None = None
    lost: Callable[[Document], Mapping[str, int]] = _nothing_lost
    frame: tuple[str, str, str] = ("", "", "")
    by_line: bool = False


def short(value: Any) -> str:
    """A value in a message."""
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= 60 else shown[:59] + "…"


def quoted(value: Any) -> str:
    """A value of a data file in a message, in quotes where it is text; a line may have ten megabytes."""
    shown = repr(value if not isinstance(value, str) or len(value) <= 80 else value[:79] + "…")
    return shown if len(shown) <= 120 else shown[:119] + "…"


def fields_of(fields: Iterable[str]) -> str:
    """The names of a record's fields in a message."""
    return short(", ".join(sorted(fields)) or "nothing")[1:-1]


RELATIONS_LOST = "relations have no place in this format"
EVENTS_LOST = "events have no place in this format"
PAIRS_LOST = "second texts, with the labels and scores of their pairs, have no place in this format"
PLACELESS = "triples have no place in their text, and this format needs one"
SCORES_LOST = "scores of entities and relations have no place in this format"
IDS_LOST = "ids have no place in this format"
FIELDS_LOST = "other fields of the records have no place in this format"
NAMES_TAKEN = "other fields of the records have names that mean something else in this format, and are left out"


def native_only(document: Document) -> dict[str, int]:
    """Count what native JSON lines alone have a place for; every other format loses it."""
    pair = (document.text_pair, document.label, document.score)
    scores = [entity.score for entity in document.entities] + [relation.score for relation in document.relations]
    counts = {
        EVENTS_LOST: len(set(document.events)),
        PAIRS_LOST: int(any(part is not None for part in pair)),
        SCORES_LOST: sum(score is not None for score in scores),
    }
    return {what: count for what, count in counts.items() if count}


def no_fields(document: Document) -> dict[str, int]:
    """Count the id and the other fields of a record, for a format that has a place for neither."""
    counts = {IDS_LOST: int(document.id is not None), FIELDS_LOST: len(document.meta)}
    return {what: count for what, count in counts.items() if count}


def taken(document: Document, ours: Collection[str]) -> dict[str, int]:
    """Count the other fields of a record that a format leaves out, as their names are its own."""
    count = sum(name in ours for name in document.meta)
    return {NAMES_TAKEN: count} if count else {}


def placeless(document: Document) -> int:
    """How many triples without offsets have no place in the text."""
    return len(triples_of(document) - text_triples(document.text, document.relations)) if document.spos else 0


_HALF_PAIR = re.compile("[\ud800-\udfff]")


def is_storable(name: str) -> bool:
    """Say whether a name holds no half of a surrogate pair."""
    return name.isascii() or _HALF_PAIR.search(name) is None


def require_storable(name: str, what: str) -> None:
    """Refuse the name of a label, a predicate, a type or a slot that holds half a surrogate pair.

    Raises:
        DataError: with what was got, without the place.
    """
    if not is_storable(name):
        raise DataError(
            f"the {what} {quoted(name)} holds half a surrogate pair, which no file can store",
            hint="JSON writes a character outside the basic plane as two escapes, \\ud83d\\ude00: one of them is missing.",
        )


class OutsideText(DataError):
    """Offsets that lie outside of their text; no mention tells what they count.

    Attributes:
        text, span: the text, and start and end.
    """

    def __init__(self, message: str, *, hint: str | None, text: str, span: tuple[int, int]) -> None:
        super().__init__(message, hint=hint)
        self.text, self.span = text, span


OFFSETS_HINT = "offsets are 0-based characters, end exclusive; `ie check RECIPE` lists every such line."


def checked_entity(
    start: Any, end: Any, label: Any, text: str, *, mention: Any = None, score: float | None = None
) -> Entity:
    """An entity whose offsets lie in the text and, where the mention is given too, slice it.

    Raises:
        DataError: with what was got, without the place.
    """
    if not isinstance(label, str) or not label:
        raise DataError(f"an entity's label must be a non-empty string, got {quoted(label)}")
    require_storable(label, "label")
    for name, value in (("start", start), ("end", end)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise DataError(
                f"entity {quoted(label)}: {name} must be a whole number, got {quoted(value)}", hint=OFFSETS_HINT
            )
    if end <= start:
        wrong = "is empty" if end == start else "ends before it starts"
        raise DataError(f"{_covers(label, start, end)}: it {wrong}", hint=OFFSETS_HINT)
    if start < 0 or end > len(text):
        units = _units(start, end, text, mention)
        message = f"{_covers(label, start, end)}, but the text has {len(text)}{units}"
        if mention is None and start >= 0:
            raise OutsideText(message, hint=OFFSETS_HINT, text=text, span=(start, end))
        raise DataError(message, hint=OFFSETS_HINT)
    if mention is not None and mention != text[start:end]:
        raise DataError(
            f"{_covers(label, start, end)}, which are {quoted(text[start:end])}, but its text is "
            f"{quoted(mention)}{_units(start, end, text, mention)}",
            hint=OFFSETS_HINT,
        )
    return Entity(start, end, label, score)


def _covers(label: str, start: int, end: int) -> str:
    return f"entity {quoted(label)} covers characters {_shown(start)}-{_shown(end)}"


def _shown(number: int) -> str:
    """A whole number; Python writes none of more than 4,300 digits out."""
    return str(number) if -(10**30) < number < 10**30 else f"a number of {number.bit_length()} bits"


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


def at(where: str, error: DataError, hint: str | None = None) -> DataError:
    """The same error with its place before it; `hint` is of the format, where the error has none of its own."""
    message, hint = f"{where}: {error.message}", error.hint or hint
    if isinstance(error, OutsideText):
        return OutsideText(message, hint=hint, text=error.text, span=error.span)
    return DataError(message, hint=hint)
