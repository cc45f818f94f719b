"""How fast the model is, as measured, and what can be answered in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import median

from ie_cli.serving.schedule import size_class

BATCH_SECONDS = 0.1
"""What a batch takes, about: a short request that has just missed one waits so long for the next."""
_SHARE = 0.7  # of the time limit; the rest is for requests that come later, and for slower moments
_LAST = 32  # batches
_USUAL = 256  # tokens
_MEMORY = 0.99
_BESIDE_OLDEST = 1.5  # each third batch is of another request, which came first


class TooMuch(Exception):
    """A request that could not be answered in time even if it were alone.

    Attributes:
        characters: about as many could.
    """

    def __init__(self, characters: int) -> None:
        super().__init__(f"about {characters:,} characters can be answered in time")
        self.characters = characters


class Capacity:
    """Speed in tokens per second, and tokens per character; until the speed has been measured everything is in time.

    Args:
        seconds: within which an answer must come.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._speeds: deque[float] = deque(maxlen=_LAST)
        self._speed: float | None = None
        self._largest = 0
        self._tokens = self._characters = 1000.0

    @property
    def batch_tokens(self) -> float | None:
        """Tokens that a batch may have, padding included."""
        return None if self._speed is None else self._speed * BATCH_SECONDS

    @property
    def most_characters(self) -> int | None:
        """About how many characters of text a request may hold to be answered in time."""
        if self._speed is None:
            return None
        return max(1, int(self._speed * self._seconds * _SHARE * self._characters / self._tokens))

    def measure(self, tokens: int, seconds: float) -> None:
        """Take the time of a batch that was run to measure the speed."""
        self._largest = max(self._largest, tokens)
        self._speeds.append(tokens / max(seconds, 1e-6))
        self._speed = median(self._speeds)

    def learn(self, tokens: int, seconds: float) -> None:
        """Take the time of a batch of requests. A small one does not count: it is slow for its size.

        Small is far below `batch_tokens`: at least far below a usual text, as what a slow model does in that time is
        hardly a word; and below what was measured, as a fast model's batches end before that.
        """
        if self._speed is None:
            return
        if tokens >= min(self._largest, max(self._speed * BATCH_SECONDS, _USUAL)) / 2:
            self.measure(tokens, seconds)

    def observe(self, characters: int, tokens: int) -> None:
        """Take how many tokens some text has become, overlaps of windows included."""
        self._characters = self._characters * _MEMORY + characters
        self._tokens = self._tokens * _MEMORY + tokens

    def tokens(self, characters: int) -> float:
        """The tokens of some text, estimated."""
        return characters * self._tokens / self._characters

    def require_time(self, tokens: float, characters: int) -> None:
        """Check that a request could be answered in time if it were alone.

        Raises:
            TooMuch: it could not.
        """
        if self._speed is not None and tokens > (most := self._speed * self._seconds * _SHARE):
            raise TooMuch(max(1, int(characters * most / tokens)))

    def wait(self, tokens: float, others: Iterable[float]) -> float | None:
        """Seconds after which a request should come again; None if it can be answered in time now.

        Args:
            tokens: of the request.
            others: what is left of each request in work. Those of the same size class or a lower one go first.
        """
        if self._speed is None:
            return None
        left = list(others)
        ahead = sum(other for other in left if size_class(other) <= size_class(tokens))
        factor = _BESIDE_OLDEST if any(size_class(other) > size_class(tokens) for other in left) else 1.0
        late = factor * (ahead + tokens) / self._speed - self._seconds * _SHARE
        return late if late > 0 else None
