"""Choose windows that fit the texts and annotated spans of some data."""

from __future__ import annotations

from collections import Counter

from ie_cli.encoding.windows import WindowPlan

SPECIAL_TOKENS = 2
_SHORT = 256
"""Windows up to this length are made to fit whole texts."""
_CONTEXT = 192
"""The window for longer texts with short entities."""


def window(lengths: Counter[int], mentions: Counter[int], limit: int) -> tuple[int, int, int]:
    """Return ``max_length``, a stride that covers the longest entity, and the number of entities that it cannot cover.

    A batch is only as long as its longest text, so a generous `max_length` costs little if texts are short: it fits all of
    them if they have up to 256 tokens, or else 99 %. Longer texts would fill every window, and time and memory grow faster than
    the window: it is then as long as the longest entity or relation needs, with some context.
    """
    longest, longest_mention = max(lengths), max(mentions)
    usual = longest if longest + SPECIAL_TOKENS <= _SHORT else quantile(lengths, 0.99)
    split = 2 * longest_mention + SPECIAL_TOKENS  # the stride covers the longest one, and is at most half a window
    if usual + SPECIAL_TOKENS <= _SHORT:
        needed = max(usual + SPECIAL_TOKENS, 128, split if longest > usual else 0)
    else:
        needed = max(_CONTEXT, split)
    max_length = min(_round_up(needed, 16), limit)
    room = max_length - SPECIAL_TOKENS
    # Windows that overlap by more than half would more than double the time.
    stride = min(max(_round_up(longest_mention, 8), max_length // 4), room // 2)
    if longest <= room:  # no text needs a second window
        return max_length, stride, 0
    return max_length, stride, sum(count for length, count in mentions.items() if length > stride + 1)


def pair_length(lengths: Counter[int], limit: int, *, together: bool) -> int:
    """Return a ``max_length`` for texts of pairs, which are truncated instead of split: it fits 99.9 % of them.

    Args:
        lengths: number of texts by length in tokens.
        limit: maximum number of tokens for the encoder.
        together: whether both texts of a pair are in one sequence.
    """
    texts = 2 if together else 1
    return max(8, min(_round_up(texts * quantile(lengths, 0.999) + SPECIAL_TOKENS + texts - 1, 8), limit))


def count_windows(lengths: Counter[int], max_length: int, stride: int) -> int:
    """Return the number of windows of texts with these lengths."""
    plan = WindowPlan.build(max_length=max_length, stride=stride, special_tokens=SPECIAL_TOKENS)
    return sum(count * len(plan.starts(length)) for length, count in lengths.items())


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
