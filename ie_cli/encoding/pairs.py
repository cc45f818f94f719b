"""The sequences of the two texts of a pair: one for each text, or one for both. A text that is too long is truncated.

Pairs have no token types: both texts of a joined pair have the type 0, as in kexue.fm/archives/8860.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.errors import RecipeError

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class TextSequences:
    """The sequences of single texts: ``prefix + ids + suffix``.

    Args:
        prefix, suffix: the special tokens around a text.
        capacity: number of text tokens in a sequence.
    """

    prefix: Sequence[int]
    suffix: Sequence[int]
    capacity: int

    @classmethod
    def build(cls, tokenizer: TextTokenizer, max_length: int) -> TextSequences:
        """Return the sequences of at most `max_length` tokens."""
        capacity = max_length - tokenizer.special_tokens
        return cls(tokenizer.prefix, tokenizer.suffix, _checked(capacity, max_length))

    def ids(self, text: npt.NDArray[Any]) -> Ids:
        """Return the sequence of a text."""
        return _joined(self.prefix, text[: self.capacity], self.suffix)

    def truncates(self, *texts: npt.NDArray[Any]) -> int:
        """Return how many of these texts are too long."""
        return sum(len(text) > self.capacity for text in texts)


@dataclass(frozen=True, slots=True)
class PairSequences:
    """The sequences of pairs: ``prefix + first + middle + second + suffix``; of two long texts, the longer is truncated first.

    Args:
        prefix, middle, suffix: the special tokens around and between the texts.
        capacity: number of text tokens in a sequence.
    """

    prefix: Sequence[int]
    middle: Sequence[int]
    suffix: Sequence[int]
    capacity: int

    @classmethod
    def build(cls, tokenizer: TextTokenizer, max_length: int) -> PairSequences:
        """Return the sequences of at most `max_length` tokens, with the special tokens that the tokenizer puts in pairs."""
        prefix, middle, suffix = special_tokens_of_pairs(tokenizer)
        capacity = max_length - len(prefix) - len(middle) - len(suffix)
        return cls(prefix, middle, suffix, _checked(capacity, max_length))

    def ids(self, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Ids:
        """Return the sequence of a pair."""
        one, other = self._kept(len(first), len(second))
        return _joined(self.prefix, first[:one], self.middle, second[:other], self.suffix)

    def truncates(self, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> int:
        """Return how many of the two texts are truncated."""
        one, other = self._kept(len(first), len(second))
        return (one < len(first)) + (other < len(second))

    def _kept(self, first: int, second: int) -> tuple[int, int]:
        """Return how many tokens of each text are kept."""
        half = self.capacity // 2
        one = min(first, max(self.capacity - half, self.capacity - second))
        return one, min(second, self.capacity - one)


def special_tokens_of_pairs(tokenizer: TextTokenizer) -> tuple[list[int], list[int], list[int]]:
    """Return the special tokens before, between and after the texts of a pair.

    A post-processor that has only a form for single texts gives both texts the special tokens after a text.
    """
    prefix, suffix = tokenizer.prefix, tokenizer.suffix
    bare, full = _probe(tokenizer.tokenizer)
    inner = full[len(prefix) : len(full) - len(suffix)]
    surrounded = full[: len(prefix)] == prefix and full[len(full) - len(suffix) :] == suffix
    size = len(bare)
    if surrounded and len(inner) > 2 * size and inner[:size] == bare == inner[-size:]:
        return prefix, inner[size:-size], suffix
    return prefix, suffix, suffix


def _probe(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the ids of some text, and of the pair of this text with itself."""
    for probe in ("a", *(token for token in tokenizer.get_vocab() if len(token) == 1)):
        bare: list[int] = tokenizer.encode(probe, add_special_tokens=False).ids
        if bare:
            return bare, tokenizer.encode(probe, probe, add_special_tokens=True).ids
    return [], []


def _checked(capacity: int, max_length: int) -> int:
    if capacity < 2:
        raise RecipeError(
            f"encoder.max_length: {max_length} leaves no room for two tokens of text",
            hint="set a larger encoder.max_length.",
        )
    return capacity


def _joined(*parts: Sequence[int] | npt.NDArray[Any]) -> Ids:
    joined: Ids = np.concatenate([np.asarray(part, dtype=np.int32) for part in parts])
    return joined
