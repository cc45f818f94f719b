"""The features of a word in the bits of its token id, for an encoder that hashes features instead of having a vocabulary.

A token is a run of letters, a run of digits, or any other single character; a character of a script without spaces between
words is a token of its own. The bits of an id are the hashes of four features. They are, of a word, its form in lower case, its
first and its last characters, and its shape; and of a character of a script without spaces, the character, its pairs with the
characters before and after it, and its script. Ids below `WORD` are special tokens.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from ie_cli.encoding.word_vocabulary import SPECIALS, surround

FEATURE_BITS = {"form": 24, "prefix": 12, "suffix": 14, "shape": 10}
"""The number of bits of the hash of each feature; the first feature has the lowest bits."""
WORD = 1 << sum(FEATURE_BITS.values())
"""The bit that all tokens of a text have."""
_PREFIX, _SUFFIX, _RUN = 1, 3, 4
_CACHED = 2**18

_SCRIPTS = {
    "han": r"\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "hiragana": r"\u3041-\u309f",
    "katakana": r"\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f",
    "hangul": r"\u1100-\u11ff\uac00-\ud7ff",
    "thai": r"\u0e00-\u0e7f",
    "lao": r"\u0e80-\u0eff",
    "tibetan": r"\u0f00-\u0fff",
    "myanmar": r"\u1000-\u109f",
    "khmer": r"\u1780-\u17ff",
}
"""Scripts whose words are not separated by spaces, or have endings that no annotation includes."""
_SCRIPT = re.compile("|".join(f"(?P<{name}>[{characters}])" for name, characters in _SCRIPTS.items()))
_UNSPACED = re.sub(r"\\[uU]([0-9a-f]+)", r"\\x{\1}", "".join(_SCRIPTS.values()))  # as `tokenizers` writes characters
_TOKEN = Regex(
    rf"[{_UNSPACED}]\p{{M}}*|[\p{{L}}\p{{M}}&&[^{_UNSPACED}]]+\p{{M}}*|\p{{N}}+\p{{M}}*|[^\s\x1c-\x1f\x85]\p{{M}}*"
)


def hash_tokenizer() -> Tokenizer:
    """Build a tokenizer that finds the tokens; its vocabulary is the special tokens alone, as `WordFeatures` makes the ids."""
    vocabulary = {token: number for number, token in enumerate(SPECIALS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(_TOKEN, "removed", invert=True)
    tokenizer.post_processor = surround(vocabulary)
    return tokenizer


class WordFeatures:
    """Makes the ids of the tokens of a text.

    Args:
        characters: whether the tokens are single characters in all scripts.
    """

    def __init__(self, *, characters: bool = False) -> None:
        self.characters = characters

    def identity(self) -> str:
        """Return what ids depend on besides the text and its tokens, for the fingerprint of encoded data."""
        return f"word features {FEATURE_BITS} {_PREFIX} {_SUFFIX} {_RUN}"

    def ids(self, text: str, starts: npt.NDArray[np.int32], ends: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        """Return the ids of the tokens ``starts:ends``; int64 ``[tokens]``."""
        return np.fromiter(self._each(text, starts.tolist(), ends.tolist()), dtype=np.int64, count=len(starts))

    def _each(self, text: str, starts: Sequence[int], ends: Sequence[int]) -> Iterator[int]:
        for start, end in zip(starts, ends, strict=True):
            if self.characters or _SCRIPT.match(text, start):
                yield character_id(text[start - 1 : start], text[start:end], text[end : end + 1])
            else:
                yield word_id(text[start:end])


@lru_cache(_CACHED)
def word_id(word: str) -> int:
    """Return the id of a word, a number or a symbol."""
    form = word.lower()
    return _pack(form, form[:_PREFIX], form[-_SUFFIX:], shape(word))


@lru_cache(_CACHED)
def character_id(before: str, character: str, after: str) -> int:
    """Return the id of a character of a script without spaces, given its neighbours in the text."""
    pairs = (before + character, character + after)
    known = (_SCRIPT.match(before) or before.isalnum(), _SCRIPT.match(after) or after.isalnum())
    first, second = (pair if neighbour else "" for pair, neighbour in zip(pairs, known, strict=True))
    script = _SCRIPT.match(character)
    return _pack(character, first, second, shape(character) if script is None else str(script.lastgroup))


def shape(word: str) -> str:
    """Return the kinds of the characters of a word; of more than four of a kind in a row, only four.

    >>> shape("McDonald2004")
    'XxXxxxxdddd'
    """
    found = ""
    for kind in map(_kind, word):
        if not found.endswith(kind * _RUN):
            found += kind
    return found


def _kind(character: str) -> str:
    if character.isupper():
        return "X"
    if character.isalpha():
        return "x"
    return "d" if character.isdigit() else character


def hash_of(feature: str, value: str) -> int:
    """Return 64 bits that depend on nothing but the arguments."""
    digest = hashlib.blake2b(value.encode("utf-8", "replace"), digest_size=8, person=feature.encode())
    return int.from_bytes(digest.digest(), "little")


def _pack(*values: str) -> int:
    packed, shift = WORD, 0
    for (feature, bits), value in zip(FEATURE_BITS.items(), values, strict=True):
        packed |= (hash_of(feature, value) & ((1 << bits) - 1)) << shift
        shift += bits
    return packed
