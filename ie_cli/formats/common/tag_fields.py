"""Records with tokens and tags, wherever they come from: JSON, datasets, Parquet, CSV and Excel.

The first records of a source decide which fields contain the tokens and the tags, in which scheme the tags are, and how the
tokens are joined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ie_cli.document import Document
from ie_cli.errors import DataError, counted
from ie_cli.formats import jsonl
from ie_cli.formats.common.base import Reading, TokenFile, format_field_names, quoted, short
from ie_cli.formats.common.joining import look_ahead, tokens_in
from ie_cli.formats.common.tag_names import TagNames
from ie_cli.formats.common.tag_schemes import OUTSIDE, PREFIXED, TagStyle, scheme_of, spans_of, style_of
from ie_cli.formats.common.token_fields import RecordTexts, checked_tokens, is_integer, is_list_of_strings
from ie_cli.formats.conll import INVALID_TAGS

T = TypeVar("T")

TOKEN_FIELDS = ("tokens", "words", "text", "sentence")
"""The names of the field with the tokens; ``text`` and ``sentence`` may be strings instead."""
TAG_FIELDS = ("ner_tags", "tags", "labels", "label", "bio_tags", "ner")
"""The names of the field with the tags, the most specific first."""
LOOK_AHEAD = 2000
"""Number of records that decide about the tags."""
_UNPREFIXED = 3
"""The rank of the style of tags without prefixes."""


def is_tagged(fields: Mapping[str, Any]) -> bool:
    """Return whether a record has tokens and as many tags."""
    tokens = token_field(fields)
    return tokens is not None and _tag_field(fields, len(fields[tokens])) is not None


def token_field(fields: Mapping[str, Any]) -> str | None:
    """Return the field with the tokens, or None if there is none."""
    return next((name for name in TOKEN_FIELDS if is_list_of_strings(fields.get(name))), None)


def _tag_field(fields: Mapping[str, Any], count: int) -> str | None:
    """Return the first field that contains as many strings or numbers as there are tokens, or None."""
    for name in TAG_FIELDS:
        value = fields.get(name)
        if (
            isinstance(value, list)
            and len(value) == count
            and (is_list_of_strings(value) or all(map(is_integer, value)))
        ):
            return name
    return None


class TaggedReader:
    """Converts the records of a source, whose fields and tags its first records decide."""

    def __init__(self, path: str, reading: Reading, tags: RecordTags) -> None:
        self._path, self._reading, self._tags = path, reading, tags

    @classmethod
    def of(
        cls,
        records: Sequence[Mapping[str, Any]],
        path: str,
        reading: Reading,
        *,
        names_of: Callable[[str], TagNames | None],
        names_hint: str,
    ) -> TaggedReader:
        """Decide from the first records, and report what is unusual.

        Args:
            records: the fields of the first records; those that cannot be read have none.
            path: the name of the source.
            reading: the options of reading.
            names_of: returns the names of the numbers in a field, or None if they are unknown.
            names_hint: what to do if they are unknown.
        """
        return cls(path, reading, RecordTags.of(records, path, reading, names_of, names_hint))

    def look_ahead(self, records: Iterator[T], fields_of: Callable[[T], Mapping[str, Any]]) -> Iterator[T]:
        """Decide how the tokens of all records are joined, and return the records; call it before `document`.

        Args:
            records: all records.
            fields_of: returns the fields of a record.
        """

        def tokens_of(record: T) -> list[str]:
            fields = fields_of(record)
            name = token_field(fields)
            return [] if name is None else tokens_in(fields[name])

        joining, found = look_ahead(records, tokens_of, self._path, self._signed())
        self._texts = RecordTexts(self._path, joining)
        return found

    def _signed(self) -> Reading:
        """Return the options of reading; the decision about the source of tokens also names the tags of a file beside it."""
        found, decided = self._tags.names, self._reading.decided
        if found is None or found.path is None:
            return self._reading
        names = found.names

        def decide(file: TokenFile) -> None:
            decided(replace(file, signature=(*file.signature, *names)))

        return replace(self._reading, decided=decide)

    def document(self, fields: Mapping[str, Any], where: str) -> Document:
        """Return the document of a record.

        Raises:
            DataError: a field is missing or invalid; the message does not include the place.
        """
        tags = self._tags
        name = tags.tokens or next((one for one in TOKEN_FIELDS if isinstance(fields.get(one), list)), "tokens")
        if name not in fields:
            raise DataError(f"no field '{name}' (found: {format_field_names(fields)})")
        tokens, text = self._texts.find(checked_tokens(fields[name], name), fields)
        document = tokens.document(where, keep_columns=self._reading.keep_columns)
        document.id = jsonl.id_of(fields)
        document.meta = {key: value for key, value in fields.items() if key not in {"id", name, tags.field, text}}
        if self._reading.annotation:
            spans = tags.spans(fields, len(tokens.tokens))
            document.entities = [tokens.entity(first, last, label) for first, last, label in spans]
        return document

    def report(self) -> None:
        """Report the texts that are not used, and what tags were missing or invalid."""
        self._texts.report(self._reading)
        self._tags.report(self._reading)


class RecordTags:
    """Decides how the tags of a file are read, and reads those of each record.

    Attributes:
        field: the field with the tags.
        tokens: the field with the tokens; None if the first records have none.
        names: the names of tags that are numbers; None if there are no numbers, or no names.
    """

    def __init__(
        self, path: str, field: str, tokens: str | None, *, names: TagNames | None, hint: str, style: TagStyle
    ) -> None:
        self.field, self.tokens, self.names = field, tokens, names
        self._path, self._hint, self._style = path, hint, style
        self._repaired = self._without = 0
        self._begins = True

    @classmethod
    def of(
        cls,
        head: Sequence[Mapping[str, Any]],
        path: str,
        reading: Reading,
        names_of: Callable[[str], TagNames | None],
        names_hint: str,
    ) -> RecordTags:
        """Decide from the first records, and report it; the arguments are those of `TaggedReader.of`."""
        records = [fields for fields in head if token_field(fields)]
        tokens = None if not records else token_field(records[0])
        given = [(fields, _tag_field(fields, len(fields[str(token_field(fields))]))) for fields in records]
        field = next((name for _, name in given if name is not None), TAG_FIELDS[0])
        values = [tag for fields, name in given if name == field for tag in fields[field]]
        names = None
        if any(map(is_integer, values)) and reading.annotation:
            names = names_of(field)
            if names is not None and names.path is not None:
                reading.report(f"{path}: the names of the numbers in '{field}' are those of {names.path}")
            if names is not None:
                values = [names.names[tag] for tag in values if is_integer(tag) and 0 <= tag < len(names.names)]
        style = style_of([tag for tag in values if isinstance(tag, str)]) or PREFIXED
        if style.note and reading.annotation:
            reading.report(f"{path}: {style.note}")
        tags = cls(path, field, tokens, names=names, hint=names_hint, style=style)
        tags._begins = style.rank < _UNPREFIXED and tags._scheme(records) != "IOB1"
        return tags

    def _scheme(self, records: Sequence[Mapping[str, Any]]) -> str:
        """Return the scheme of the tags of the first records, as far as they are valid."""
        names = () if self.names is None else self.names.names
        named = (
            [names[tag] if is_integer(tag) and 0 <= tag < len(names) else tag for tag in fields[self.field]]
            for fields in records
            if isinstance(fields.get(self.field), list)
        )
        return scheme_of(
            [self._style.standard(tag) or OUTSIDE for tag in tags if isinstance(tag, str)] for tags in named
        )

    def spans(self, fields: Mapping[str, Any], count: int) -> list[tuple[int, int, str]]:
        """Return the spans of a record with a number of tokens.

        Raises:
            DataError: the tags are missing or invalid.
        """
        if self.field not in fields:
            other = next(
                (name for name in TAG_FIELDS if name != self.field and isinstance(fields.get(name), list)), None
            )
            if other is not None:
                raise DataError(
                    f"no field '{self.field}', but '{other}'",
                    hint=f"give the tags of all records in the field '{self.field}', as in the first ones.",
                )
            self._without += 1
            return []
        tags = fields[self.field]
        if not isinstance(tags, list):
            raise DataError(f"'{self.field}' must be a list, got {short(tags)}")
        if len(tags) != count:
            raise DataError(f"got {counted(count, 'token')}, but {counted(len(tags), 'tag')} in '{self.field}'")
        spans, broken = spans_of([self._standard(tag) for tag in tags])
        self._repaired += broken * self._begins  # in IOB1 and without prefixes, no tag marks a beginning
        return spans

    def _standard(self, tag: Any) -> str:
        """Return a tag with its prefix and label, as in ``B-PER``."""
        name = self._name(tag) if is_integer(tag) else tag
        found = self._style.standard(name) if isinstance(name, str) else None
        if found is None:
            raise DataError(f"expected a tag such as O or {self._style.example}, got {short(name)}")
        return found

    def _name(self, tag: int) -> str:
        if self.names is None:
            raise DataError(f"'{self.field}' contains numbers without names, such as {tag}", hint=self._hint)
        names = self.names.names
        if not 0 <= tag < len(names):
            raise DataError(
                f"'{self.field}' must contain numbers below {len(names)}, the number of names in "
                f"{self.names.path or 'its ClassLabel feature'}, got {short(tag)}",
                hint=self._hint,
            )
        return names[tag]

    def report(self, reading: Reading) -> None:
        """Report what was missing or invalid."""
        if self._repaired:
            reading.report(INVALID_TAGS.format(path=self._path, count=counted(self._repaired, "tag")))
        if self._without and reading.annotation:
            reading.report(
                f"{self._path}: records without a field {quoted(self.field)}, which count as texts without entities: "
                f"{self._without:,}"
            )
