"""Measure the speed of the model, and decide which requests can be answered in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import median

from ie_cli.serving.schedule import size_class

BATCH_SECONDS = 0.1
"""Approximate duration of a batch: a short request that has just missed one waits this long for the next."""
_USABLE_SHARE = 0.7  # share of the time limit to plan with; the rest is for later requests and slower moments
_RECENT_BATCHES = 32
_TYPICAL_TOKENS = 256  # tokens of a typical text
_DECAY = 0.99
_SHARED_FACTOR = 1.5  # every third batch belongs to the oldest request, which slows shorter ones down by this factor


class TooMuch(Exception):
    """A request that could not be answered in time even if it were the only one.

    Attributes:
        characters: approximate number of characters that could be answered.
    """

    def __init__(self, characters: int) -> None:
        super().__init__(f"about {characters:,} characters can be answered in time")
        self.characters = characters


class Capacity:
    """Speed in tokens per second, and tokens per character; until the speed is measured, every request is accepted.

    Args:
        seconds: time limit for an answer.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._speeds: deque[float] = deque(maxlen=_RECENT_BATCHES)
        self._speed: float | None = None
        self._largest = 0
        self._tokens = self._characters = 1000.0

    @property
    def batch_tokens(self) -> float | None:
        """Maximum tokens in a batch, including padding."""
        return None if self._speed is None else self._speed * BATCH_SECONDS

    @property
    def max_characters(self) -> int | None:
        """Approximate number of characters of text in a request that can be answered in time."""
        if self._speed is None:
            return None
        return max(1, int(self._speed * self._seconds * _USABLE_SHARE * self._characters / self._tokens))

    def measure(self, tokens: int, seconds: float) -> None:
        """Add the duration of a batch that was run to measure the speed."""
        self._largest = max(self._largest, tokens)
        self._speeds.append(tokens / max(seconds, 1e-6))
        self._speed = median(self._speeds)

    def learn(self, tokens: int, seconds: float) -> None:
        """Add the duration of a batch of requests; ignore small batches, which are slow for their size.

        Small means less than half of `batch_tokens`. A typical text is the lower bound for `batch_tokens`, because a slow
        model hardly processes a word in that time; the largest measured batch is the upper bound, because the batches of
        a fast model are smaller than `batch_tokens`.
        """
        if self._speed is None:
            return
        if tokens >= min(self._largest, max(self._speed * BATCH_SECONDS, _TYPICAL_TOKENS)) / 2:
            self.measure(tokens, seconds)

    def observe(self, characters: int, tokens: int) -> None:
        """Update the ratio of tokens to characters with some text; tokens include overlaps of windows."""
        self._characters = self._characters * _DECAY + characters
        self._tokens = self._tokens * _DECAY + tokens

    def tokens(self, characters: int) -> float:
        """Estimate the number of tokens in a number of characters."""
        return characters * self._tokens / self._characters

    def require_time(self, tokens: float, characters: int) -> None:
        """Check that a request could be answered in time if it were the only one.

        Raises:
            TooMuch: it could not.
        """
        if self._speed is not None and tokens > (limit := self._speed * self._seconds * _USABLE_SHARE):
            raise TooMuch(max(1, int(characters * limit / tokens)))

    def wait(self, tokens: float, others: Iterable[float]) -> float | None:
        """Return the seconds after which to retry a request, or None if it can be answered in time now.

        Args:
            tokens: tokens in the request.
            others: remaining tokens of each active request. Those of the same or a smaller size class go first.
        """
        if self._speed is None:
            return None
        left = list(others)
        ahead = sum(other for other in left if size_class(other) <= size_class(tokens))
        factor = _SHARED_FACTOR if any(size_class(other) > size_class(tokens) for other in left) else 1.0
        late = factor * (ahead + tokens) / self._speed - self._seconds * _USABLE_SHARE
        return late if late > 0 else None
