"""Tokens in the fields of JSON records: their text, and spans that count them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from ie_cli.document import ColumnRows, Document, Entity
from ie_cli.errors import DataError
from ie_cli.formats.common.base import Reading, checked_entity, format_field_names, short
from ie_cli.formats.common.joining import Joining, join_tokens
from ie_cli.formats.kept_columns import rows_of

TEXT_FIELDS = ("text", "sentence")
"""The names of a field with the text of the tokens, as it was before it was split into tokens."""


def tokens_of(fields: dict[str, Any], name: str) -> list[str]:
    """Return a field that must be a list of tokens.

    Raises:
        DataError: the field is missing, or is anything else.
    """
    if name not in fields:
        raise DataError(f"no field '{name}' (found: {format_field_names(fields)})")
    return checked_tokens(fields[name], name)


def checked_tokens(tokens: Any, name: str) -> list[str]:
    """Return a value that must be a list of tokens.

    Raises:
        DataError: it is anything else.
    """
    if not isinstance(tokens, list):
        raise DataError(f"'{name}' must be a list of strings, got {short(tokens)}")
    for number, token in enumerate(tokens):
        if not isinstance(token, str) or not token:
            raise DataError(f"token {number} must be a non-empty string, got {short(token)}")
    return tokens


def is_integer(value: Any) -> TypeGuard[int]:
    """Return whether a value is an integer, and no boolean."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_list_of_strings(value: Any) -> TypeGuard[list[str]]:
    """Return whether a value is a list that contains strings alone, and at least one."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


@dataclass(frozen=True, slots=True)
class TokenText:
    """A text that consists of tokens, with their offsets in it."""

    tokens: list[str]
    text: str
    starts: list[int]

    @classmethod
    def joined(cls, tokens: list[str], joining: Joining) -> TokenText:
        """Return the tokens of a record, joined as those of its file are."""
        tokens = joining.tokens_of(tokens)
        return cls(tokens, *join_tokens(tokens, joining.joiner))

    @classmethod
    def placed(cls, tokens: list[str], text: str) -> TokenText | None:
        """Return the tokens of a text; None if anything but whitespace is between them."""
        starts = list(_starts(tokens, text))
        end = starts[-1] + len(tokens[-1]) if starts and len(starts) == len(tokens) else 0
        whole = len(starts) == len(tokens) and not text[end:].strip()
        return cls(tokens, text, starts) if whole else None

    def entity(self, first: int, last: int, label: Any) -> Entity:
        """Return the entity from a first to a last token.

        Raises:
            DataError: the label is invalid.
        """
        return checked_entity(self.starts[first], self.starts[last] + len(self.tokens[last]), label, self.text)

    def columns(self, *, keep: bool) -> ColumnRows | None:
        """Return the tokens as columns if they are kept."""
        return rows_of(self.tokens, self.starts) if keep else None

    def document(self, where: str, *, keep_columns: bool) -> Document:
        """Return a document of the text, without annotation."""
        return Document(self.text, where=where, columns=self.columns(keep=keep_columns))


def _starts(tokens: Sequence[str], text: str) -> Iterator[int]:
    """Yield the offsets of tokens until one does not follow the one before it."""
    end = 0
    for token in tokens:
        start = text.find(token, end)
        if start < 0 or text[end:start].strip():
            return
        yield start
        end = start + len(token)


class RecordTexts:
    """Finds the texts of the records of a file: a string that consists of the tokens and whitespace, or the joined tokens."""

    def __init__(self, path: str, joining: Joining) -> None:
        self._path, self._joining = path, joining
        self._different: Counter[str] = Counter()

    def find(self, tokens: list[str], fields: Mapping[str, Any]) -> tuple[TokenText, str | None]:
        """Return the text of a record, and the field that contains it."""
        for name in TEXT_FIELDS:
            if isinstance(text := fields.get(name), str):
                if (placed := TokenText.placed(tokens, text)) is not None:
                    return placed, name
                self._different[name] += 1
        return TokenText.joined(tokens, self._joining), None

    def report(self, reading: Reading) -> None:
        """Report the texts that do not consist of their tokens."""
        for name, count in self._different.items():
            reading.report(
                f"{self._path}: records whose '{name}' does not consist of their tokens, which are joined instead: {count:,}"
            )


def token_span(first: Any, end: Any, tokens: int, what: str) -> tuple[int, int]:
    """Return the first and the last token of a span, whose end is exclusive.

    Raises:
        DataError: it is no span of the tokens.
    """
    if not (is_integer(first) and is_integer(end) and 0 <= first < end <= tokens):
        raise DataError(
            f"{what} must satisfy 0 <= start < end <= {tokens}, the number of tokens, got {short([first, end])}",
            hint="count tokens from 0, the end exclusive.",
        )
    return first, end - 1
