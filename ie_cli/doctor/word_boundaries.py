"""Where words begin and end, in scripts that separate them with spaces."""

from __future__ import annotations

import re

from ie_cli.formats.common.joining import is_cjk
from ie_cli.formats.common.offset_units import Span

_JOINED = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1980-\u19df\uaa60-\uaa7f]")
"""Letters of Thai, Lao, Tibetan, Burmese, Khmer and New Tai Lue, which are written without spaces."""
_CONTINUED = re.compile(r"[^\W_]|[.,][0-9]")
"""What continues a word, or a number such as ``1.25``."""


def within_word(text: str, at: int) -> bool:
    """Return whether an offset lies between letters of one word, in a script that separates words with spaces."""
    around = text[at - 1 : at + 1]
    return at > 0 and len(around) == 2 and around.isalpha() and not any(map(_is_unspaced, around))


def cuts_end(text: str, end: int) -> bool:
    """Return whether an end is inside a word, or one character before the end of a number or code such as ``E1042``.

    An entity may rightly end between letters and digits, as ``5`` in ``5mg``: so of words with digits only the last
    character counts, which is what an inclusive end cuts off.
    """
    if within_word(text, end):
        return True
    around = text[end - 1 : end + 1]
    return (
        end > 0
        and len(around) == 2
        and around.isalnum()
        and _CONTINUED.match(text, end + 1) is None
        and not any(map(_is_unspaced, around))
    )


def cuts_start(text: str, start: int) -> bool:
    """Return whether a start is inside a word, or one character after the start of a number or code such as ``E1042``."""
    if within_word(text, start):
        return True
    around, before = text[max(0, start - 1) : start + 1], text[max(0, start - 2) : max(0, start - 1)]
    return len(around) == 2 and around.isalnum() and not before.isalnum() and not any(map(_is_unspaced, around))


def is_poor(text: str, span: Span) -> bool:
    """Return whether a span starts or ends with whitespace or inside a word or number."""
    start, end = span
    return text[start].isspace() or text[end - 1].isspace() or within_word(text, start) or within_word(text, end)


def _is_unspaced(char: str) -> bool:
    return is_cjk(char) or _JOINED.match(char) is not None
