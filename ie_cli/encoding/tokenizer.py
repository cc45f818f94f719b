"""Tokenise text with exact character offsets, using `tokenizers` alone (no torch, no transformers).

The offsets of every fast tokenizer are normalised: they refer to the original text, exclude whitespace at both ends
(byte-level BPE and SentencePiece include the leading space in the token) and never separate a combining mark from its base.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from threading import Lock
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from ie_cli.encoding.word_features import WordFeatures
from ie_cli.errors import ModelError
from ie_cli.recipe.schema import HASH_CNN, EncoderSection

IntArray = npt.NDArray[np.int32]
Ids = npt.NDArray[np.int32] | npt.NDArray[np.int64]


class _Characters(dict[int, int]):
    """A table for `str.translate`, filled on demand; it maps one code point to one, so that offsets do not change."""

    def __init__(self, *, nfkc: bool) -> None:
        super().__init__()
        self.nfkc = nfkc

    def __missing__(self, code: int) -> int:
        char = chr(code)
        if 0xD800 <= code < 0xE000:  # a lone surrogate has no UTF-8 form
            char = "\ufffd"
        elif self.nfkc and len(folded := unicodedata.normalize("NFKC", char)) == 1:
            char = folded
        self[code] = ord(char)
        return self[code]


def character_table(normalization: Literal["none", "nfkc"]) -> Mapping[int, int]:
    """Return a table for `str.translate` that maps each character to the one that the tokenizer sees."""
    return _Characters(nfkc=normalization == "nfkc")


_SPACES = np.zeros(0x3001, dtype=bool)
_SPACES[[code for code in range(0x3001) if chr(code).isspace()]] = True


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenised text without special tokens: ``ids``, ``starts`` and ``ends`` are ``[tokens]``.

    Attributes:
        ids: int32, or int64 if they are features.
        starts, ends: the characters of each token; int32.
        may_bound: which tokens a span may start with, and which it may end with; bool ``[2, tokens]``, None: all of them. See
            `word_boundaries.with_whole_words`.
    """

    ids: Ids
    starts: IntArray
    ends: IntArray
    may_bound: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.ids)


class _TokenCache:
    """The tokens of the most recent texts; it is thread-safe."""

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens, self._size = max_tokens, 0
        self._tokens: dict[str, Tokens] = {}
        self._lock = Lock()

    def look_up(self, texts: Iterable[str]) -> dict[str, Tokens]:
        """Return the cached tokens of those texts that are cached."""
        with self._lock:
            return {text: self._tokens[text] for text in texts if text in self._tokens}

    def add(self, tokens: Mapping[str, Tokens]) -> None:
        """Add texts and their tokens, and remove the oldest texts above the limit."""
        with self._lock:
            for text, added in tokens.items():
                if text not in self._tokens:
                    self._tokens[text] = added
                    self._size += len(added) + 1
            while self._size > self._max_tokens:
                oldest = next(iter(self._tokens))
                self._size -= len(self._tokens.pop(oldest)) + 1


class TextTokenizer:
    """A tokenizer of texts; `prefix` and `suffix` are the special tokens around each window.

    Args:
        tokenizer: any fast tokenizer; its truncation and padding are switched off, and special tokens spelled out in a text
            (``[SEP]``) are treated as text.
        mode: ``char`` makes at least one token of every character, so that every boundary is reachable.
        normalization: ``nfkc`` replaces each character by its compatibility form if that is a single character.
        features: makes the ids of tokens instead of the vocabulary.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        mode: Literal["subword", "char"] = "subword",
        normalization: Literal["none", "nfkc"] = "none",
        features: WordFeatures | None = None,
    ) -> None:
        self.tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.tokenizer.encode_special_tokens = True
        self.mode = mode
        self.normalization = normalization
        self.features = features
        self._clean = character_table(normalization)
        self.prefix, self.suffix = _special_tokens(self.tokenizer)
        self._characters: dict[str, list[int]] = {}
        self._cache: _TokenCache | None = None

    @property
    def id_type(self) -> type[np.int32] | type[np.int64]:
        """The type of the ids."""
        return np.int32 if self.features is None else np.int64

    @property
    def special_tokens(self) -> int:
        """The number of special tokens in a window."""
        return len(self.prefix) + len(self.suffix)

    def special_names(self, pad_id: int) -> dict[str, str]:
        """Return the special tokens of the vocabulary by their names in `transformers`."""
        vocabulary = self.tokenizer.get_vocab(with_added_tokens=True)
        names = {"pad_token": pad_id, "unk_token": self._unknown}
        names |= {name: ids[0] for name, ids in (("cls_token", self.prefix), ("sep_token", self.suffix)) if ids}
        found = {name: self.tokenizer.id_to_token(number) for name, number in names.items()}
        mask = next((token for token in ("[MASK]", "<mask>") if token in vocabulary), None)
        return {name: token for name, token in {**found, "mask_token": mask}.items() if token is not None}

    def surround(self, ids: Ids) -> Ids:
        """Return the ids of a window with the special tokens around them; ``[prefix + ids + suffix]``."""
        surrounded: npt.NDArray[Any] = np.concatenate([self.prefix, ids, self.suffix]).astype(self.id_type)
        return surrounded

    def identity(self) -> list[str]:
        """Return everything that ids and offsets depend on, for the fingerprint of encoded data."""
        features = [] if self.features is None else [self.features.identity()]
        return [self.tokenizer.to_str(), self.mode, self.normalization, *features]

    def with_cache(self, max_tokens: int = 2**21) -> TextTokenizer:
        """Return the same tokenizer with a cache of the most recent texts, up to `max_tokens` tokens in total.

        It avoids tokenising a text twice, e.g. in evaluation, which predicts and also counts the reachable items.
        """
        other = copy(self)
        other._cache = _TokenCache(max_tokens)
        return other

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokenise a batch of texts, in order."""
        if self._cache is None:
            return self._encode(texts)
        found = self._cache.look_up(texts)
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        new = dict(zip(missing, self._encode(missing), strict=True)) if missing else {}
        self._cache.add(new)
        return [new[text] if text in new else found[text] for text in texts]

    def _encode(self, texts: Sequence[str]) -> list[Tokens]:
        clean = [text if text.isascii() else text.translate(self._clean) for text in texts]
        found = self._divide(clean)
        if (features := self.features) is None:
            return found
        return [
            replace(tokens, ids=features.ids(text, tokens.starts, tokens.ends))
            for text, tokens in zip(clean, found, strict=True)
        ]

    def _divide(self, clean: Sequence[str]) -> list[Tokens]:
        if self.mode == "char":
            return [self._by_character(text) for text in clean]
        encodings = self.tokenizer.encode_batch(clean, add_special_tokens=False)
        return [
            _refine(text, np.asarray(e.ids, dtype=np.int32), np.asarray(e.offsets, dtype=np.int32).reshape(-1, 2))
            for text, e in zip(clean, encodings, strict=True)
        ]

    def _by_character(self, text: str) -> Tokens:
        pieces = [self._character(char) for char in text]
        counts = [len(piece) for piece in pieces]
        ids = np.fromiter((i for piece in pieces for i in piece), dtype=np.int32, count=sum(counts))
        starts = np.repeat(np.arange(len(text), dtype=np.int32), counts)
        return Tokens(ids, starts, starts + 1)

    def _character(self, char: str) -> list[int]:
        known = self._characters.get(char)
        if known is None:
            known = self.tokenizer.encode(char, add_special_tokens=False).ids
            # Whitespace and control characters yield no token in most vocabularies; a boundary needs one.
            known = known or [self._unknown]
            self._characters[char] = known
        return known

    @cached_property
    def unknown_id(self) -> int | None:
        """The id of the unknown token; None if the vocabulary has none."""
        vocab = self.tokenizer.get_vocab(with_added_tokens=True)
        return next((vocab[token] for token in ("[UNK]", "<unk>") if token in vocab), None)

    @cached_property
    def _unknown(self) -> int:
        """The id of the token for a character without tokens."""
        if self.unknown_id is not None:
            return self.unknown_id
        return self.tokenizer.get_vocab(with_added_tokens=True).get("<|endoftext|>", 0)


def recipe_tokenizer(tokenizer: Tokenizer, section: EncoderSection) -> TextTokenizer:
    """Return a tokenizer with the options of a recipe."""
    mode = section.tokenization
    features = WordFeatures(characters=mode == "char") if section.name == HASH_CNN else None
    return TextTokenizer(tokenizer, mode=mode, normalization=section.normalization, features=features)


def _special_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    # A vocabulary without "a" and without an unknown token yields no token for it, and an empty list is found anywhere.
    for probe in chain("a", (token for token in tokenizer.get_vocab() if len(token) == 1)):
        bare = tokenizer.encode(probe, add_special_tokens=False).ids
        if bare:
            break
    full = tokenizer.encode(probe, add_special_tokens=True).ids
    for first in range(len(full) - len(bare) + 1):
        if full[first : first + len(bare)] == bare:
            return full[:first], full[first + len(bare) :]
    raise ModelError(
        f"the tokenizer does not put its special tokens around the text: {probe!r} becomes {bare}, but {full} with special "
        "tokens",
        hint="use the tokenizer of the encoder.",
    )


def _refine(text: str, ids: IntArray, offsets: IntArray) -> Tokens:
    """Trim whitespace off the token offsets and extend them over the combining marks that follow."""
    starts, ends = offsets[:, 0].copy(), offsets[:, 1].copy()
    if len(ids) == 0:
        return Tokens(ids, starts, ends)
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    space = _SPACES[np.minimum(codes, 0x3000)] & (codes <= 0x3000)
    if space.any():
        _trim(space, starts, ends)
    if not text.isascii() and (marks := [i for i, char in enumerate(text) if unicodedata.category(char) in _MARKS]):
        _extend_over_marks(marks, len(text), starts, ends)
    return Tokens(ids, starts, ends)


_MARKS = frozenset({"Mn", "Me"})


def _trim(space: npt.NDArray[np.bool_], starts: IntArray, ends: IntArray) -> None:
    # Use a table over the text instead of stepping through the spaces: an unknown token may span 100,000 of them.
    places = np.arange(len(space) + 1, dtype=np.int32)
    following = np.append(np.where(space, places[-1], places[:-1]), places[-1])
    following = np.minimum.accumulate(following[::-1])[::-1]
    preceding = np.maximum.accumulate(np.append(np.int32(0), np.where(space, 0, places[1:])))
    filled = starts < ends
    starts[filled] = np.minimum(following[starts[filled]], ends[filled])
    ends[filled] = np.maximum(preceding[ends[filled]], starts[filled])


def _extend_over_marks(marks: list[int], length: int, starts: IntArray, ends: IntArray) -> None:
    # A normaliser that strips accents leaves the marks without a token: they belong to the preceding token.
    filled = starts < ends
    opened, closed = (np.bincount(boundaries[filled], minlength=length + 1) for boundaries in (starts, ends))
    free = np.zeros(length + 1, dtype=bool)
    free[marks] = True
    free &= np.cumsum(opened - closed) == 0
    stops = np.where(free, length, np.arange(length + 1))
    ends[filled] = np.minimum.accumulate(stops[::-1])[::-1][ends[filled]]
