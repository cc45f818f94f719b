"""Signals that end a command: SIGINT (Ctrl-C) and SIGTERM, with their conventional exit codes, 130 and 143."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """A signal asked the command to end.

    Args:
        signum: the signal number.
        kept: a message about the work that is kept and how to continue.
    """

    def __init__(self, signum: int, kept: str | None = None) -> None:
        super().__init__(signum)
        self.signum, self.kept = signum, kept

    @property
    def exit_code(self) -> int:
        """128 plus the signal number."""
        return 128 + self.signum


@contextmanager
def handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let a function handle SIGINT and SIGTERM; outside the main thread, where Python forbids handlers, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # A shell that starts a command in the background makes it ignore Ctrl-C.
    handled = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in handled}
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)


@contextmanager
def stopping() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Stopped` while a command runs, so that incomplete output is cleaned up.

    Before and after, there is nothing to clean up: the system ends the process, with the same exit codes.
    """

    def handle(signum: int, frame: FrameType | None) -> None:
        raise Stopped(signum)

    with handled_by(handle):
        yield


class Stop:
    """A record of received signals; work that must not be interrupted checks it between its steps.

    Args:
        on_signal: called with the first signal; a second signal interrupts the work immediately.
    """

    def __init__(self, on_signal: Callable[[int], None] = lambda signum: None) -> None:
        self.signum: int | None = None
        self.repeated = False
        """Whether a second signal arrived."""
        self._on_signal = on_signal
        self._interruptible = False

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        """Handle the signals inside the context; outside the main thread, where Python forbids handlers, do nothing."""
        with handled_by(self._handle):
            yield self

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal raise immediately inside the context, for work that may be interrupted anywhere.

        Raises:
            Stopped: a signal arrived inside the context or before it.
        """
        self._interruptible = True
        try:
            self.check()
            yield
        finally:
            self._interruptible = False

    def check(self) -> None:
        """Raise if a signal has arrived.

        Raises:
            Stopped: it names the signal.
        """
        if self.signum is not None:
            raise Stopped(self.signum)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self.repeated, self.signum = self.signum is not None, signum
        if self.repeated or self._interruptible:
            raise Stopped(signum)
        with suppress(Exception, SystemExit):  # stderr may be closed, or in the middle of a write
            self._on_signal(signum)
