"""Joining of tokens to a text: with spaces between words, with nothing between single characters.

What the tokens are is decided for a whole file. Next to Chinese and Japanese characters there is never a space.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Any, TypeVar

from ie_cli.errors import DataError
from ie_cli.formats.common.base import Reading, TokenFile, Tokens

T = TypeVar("T")

CJK_RANGES = r"\u2e80-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
"""The characters that are written without spaces, for a regular expression."""
_CJK = re.compile(f"[{CJK_RANGES}]")
_NUMBERED = re.compile(r"(.)([0-9])", re.DOTALL)
_NEARLY_ALL = 0.95
_MOST = 0.9
_FEW = 20
"""Number of Latin letters and digits below which they may also be words, such as `I` and `a`."""
_ENOUGH, _ENOUGH_NUMBERS = 1000, 4
"""Numbers of tokens that decide how those of a file are joined, and whether they have numbers."""


@dataclass(frozen=True, slots=True)
class Joining:
    """How the tokens of a file become a text.

    Attributes:
        joiner: the text between two tokens; None is a space, or nothing next to a CJK character.
        numbered: whether a token is a character with its number in a word, as in `我0 去1`, which is removed.
        tokens: what the tokens are; None if `data.joiner` says how to join them.
        note: a description for the report of the reader, or an empty text.
    """

    joiner: str | None
    numbered: bool = False
    tokens: Tokens | None = None
    note: str = ""

    @property
    def signature(self) -> tuple[str, ...]:
        """What distinguishes the text from that of words; part of the fingerprint of data."""
        return ("characters",) * (self.tokens == "characters") + ("numbered",) * self.numbered

    def tokens_of(self, tokens: Sequence[str]) -> list[str]:
        """Return tokens without their numbers."""
        return [_without_number(token) for token in tokens] if self.numbered else list(tokens)


def find_joining(sentences: Iterable[Sequence[str]], reading: Reading) -> Joining:
    """Decide how to join the tokens of a file from its first sentences, unless the options of reading say it."""
    shown = list(sentences)
    notes = []
    if numbered := _are_numbered(shown):
        notes.append("the number of each character in its word is removed")
        shown = [[_without_number(token) for token in sentence] for sentence in shown]
    if reading.joiner is not None:
        return Joining(reading.joiner, numbered, None, "; ".join(notes))
    found: Tokens = "characters" if are_characters(shown) else "words"
    tokens = reading.tokens or found
    if tokens == "characters":
        same = found == tokens or not any(shown)
        notes.append(
            "tokens are single characters: joined with nothing"
            if same
            else "tokens are words, but joined with nothing, because those of the training data are single characters"
        )
    elif found == "characters":
        notes.append("tokens are single characters, but joined like words, as in the training data")
    return Joining("" if tokens == "characters" else None, numbered, tokens, "; ".join(notes))


def look_ahead(
    records: Iterator[T], tokens_of: Callable[[T], Sequence[str]], path: str, reading: Reading
) -> tuple[Joining, Iterator[T]]:
    """Decide how to join the tokens of a file from its first records, and report it; also return all records.

    An error of the records is raised at its place among them.
    """
    enough = _ENOUGH if reading.tokens is None and reading.joiner is None else _ENOUGH_NUMBERS
    first, found = peek_at(records, enough, lambda record: len(tokens_of(record)))
    joining = find_joining(map(tokens_of, first), reading)
    if joining.note:
        reading.report(f"{path}: {joining.note}")
    reading.decided(TokenFile(joining.tokens, joining.signature))
    return joining, found


def peek_at(
    records: Iterable[T], enough: int, weight: Callable[[T], int] = lambda record: 1
) -> tuple[list[T], Iterator[T]]:
    """Return the first records, and all records; an error of the records is raised at its place among them.

    Args:
        records: the records.
        enough: the total weight of the first records.
        weight: returns the weight of a record.
    """
    stream = iter(records)
    first: list[T] = []
    later: list[DataError] = []
    total = 0
    try:
        for record in stream:
            first.append(record)
            total += weight(record)
            if total >= enough:
                break
    except DataError as error:
        later.append(error)

    def all_records() -> Iterator[T]:
        yield from first
        for error in later:
            raise error
        yield from stream

    return first, all_records()


def tokens_in(value: Any) -> list[str]:
    """Return the tokens of a record that may be invalid, or none."""
    valid = isinstance(value, (list, tuple)) and all(isinstance(token, str) and token for token in value)
    return list(value) if valid else []


def are_characters(sentences: Iterable[Sequence[str]]) -> bool:
    """Return whether nearly all tokens are single characters, also those that words and numbers would be made of."""
    tokens = singles = letters = single_letters = uncased = 0
    for sentence in sentences:
        for token in sentence:
            single = is_single(token)
            tokens += 1
            singles += single
            if token[0].isalnum() and not is_cjk(token[0]):
                letters += 1
                single_letters += single
            uncased += token[0].isalpha() and unicodedata.category(token[0]) == "Lo"
    if tokens < (2 if uncased else _FEW) or singles < _NEARLY_ALL * tokens:
        return False
    return single_letters >= _MOST * letters


def is_single(token: str) -> bool:
    """Return whether a token is one character, with its combining marks."""
    return len(token) == 1 or (
        not token.isascii() and sum(not unicodedata.category(char).startswith("M") for char in token) <= 1
    )


def _are_numbered(sentences: Sequence[Sequence[str]]) -> bool:
    """Return whether nearly all tokens are a character and its number in a word, counted from 0."""
    tokens = numbered = ascii_only = 0
    for sentence in sentences:
        expected = 0
        for token in sentence:
            tokens += 1
            ascii_only += token.isascii()
            match = _NUMBERED.fullmatch(token)
            number = int(match[2]) if match else 0
            # Only the first nine characters of a word have a number of one digit.
            numbered += match is not None and number in (0, expected)
            expected = number + 1
    # Names such as x0, x1 are not numbered characters.
    return tokens >= _ENOUGH_NUMBERS and 2 * ascii_only <= tokens and numbered > _NEARLY_ALL * tokens


def _without_number(token: str) -> str:
    match = _NUMBERED.fullmatch(token)
    return token if match is None else match[1]


def is_cjk(char: str) -> bool:
    """Return whether a character is written without spaces: Chinese, Japanese and their punctuation."""
    return _CJK.match(char) is not None


def join_tokens(tokens: Sequence[str], joiner: str | None) -> tuple[str, list[int]]:
    """Join tokens to a text, and return it with their offsets; by default, no space is put next to CJK characters."""
    if joiner is None and all(map(str.isascii, tokens)):
        joiner = " "
    if joiner is not None:
        gap_length = len(joiner)
        ends = accumulate((len(token) + gap_length for token in tokens), initial=0)
        return joiner.join(tokens), list(islice(ends, len(tokens)))
    parts: list[str] = []
    starts: list[int] = []
    at = 0
    for number, token in enumerate(tokens):
        if number and not (is_cjk(tokens[number - 1][-1]) or is_cjk(token[0])):
            parts.append(" ")
            at += 1
        starts.append(at)
        parts.append(token)
        at += len(token)
    return "".join(parts), starts


def join_as_read(tokens: Sequence[str]) -> str:
    """Join tokens to the text that a reader makes of a file that consists of them."""
    return place_as_read(tokens)[0]


def place_as_read(tokens: Sequence[str]) -> tuple[str, list[int]]:
    """Do the same, and also return the offsets of the tokens."""
    return join_tokens(tokens, "" if are_characters([tokens]) else None)
