"""Shared parts of all formats: reading options, bad lines, validated entities, descriptions of losses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

from ie_cli.document import Document, Entity
from ie_cli.document.relabelling import Relabelling
from ie_cli.errors import DataError
from ie_cli.triples import Mentions, text_triples, triples_of

Lines = Iterable[tuple[int, str]]
Tokens = Literal["characters", "words"]
"""What the tokens of a file are: single characters, joined with nothing, or words."""


@dataclass(frozen=True, slots=True)
class TokenFile:
    """What a reader has decided about a file of tokens.

    Attributes:
        tokens: what the tokens are; None if `Reading.joiner` says how to join them.
        signature: what distinguishes the documents from those that version 0.1 read, for the fingerprint of data.
    """

    tokens: Tokens | None
    signature: tuple[str, ...] = ()


def _no_report(text: str) -> None:
    """Ignore a report."""


def _no_decision(file: TokenFile) -> None:
    """Ignore a decision."""


def _no_row(row: str) -> None:
    """Ignore what a row is."""


def _count_no_losses(document: Document) -> Mapping[str, int]:
    return {}


@dataclass(frozen=True, slots=True)
class Reading:
    """Options of reading; `text_column` to `nested` apply to columns, `mentions` to triples without offsets, `grades` to pairs.

    Attributes:
        text_column: column of the token, or of the first text of a pair, which its second one follows; negative numbers count
            from the right. 0 is the first column that can hold tokens or texts.
        label_columns: columns of the tags, or the column of a pair's label; detected if None.
        grades: whether numbers that label pairs of texts are grades or classes; None: those with a decimal point are grades.
        joiner: text between tokens; None is a space, or nothing next to a CJK character or between single characters.
        mentions: which occurrences a triple uses: the closest pair, the first ones, or all pairs.
        trim: whether to remove whitespace at the ends of spans; at the ends of mentions without offsets it always is.
        relabelling: the labels and predicates to rename or leave out.
        annotation: whether to read annotations; False for input of prediction.
        keep_columns: whether documents keep the lines of columns that they are read from.
        keep_fields: whether documents keep the native JSON object that they are read from.
        tokens: what the tokens of the training data are, which decides how to join them; decided from the file if None.
        nested: whether several tag columns that are detected may hold nested entities.
        other_columns: columns that hold other tags, so that they are not detected.
        columns: the names of the columns of a table, by their part of it, if they differ from the usual ones.
        report: called with messages about what was detected and repaired.
        decided: called before the first document with what was decided about a file of tokens.
        row_is: called before the first document of a table with what a row of it is, a key of `ROW_OPTIONS`.
        progress: called with the number of bytes of each line that was read; None if nobody needs it.
    """

    text_column: int = 0
    label_columns: tuple[int, ...] | None = None
    joiner: str | None = None
    mentions: Mentions = "nearest"
    trim: bool = False
    relabelling: Relabelling = field(default_factory=Relabelling)
    annotation: bool = True
    keep_columns: bool = False
    keep_fields: bool = False
    tokens: Tokens | None = None
    nested: bool = True
    grades: bool | None = None
    other_columns: tuple[int, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    report: Callable[[str], None] = field(default=_no_report, compare=False)
    decided: Callable[[TokenFile], None] = field(default=_no_decision, compare=False)
    row_is: Callable[[str], None] = field(default=_no_row, compare=False)
    progress: Callable[[int], None] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A record that could not be read: its place, its unmodified text and the error."""

    where: str
    raw: str
    error: DataError


Record = Document | BadLine


Save = Callable[[Document], Mapping[str, int]]
"""Stores a document in an output that is no stream of text, and counts what was lost only then."""


def _owns_nothing(path: str, file: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Container:
    """How a format reads and writes what is no stream of lines: a directory or a binary file.

    Attributes:
        read: yields the records of a local path, as a stream.
        holds: whether a local path that exists has this format; called only if the format is not named.
        save: opens a path for writing, and gives the function that stores a document; None if the format cannot be written.
        directories: whether it reads directories; other directories are a list of files.
        owns: whether a local path that is read needs another file, which must then not be replaced.
    """

    read: Callable[[str, Reading], Iterator[Record]]
    holds: Callable[[str], bool]
    save: Callable[[str], AbstractContextManager[Save]] | None = None
    directories: bool = False
    owns: Callable[[str, str], bool] = _owns_nothing


@dataclass(frozen=True, slots=True)
class Format:
    """An entry of the table of formats.

    Attributes:
        name: the name in recipes and commands.
        help: a description of the format.
        read: converts numbered lines, given with the name of the file, to a stream of records.
        write: converts an example to its lines, with the line end; None if the format cannot be written.
        count_losses: counts what `write` cannot store of an example, by description.
        by_line: whether each line is a separate record.
        arrays: whether a file may also be an array of records or contain indented records; only with `by_line`.
        frame: the text before the first record, between two records, and after the last one.
        keep_ends: whether `read` gets the lines with their ends.
        suffixes: the suffixes of file names that stand for the format, in lower case.
        writer: for a format whose records depend on each other, returns what replaces `write` for one output; it is given
            the labels that are known before the first record.
        container: for a format that is no stream of lines, what replaces `read` and `write`.
        setup: given the labels and the predicates that were written, returns what the reader of the output has to set up; None
            if there is nothing.
        options: the options of reading that apply to this format but not to every one, by their names in `Reading`.
        rows: for a table, returns what a row of a local file or directory is, which decides which of these options apply; None if
            it cannot be known without reading the rows.
        repeats: which of `REPEATED` it writes as often as a document lists them; it writes others once, or not at all.
    """

    name: str
    help: str
    read: Callable[[Lines, str, Reading], Iterator[Record]]
    write: Callable[[Document], str] | None = None
    count_losses: Callable[[Document], Mapping[str, int]] = _count_no_losses
    frame: tuple[str, str, str] = ("", "", "")
    by_line: bool = False
    keep_ends: bool = False
    suffixes: tuple[str, ...] = ()
    arrays: bool = False
    writer: Callable[[Iterable[str]], Callable[[Document], str]] | None = None
    setup: Callable[[Iterable[str], Iterable[str]], str] | None = None
    container: Container | None = None
    options: tuple[str, ...] = ()
    rows: Callable[[str, Reading], str | None] | None = None
    repeats: tuple[str, ...] = ()

    @property
    def writable(self) -> bool:
        """Whether the format can be written."""
        return self.write is not None or (self.container is not None and self.container.save is not None)

    def losses(self, document: Document) -> dict[str, int]:
        """Count what is lost of an example that is written, by description: what `count_losses` counts, and duplicates."""
        counts = dict(self.count_losses(document))
        for name in REPEATED:
            if name not in self.repeats and (some := getattr(document, name)):
                counts[REPEATED[name]] = len(some) - len(set(some))
        return {what: count for what, count in counts.items() if count}


def read_no_lines(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Reject a stream for a format that is read from a local directory or binary file.

    Raises:
        DataError: always.
    """
    raise not_local(path)


def not_local(path: str) -> DataError:
    """Return the error for a stream or a URL in a format that needs a local file or directory."""
    return DataError(
        f"{path}: this format is read from a local file or directory, not from a stream",
        hint="save the data first, and name the file or directory.",
    )


def short(value: Any) -> str:
    """Format a value for a message, in at most 60 characters."""
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= 60 else shown[:59] + "…"


def quoted(value: Any) -> str:
    """Format a value of a data file for a message, shortened and, if it is text, in quotes."""
    shown = repr(value if not isinstance(value, str) or len(value) <= 80 else value[:79] + "…")
    return shown if len(shown) <= 120 else shown[:119] + "…"


def format_field_names(fields: Iterable[str]) -> str:
    """Format the names of a record's fields for a message."""
    return short(", ".join(sorted(fields)) or "nothing")[1:-1]


OVERLAPS = "entities that overlap longer ones cannot be stored in one tag column"
EDGE_WHITESPACE_LOST = "entities that start or end with whitespace lose it, because it is in no token"
ENTITIES_LOST = "entities cannot be stored in this format"
RELATIONS_LOST = "relations cannot be stored in this format"
EVENTS_LOST = "events cannot be stored in this format"
PAIRS_LOST = "second texts, with the labels and scores of their pairs, cannot be stored in this format"
UNLOCATED_TRIPLES = "triples not found in their text cannot be stored in this format, which needs offsets"
SCORES_LOST = "scores of entities and relations cannot be stored in this format"
SURROGATES_LOST = "lone surrogates are replaced"
IDS_LOST = "ids cannot be stored in this format"
FIELDS_LOST = "other fields of the records cannot be stored in this format"
REPEATED = {
    name: f"{name} that repeat another one of their text are left out" for name in ("entities", "relations", "events")
}
"""What is said of duplicates that a format does not write, by the attribute of a document that lists them."""
NAMES_TAKEN = "other fields of the records are left out, because their names have another meaning in this format"


def count_native_only(document: Document) -> dict[str, int]:
    """Count what only native JSON Lines can store and every other format loses."""
    pair = (document.text_pair, document.label, document.score)
    scores = [entity.score for entity in document.entities] + [relation.score for relation in document.relations]
    counts = {
        EVENTS_LOST: len(set(document.events)),
        PAIRS_LOST: int(any(part is not None for part in pair)),
        SCORES_LOST: sum(score is not None for score in scores),
    }
    return {what: count for what, count in counts.items() if count}


def count_id_and_fields(document: Document) -> dict[str, int]:
    """Count the id and the other fields of a record, for a format that can store neither."""
    counts = {IDS_LOST: int(document.id is not None), FIELDS_LOST: len(document.meta)}
    return {what: count for what, count in counts.items() if count}


def count_name_clashes(document: Document, format_fields: Collection[str]) -> dict[str, int]:
    """Count the other fields of a record that a format leaves out, because it uses their names itself."""
    count = sum(name in format_fields for name in document.meta)
    return {NAMES_TAKEN: count} if count else {}


def count_unlocated(document: Document) -> int:
    """Count the triples without offsets that cannot be located in the text."""
    return len(triples_of(document) - text_triples(document.text, document.relations)) if document.spos else 0


_HALF_PAIR = re.compile("[\ud800-\udfff]")


def is_storable(name: str) -> bool:
    """Return whether a name contains no lone surrogate."""
    return name.isascii() or _HALF_PAIR.search(name) is None


def require_storable(name: str, what: str) -> None:
    """Check that the name of a label, a predicate, a type or a slot contains no lone surrogate.

    Raises:
        DataError: it does; the message does not include the place.
    """
    if not is_storable(name):
        raise DataError(
            f"the {what} {quoted(name)} contains a lone surrogate, which UTF-8 cannot encode",
            hint="write a character outside the basic plane as two JSON escapes, \\ud83d\\ude00: one of them is missing.",
        )


class OffsetError(DataError):
    """Offsets that cover nothing, lie outside their text, or do not cover their mention.

    Attributes:
        text: the text.
        span: start and end.
        mention: the text that they should cover, if the data give it.
    """

    def __init__(
        self, message: str, *, hint: str | None, text: str, span: tuple[int, int], mention: str | None
    ) -> None:
        super().__init__(message, hint=hint)
        self.text, self.span, self.mention = text, span, mention


class UnknownFormat(DataError):
    """The format of a file cannot be detected."""


OFFSETS_RULE = "count characters from 0, the end exclusive"
OFFSETS_HINT = f"{OFFSETS_RULE}; list all such lines with `ie check RECIPE`, or without a recipe with `ie check DATA`."


def checked_entity(
    start: Any, end: Any, label: Any, text: str, *, mention: Any = None, score: float | None = None
) -> Entity:
    """Build an entity, and check that its offsets lie in the text and match the mention, if given.

    Raises:
        DataError: a value is invalid; the message does not include the place.
    """
    if not isinstance(label, str) or not label:
        raise DataError(f"an entity's label must be a non-empty string, got {quoted(label)}")
    require_storable(label, "label")
    for name, value in (("start", start), ("end", end)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise DataError(
                f"entity {quoted(label)}: {name} must be an integer, got {quoted(value)}", hint=OFFSETS_HINT
            )
    if (wrong := _wrong_span(start, end, text, mention)) is not None:
        given = mention if isinstance(mention, str) else None
        message = f"{_covers(label, start, end)}{wrong}{_reading(start, end, text, given)}"
        raise OffsetError(message, hint=OFFSETS_HINT, text=text, span=(start, end), mention=given)
    return Entity(start, end, label, score)


def _wrong_span(start: int, end: int, text: str, mention: Any) -> str | None:
    """Return what is wrong with a span, as the end of a message; None if nothing is."""
    if end <= start:
        return f": it {'is empty' if end == start else 'ends before it starts'}"
    if start < 0 or end > len(text):
        return f", but the text has {len(text)}"
    if mention is not None and mention != text[start:end]:
        return f", which are {quoted(text[start:end])}, but its text is {quoted(mention)}"
    return None


def _covers(label: str, start: int, end: int) -> str:
    return f"entity {quoted(label)} covers characters {_shown(start)}-{_shown(end)}"


def _shown(number: int) -> str:
    """Format an integer; Python refuses to format more than 4,300 digits."""
    return str(number) if -(10**30) < number < 10**30 else f"a number of {number.bit_length()} bits"


def _reading(start: int, end: int, text: str, mention: str | None) -> str:
    """Describe what the offsets seem to count if that makes them cover the mention, or return an empty string."""
    from ie_cli.formats.common.offset_units import readings  # loads numpy, which completion and most files do not need

    found = next(readings(text, (start, end), mention), None) if mention else None
    return f" (its {found})" if found is not None else ""


def error_at(where: str, error: DataError, hint: str | None = None) -> DataError:
    """Return an error with its place prepended; `hint` is used if the error has no hint."""
    message, hint = f"{where}: {error.message}", error.hint or hint
    if isinstance(error, OffsetError):
        return OffsetError(message, hint=hint, text=error.text, span=error.span, mention=error.mention)
    return DataError(message, hint=hint)
