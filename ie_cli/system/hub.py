"""Access to the Hugging Face Hub: one attempt to connect, and an error that names what to do without a connection."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ie_cli.errors import IEError

_UNREACHABLE = frozenset(
    (
        "ConnectError",
        "ConnectTimeout",
        "ProxyError",
        "ReadError",
        "ReadTimeout",
        "RemoteProtocolError",
        "UnsupportedProtocol",
    )
)
"""The errors of the HTTP client if there is no response; their module differs between releases of the library."""


@contextmanager
def hub_access(what: str, error: type[IEError], *, files: str) -> Iterator[None]:
    """Load something from the Hub or its cache inside the block.

    The library repeats a request that cannot connect for half a minute, and does so for each file. Inside the block, a failed
    connection counts as its offline mode instead, in which it uses the cache. After the first response, requests are
    repeated as usual, because a long download should survive an interruption.

    Args:
        what: the field and the name, for the message.
        error: the type of error to raise.
        files: what a local directory must contain, for the hint.

    Raises:
        IEError: of the type `error`, if the Hub cannot be reached and something is not in the cache.
    """
    from huggingface_hub import constants, get_session

    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)  # the library warns about every request that it repeats
    session = get_session()
    outer = vars(session).get("send")
    attempt = _Attempt(session.send)
    session.send = attempt.send  # type: ignore[method-assign]
    try:
        yield
    except Exception as cause:
        if not _lacks_connection(cause):
            raise
        reason, remedy = attempt.reason or _first_line(cause), "check the network"
        if constants.HF_HUB_OFFLINE:
            reason, remedy = "HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE"
        raise error(
            f"{what}: no such directory, and it cannot be downloaded: {constants.ENDPOINT} cannot be reached: {reason}",
            hint=f"{remedy}, set HF_ENDPOINT to a mirror of the Hub, or name a local directory with {files}.",
        ) from cause
    finally:
        if outer is not None:  # a block around this one
            session.send = outer  # type: ignore[method-assign]
        else:
            del session.send
        logger.setLevel(level)


class _Attempt:
    """Sends requests; if the first one gets no response, it and all others fail as in the library's offline mode."""

    def __init__(self, send: Callable[..., Any]) -> None:
        self._send, self._connected = send, False
        self.reason: str | None = None

    def send(self, *arguments: Any, **options: Any) -> Any:
        """Send a request."""
        from huggingface_hub.errors import OfflineModeIsEnabled

        if self.reason is not None:
            raise OfflineModeIsEnabled(self.reason)
        try:
            response = self._send(*arguments, **options)
        except Exception as error:
            if self._connected or type(error).__name__ not in _UNREACHABLE:
                raise
            self.reason = _first_line(error)
            raise OfflineModeIsEnabled(self.reason) from error
        self._connected = True
        return response


def _lacks_connection(error: BaseException) -> bool:
    """Return whether an error was caused by the lack of a connection, not by files that are damaged or do not exist."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, (LocalEntryNotFoundError, ConnectionError)):
            return True
        seen.add(id(cause))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return False


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
