"""Decide whether a position lies inside a word or a number, by the properties of characters that Unicode defines."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_UNSPACED = {
    *(
        "BALINESE",
        "BOPOMOFO",
        "CJK",
        "HENTAIGANA",
        "HIRAGANA",
        "IDEOGRAPHIC",
        "JAVANESE",
        "KATAKANA",
        "KATAKANA-HIRAGANA",
    ),
    *(
        "KHITAN",
        "KHMER",
        "LAO",
        "MASU",
        "MYANMAR",
        "NEW",
        "NUSHU",
        "TAI",
        "TANGUT",
        "THAI",
        "TIBETAN",
        "VERTICAL",
        "YI",
    ),
}
"""The scripts without spaces between words, by the first word of the names of their letters."""
JOINERS = "\u200c\u200d"
"""The characters that join what is written on both sides of them."""
_PARTICLES = re.compile(
    # Several may follow each other, as in 에서는; the last line has forms of the copula.
    "(?:은|는|이|가|을|를|의|에|에서|에게|에게서|께|께서|한테|으로|로|으로서|로서|으로써|로써|와|과|랑|이랑|하고|도|만|부터|까지|"
    "마다|조차|마저|밖에|처럼|만큼|보다|이나|나|이며|며|이고|들|씨|님|"
    "이다|이었다|였다|이라는|라는|이라고|라고|이란|입니다|이었던|였던)*"
)
_PROCLITICS = {  # conjunctions, prepositions and the article are written as a part of the next word
    "ARABIC": re.compile("[وف]?(?:لل|[بكلس]?(?:ال)?)"),
    "HEBREW": re.compile("[והבכלמש]{0,3}"),
}
_LONGEST_AFFIX = 8


def begins_word(text: str, start: int) -> bool:
    """Return whether a mention that starts here is not preceded by a part of its first word, apart from proclitics."""
    if not splits_word(text, start):
        return True
    clitics = _PROCLITICS.get(_script(text[start]))
    if clitics is None:
        return False
    begin = start
    while start - begin <= _LONGEST_AFFIX and splits_word(text, begin):
        begin -= 1
    return clitics.fullmatch(text, begin, start) is not None


def ends_word(text: str, end: int) -> bool:
    """Return whether a mention that ends here is not followed by a part of its last word, apart from Korean particles."""
    if not splits_word(text, end):
        return True
    last = end
    while last - end <= _LONGEST_AFFIX and text[last : last + 1] and kind_of(text[last]) == "hangul":
        last += 1
    return last > end and _PARTICLES.fullmatch(text, end, last) is not None


def splits_word(text: str, boundary: int) -> bool:
    """Return whether a position lies inside a word, a number, or a character that consists of several code points.

    Letters of scripts without spaces between words may be separated anywhere, and so may letters from digits, and Korean
    letters from those of other scripts, because particles follow foreign names without a space.

    >>> [splits_word(text, 1) for text in ("ab", "аб", "12", "a1", "中国")]
    [True, True, True, False, False]
    """
    if not 0 < boundary < len(text):
        return False
    left, right = text[boundary - 1], text[boundary]
    if kind_of(right) == "mark" or left in JOINERS or right in JOINERS:
        return not left.isspace()
    at = boundary - 1
    while at > 0 and kind_of(text[at]) == "mark":  # a mark belongs to the letter before it
        at -= 1
    kind = kind_of(text[at])
    return kind != "" and kind == kind_of(right)


@lru_cache(maxsize=4096)
def kind_of(character: str) -> str:
    """Return the kind of a character: letter (of a script with spaces), hangul, digit, mark, or an empty string for others."""
    category = unicodedata.category(character)
    if category in ("Mn", "Mc", "Me"):
        return "mark"
    if category == "Nd":
        return "digit"
    script = _script(character) if category[0] == "L" else ""
    if script == "HANGUL":
        return "hangul"
    return "letter" if script and script not in _UNSPACED else ""


def _script(character: str) -> str:
    """Return the first word of a letter's name, which is its script, or ``CJK`` for the ideographs without a name."""
    first, _, rest = unicodedata.name(character, "CJK").partition(" ")
    return rest.partition(" ")[0] if first in ("FULLWIDTH", "HALFWIDTH") else first
