"""How texts are cut into windows of tokens. Nothing is truncated; every span has one window that decides.

A text of more tokens than a window holds is cut into windows that overlap by `stride` tokens. A span is judged by
the window that gives it most context on its poorer side; where the text itself begins or ends, nothing is missing.
Every span of at most `stride` + 1 tokens lies whole in some window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ie_cli.errors import RecipeError

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """How texts are cut: `capacity` text tokens a window, `stride` of them shared with the next one."""

    capacity: int
    stride: int

    @classmethod
    def build(cls, *, max_length: int, stride: int, special_tokens: int) -> WindowPlan:
        """Leave room for the special tokens.

        Raises:
            RecipeError: the windows would not advance.
        """
        capacity = max_length - special_tokens
        if capacity - stride < 1:
            raise RecipeError(
                f"encoder.stride {stride} leaves no room: encoder.max_length {max_length} less {special_tokens} special "
                f"tokens holds {capacity} tokens of text",
                hint=f"set encoder.stride to at most {capacity // 2}.",
            )
        return cls(capacity, stride)

    def starts(self, tokens: int) -> Index:
        """First token of each window of a text of so many tokens; int64 ``[windows]``, at least one window."""
        if tokens <= self.capacity:
            return np.zeros(1, dtype=np.int64)
        step = self.capacity - self.stride
        starts = np.arange(0, tokens - self.capacity + step, step, dtype=np.int64)
        starts[-1] = tokens - self.capacity  # the last window is full: more context at no cost
        return starts

    def owners(self, tokens: int, first: Index, last: Index) -> Index:
        """Window that judges each span of tokens ``first..last`` (inclusive); -1 where none holds it whole."""
        starts = self.starts(tokens)
        if len(starts) == 1:
            return np.zeros(len(first), dtype=np.int64)
        ends = starts + self.capacity
        far = tokens + 1
        # A span can only lie in the windows whose start is at most `first`, and few of these reach `last`: look at
        # the ones from the first window that reaches `last` on.
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
