"""Choose windows that fit the texts and annotated spans of some data."""

from __future__ import annotations

from collections import Counter

_SPECIAL_TOKENS = 2


def window(lengths: Counter[int], mentions: Counter[int], limit: int) -> tuple[int, int, int]:
    """Return ``max_length``, a stride that covers the longest entity, and the number of entities that it cannot cover.

    A batch is only as long as its longest text, so a generous `max_length` costs little: it fits all texts if they have
    up to 256 tokens, and 99 % of them otherwise.
    """
    longest, longest_mention = max(lengths), max(mentions)
    usual = longest if longest + _SPECIAL_TOKENS <= 256 else quantile(lengths, 0.99)
    needed = max(usual + _SPECIAL_TOKENS, 128, 2 * longest_mention + _SPECIAL_TOKENS if longest > usual else 0)
    max_length = min(_round_up(needed, 16), limit)
    room = max_length - _SPECIAL_TOKENS
    # Windows that overlap by more than half would more than double the time.
    stride = min(max(_round_up(longest_mention, 8), max_length // 4), room // 2)
    if longest <= room:  # no text needs a second window
        return max_length, stride, 0
    return max_length, stride, sum(count for length, count in mentions.items() if length > stride + 1)


def quantile(counts: Counter[int], share: float) -> int:
    """Return the smallest value that is at least as large as the given share of all values."""
    left = share * sum(counts.values())
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return value
    return max(counts)


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
