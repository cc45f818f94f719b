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

from ie_cli.encoding.tokenizer import Ids, TextTokenizer
from ie_cli.errors import RecipeError, counted
from ie_cli.recipe.heads import Reads


@dataclass(frozen=True, slots=True)
class PairSequences:
    """How pairs become sequences of ids, none of which is empty: an encoder cannot read an empty one.

    Attributes:
        prefix, suffix: the special tokens at both ends of a sequence.
        middle: the special tokens between the texts of a pair; None if each text has a sequence of its own.
        capacity: number of text tokens in a sequence.
        pad_id: the id that stands for empty texts of a tokenizer without special tokens.
        id_type: the type of the ids.
    """

    prefix: Sequence[int]
    suffix: Sequence[int]
    middle: Sequence[int] | None
    capacity: int
    pad_id: int = 0
    id_type: type[np.int32] | type[np.int64] = np.int32

    @classmethod
    def build(cls, reads: Reads, tokenizer: TextTokenizer, max_length: int, *, pad_id: int = 0) -> PairSequences:
        """Return sequences of at most `max_length` tokens, with the special tokens that the tokenizer gives texts or pairs.

        Raises:
            RecipeError: they leave no room for two tokens of text.
        """
        prefix, suffix, middle = tokenizer.prefix, tokenizer.suffix, None
        if reads == "pair":
            prefix, middle, suffix = special_tokens_of_pairs(tokenizer)
        capacity = max_length - len(prefix) - len(middle or ()) - len(suffix)
        if capacity < 2:
            raise RecipeError(
                f"encoder.max_length: {max_length} leaves room for {counted(max(0, capacity), 'token')} of text",
                hint="set a larger encoder.max_length.",
            )
        return cls(prefix, suffix, middle, capacity, pad_id, tokenizer.id_type)

    def text(self, ids: npt.NDArray[Any]) -> Ids:
        """Return the sequence of a single text."""
        return self._joined(self.prefix, ids[: self.capacity], self.suffix)

    def ids(self, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> list[Ids]:
        """Return the sequences of a pair: two, or one for both texts."""
        if self.middle is None:
            return [self.text(first), self.text(second)]
        one, other = self._kept(len(first), len(second))
        return [self._joined(self.prefix, first[:one], self.middle, second[:other], self.suffix)]

    def truncated(self, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> int:
        """Return how many of the two texts are truncated."""
        one, other = self._kept(len(first), len(second))
        return (one < len(first)) + (other < len(second))

    def _kept(self, first: int, second: int) -> tuple[int, int]:
        """Return how many tokens of each text are kept; of two texts in one sequence, the longer is truncated first."""
        if self.middle is None:
            return min(first, self.capacity), min(second, self.capacity)
        one = min(first, max(self.capacity - self.capacity // 2, self.capacity - second))
        return one, min(second, self.capacity - one)

    def _joined(self, *parts: Sequence[int] | npt.NDArray[Any]) -> Ids:
        joined: npt.NDArray[Any] = np.concatenate([np.asarray(part, dtype=self.id_type) for part in parts])
        if not len(joined):
            joined = np.array([self.pad_id], dtype=self.id_type)
        return joined


def special_tokens_of_pairs(tokenizer: TextTokenizer) -> tuple[list[int], list[int], list[int]]:
    """Return the special tokens before, between and after the texts of a pair.

    If the post-processor has no form for pairs, both texts are followed by the special tokens that follow a single text.
    """
    prefix, suffix = tokenizer.prefix, tokenizer.suffix
    bare, full = _probe(tokenizer.tokenizer)
    middle = full[len(prefix) + len(bare) : len(full) - len(bare) - len(suffix)]
    if middle and full == [*prefix, *bare, *middle, *bare, *suffix]:
        return prefix, middle, suffix
    return prefix, suffix, suffix


def _probe(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the ids of some text without special tokens, and those of the pair of this text with itself."""
    # A vocabulary without "a" and without an unknown token yields no token for it.
    for probe in ("a", *(token for token in tokenizer.get_vocab() if len(token) == 1)):
        bare: list[int] = tokenizer.encode(probe, add_special_tokens=False).ids
        if bare:
            return bare, tokenizer.encode(probe, probe, add_special_tokens=True).ids
    return [], []
