"""Find the sentences of a text, with exact offsets; `sentencex` knows the sentence ends and abbreviations of many languages."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

Span = tuple[int, int]

_BLOCK = 2**9  # characters; the time of the library grows with the square of a paragraph's length
_LONGEST_BLOCK = 2**13  # of a text in which no sentence ends
_CLOSING = frozenset("」』”’）》〉】〕］｝｠»)]}")


class _Characters(dict[int, int]):
    """A table for `str.translate` that keeps offsets: the library fails on lone surrogates and on some other whitespace."""

    def __missing__(self, code: int) -> int:
        char = chr(code)
        if 0xD800 <= code < 0xE000:
            char = "\ufffd"
        elif code > 0x7F and char.isspace():
            char = " "
        self[code] = ord(char)
        return self[code]


_TABLE = _Characters()


def sentence_spans(text: str, language: str = "en") -> list[Span]:
    """Return start and end of each sentence, without the whitespace between them; nothing else of the text is left out.

    No sentence begins inside a word, or with a combining mark, a closing bracket or quotation mark that directly follows the
    sentence before it. Something without letters, such as the number of a list item, is no sentence of its own.

    Args:
        text: the text.
        language: the ISO 639 code whose abbreviations are known; the library uses English for a code that it does not know.
    """
    spans: list[Span] = []
    start, numbered = 0, False
    for end in _ends(text, language):
        part = text[start:end]
        if not part.strip():
            start = end
            continue
        span = (start + len(part) - len(part.lstrip()), start + len(part.rstrip()))
        if spans and (numbered or not any(char.isalnum() for char in part)):
            span = (spans.pop()[0], span[1])
        numbered = not any(char.isalpha() for char in text[slice(*span)])
        spans.append(span)
        start = end
    if numbered and len(spans) > 1:  # a number at the end of the text
        last = spans.pop()
        spans[-1] = (spans[-1][0], last[1])
    return spans


def _ends(text: str, language: str) -> Iterator[int]:
    """Yield where sentences end, the whitespace after them included; the last one is the end of the text."""
    from sentencex import get_sentence_boundaries

    passed = 0
    for end in _raw_ends(text.translate(_TABLE), language, get_sentence_boundaries):
        while end < len(text) and _belongs_to_the_sentence_before(text[end]):
            end += 1
        if passed < end < len(text) and not _is_inside_a_word(text, end):
            yield end
            passed = end
    yield len(text)


def _raw_ends(text: str, language: str, find: Callable[[str, str], list[dict[str, Any]]]) -> Iterator[int]:
    """Yield the ends that the library finds; the last sentence of a block may go on in the next one."""
    start, size = 0, _BLOCK
    while start < len(text):
        ends = [start + found["end_index"] for found in find(language, text[start : start + size])]
        if start + size >= len(text):
            yield from ends
            return
        if len(ends) > 1:
            yield from ends[:-1]
            start, size = ends[-2], _BLOCK
        elif size < _LONGEST_BLOCK:
            size *= 2
        else:
            start, size = start + size, _BLOCK


def _belongs_to_the_sentence_before(char: str) -> bool:
    return char in _CLOSING or unicodedata.category(char) in ("Mn", "Me")


def _is_inside_a_word(text: str, at: int) -> bool:
    """Return whether the characters around an end belong to one word, such as ``Web.Config``."""
    before, after = text[at - 1], text[at]
    if not after.isalnum() or _has_no_case(after):
        return False
    return before.isalnum() or (before == "." and at > 1 and text[at - 2].isalnum() and not _has_no_case(text[at - 2]))


def _has_no_case(char: str) -> bool:
    """Return whether a character is a letter like those of Chinese and Japanese, which are written without spaces."""
    return unicodedata.category(char) == "Lo"
