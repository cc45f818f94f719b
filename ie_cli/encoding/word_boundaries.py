"""The tokens that spans of whole words may start and end with.

Whether a position lies inside a word is defined once, for one position, by `document.word_boundaries.splits_word`. Here it is
computed for all positions of a text at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ie_cli.document.word_boundaries import JOINERS, kind_of
from ie_cli.encoding.tokenizer import Tokens

Mask = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]

NO_BOUNDARY = "no_boundary"
"""The name of the stored tokens that a span may not start or end with: rows of (side, token), side 0 for starts, 1 for ends."""

_KINDS = {"": 0, "letter": 1, "digit": 2, "hangul": 3, "mark": 4}
_MARK, _JOINER, _SPACE, _UNKNOWN = 4, 5, 6, 255
_WRITTEN_TOGETHER = np.isin(np.arange(256), [1, 2, 3])
_kinds = np.full(0x110000, _UNKNOWN, dtype=np.uint8)
"""The kind of each code point, filled on demand."""


@dataclass(frozen=True, slots=True)
class BoundaryMasks:
    """The tokens of a batch that a span may start and end with: bool ``[batch, L]`` each, false outside of the text."""

    starts: Mask
    ends: Mask


def within_words(text: str) -> Mask:
    """Return which positions lie inside a word; bool ``[characters + 1]``, false at both ends."""
    inside = np.zeros(len(text) + 1, dtype=np.bool_)
    if len(text) < 2:
        return inside
    kinds = _kinds_of(text)
    left, right = kinds[:-1], kinds[1:]
    if not ((kinds == _MARK) | (kinds == _JOINER)).any():
        inside[1:-1] = (left == right) & _WRITTEN_TOGETHER[right]
        return inside
    at = np.maximum.accumulate(
        np.where(kinds == _MARK, 0, np.arange(len(kinds)))
    )  # a mark belongs to the letter before it
    joined = (right == _MARK) | (right == _JOINER) | (left == _JOINER)
    same = (kinds[at[:-1]] == right) & _WRITTEN_TOGETHER[right]
    inside[1:-1] = np.where(joined, left != _SPACE, same)
    return inside


def _kinds_of(text: str) -> npt.NDArray[np.uint8]:
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    kinds: npt.NDArray[np.uint8] = _kinds[codes]
    if (kinds == _UNKNOWN).any():
        for code in np.unique(codes[kinds == _UNKNOWN]).tolist():
            character = chr(code)
            joins = _JOINER if character in JOINERS else _KINDS[kind_of(character)]
            _kinds[code] = _SPACE if character.isspace() else joins
        kinds = _kinds[codes]
    return kinds


def with_whole_words(text: str, tokens: Tokens) -> Tokens:
    """Return the tokens of a text such that no span starts or ends inside a word."""
    outside = ~within_words(text)
    return replace(tokens, may_bound=outside[np.stack([tokens.starts, tokens.ends])])


def boundary_masks(text: Mask, windows: Iterable[tuple[Tokens, int]], prefix: int) -> BoundaryMasks:
    """Return the tokens that spans in windows may start and end with.

    Args:
        text: bool ``[batch, L]``, true on text tokens.
        windows: of each window, the tokens of its text, and the number of the first one in the window.
        prefix: the number of special tokens at the start of a window.
    """
    starts, ends = text.copy(), text.copy()
    for row, (tokens, first) in enumerate(windows):
        count = int(text[row].sum())
        if tokens.may_bound is not None:
            starts[row, prefix : prefix + count], ends[row, prefix : prefix + count] = tokens.may_bound[
                :, first : first + count
            ]
    return BoundaryMasks(starts, ends)


def no_boundaries(tokens: Tokens, first: int, capacity: int, shift: int) -> Index:
    """Return the tokens of a window that spans may not start or end with, counted from `shift` tokens before it; ``[rows, 2]``.

    Args:
        tokens: the tokens of the text.
        first: the first token of the window.
        capacity: the number of tokens of a full window.
        shift: the number of tokens before it, e.g. of special ones.
    """
    if tokens.may_bound is None:
        return np.zeros((0, 2), dtype=np.int64)
    found: Index = np.argwhere(~tokens.may_bound[:, first : first + capacity]) + np.array([0, shift])
    return found
