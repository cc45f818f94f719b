"""Signals that end a command: SIGINT (Ctrl-C) and SIGTERM, with the exit codes that shells give them, 130 and 143."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """A command was asked to end.

    Args:
        signum: the signal.
        kept: what of its work is kept, and how to go on.
    """

    def __init__(self, signum: int, kept: str | None = None) -> None:
        super().__init__(signum)
        self.signum, self.kept = signum, kept

    @property
    def exit_code(self) -> int:
        """128 and the signal's number."""
        return 128 + self.signum


@contextmanager
def stopping() -> Iterator[None]:
    """While a command runs, let SIGINT and SIGTERM raise `Stopped`, so that what is half written is tidied up.

    Before and after there is nothing to tidy: the system then ends the process, with the same exit codes.
    """

    def handle(signum: int, frame: FrameType | None) -> None:
        raise Stopped(signum)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Stop:
    """Whether a signal came; work that must not be cut in the middle looks at it between its steps.

    Args:
        told: called with the first signal; a second one ends the process' work where it stands.
    """

    def __init__(self, told: Callable[[int], None] = lambda signum: None) -> None:
        self.signum: int | None = None
        self.again = False
        """A second one came, wherever the work stood."""
        self._told = told
        self._at_once = False

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        """Take the signals over for a while; outside the main thread, where Python allows none, nothing is changed."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        # A shell that starts a command in the background has it ignore Ctrl-C.
        taken = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._handle) for number in taken}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Where work may be cut at any place, a signal raises.

        Raises:
            Stopped: also where one came before.
        """
        self._at_once = True
        try:
            self.check()
            yield
        finally:
            self._at_once = False

    def check(self) -> None:
        """Raise where a signal came.

        Raises:
            Stopped: it names the signal.
        """
        if self.signum is not None:
            raise Stopped(self.signum)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self.again, self.signum = self.signum is not None, signum
        if self.again or self._at_once:
            raise Stopped(signum)
        with suppress(Exception, SystemExit):  # nobody listens any more, or a line is just being written
            self._told(signum)
