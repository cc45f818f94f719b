"""Split texts into windows of tokens. Nothing is truncated, and every span is owned by one window.

A text that has more tokens than a window holds is split into windows that overlap by `stride` tokens. A span is owned by
the window in which its shorter context, left or right, is longest; at the beginning and the end of the text no context is
missing. Every span of at most `stride` + 1 tokens lies entirely in at least one window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ie_cli.errors import RecipeError
from ie_cli.recipe.schema import EncoderSection

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """The split of texts into windows: `capacity` text tokens per window, `stride` of them shared with the next window."""

    capacity: int
    stride: int

    @classmethod
    def build(cls, *, max_length: int, stride: int, special_tokens: int) -> WindowPlan:
        """Return the plan that leaves room for the special tokens.

        Raises:
            RecipeError: the stride is too large for the windows to advance.
        """
        capacity = max_length - special_tokens
        if capacity - stride < 1:
            raise RecipeError(
                f"encoder.stride: {stride} is too large: encoder.max_length {max_length} minus {special_tokens} special tokens "
                f"leaves {capacity} text tokens per window",
                hint=f"set encoder.stride to at most {capacity // 2}.",
            )
        return cls(capacity, stride)

    @classmethod
    def of(cls, encoder: EncoderSection, *, special_tokens: int) -> WindowPlan:
        """Return the plan of a recipe's encoder section.

        Raises:
            RecipeError: see `build`.
        """
        return cls.build(max_length=encoder.max_length, stride=encoder.stride, special_tokens=special_tokens)

    def starts(self, tokens: int) -> Index:
        """Return the first token of each window of a text with `tokens` tokens; int64 ``[windows]``, at least one window."""
        if tokens <= self.capacity:
            return np.zeros(1, dtype=np.int64)
        step = self.capacity - self.stride
        starts = np.arange(0, tokens - self.capacity + step, step, dtype=np.int64)
        starts[-1] = tokens - self.capacity  # the last window is full: more context at no cost
        return starts

    def owners(self, tokens: int, first: Index, last: Index) -> Index:
        """Return the window that owns each token span ``first..last`` (inclusive); -1 if no window contains the span."""
        starts = self.starts(tokens)
        if len(starts) == 1:
            return np.zeros(len(first), dtype=np.int64)
        ends = starts + self.capacity
        far = tokens + 1
        # A span can only lie in windows that start at or before `first`, and few of these reach `last`: start at the first
        # window that does.
        low = np.searchsorted(ends, last + 1)
        high = np.searchsorted(starts, first, side="right") - 1
        owners = np.full(len(first), -1, dtype=np.int64)
        best = np.full(len(first), -1, dtype=np.int64)
        for offset in range(int((high - low).max(initial=-1)) + 1):
            window = low + offset
            valid = window <= high
            window = np.minimum(window, len(starts) - 1)
            left = np.where(window == 0, far, first - starts[window])
            right = np.where(window == len(starts) - 1, far, ends[window] - 1 - last)
            context = np.where(valid, np.minimum(left, right), -1)
            better = context > best
            owners[better], best[better] = window[better], context[better]
        return owners
