"""Connections that end: by itself uvicorn waits forever for the head of a request, and for a client to read its answer.

Nor are they ever too many: a new one takes the place of the one that has said nothing for the longest time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

HEAD_SECONDS = 10.0
"""For the head of a request to arrive."""
READ_SECONDS = 20.0
"""For a client to take more of an answer that is waiting for it."""
_KEY = "ie.connection"


class Connection(asyncio.Protocol):
    """What uvicorn makes for each connection (its option `http`): its own protocol, and beside it a clock that cuts it off.

    Every call of asyncio is passed on. The clock runs while more of an answer waits to be sent than asyncio takes, and
    otherwise while no request is in work, which `watched` reports.

    Args:
        most: connections there may be.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        most: int,
    ) -> None:
        self._protocol = H11Protocol(config, server_state, {**app_state, _KEY: self}, _loop)
        self._connections: set[Any] = server_state.connections
        self._most = most
        self._in_work, self._unread = 0, False
        self._silent_since = 0.0
        self._clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._protocol.connection_made(transport)
        # In this set the server finds what it has to shut down.
        self._connections.discard(self._protocol)
        self._connections.add(self)
        self._silent_since = time.monotonic()
        if len(self._connections) > self._most:
            self._make_room()
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        self._silent_since = time.monotonic()
        self._protocol.data_received(data)

    def eof_received(self) -> None:
        self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._protocol.connection_lost(exc)
        self._cut_off_after(None)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()
        self._unread = True
        self._cut_off_after(READ_SECONDS)

    def resume_writing(self) -> None:
        self._protocol.resume_writing()
        self._unread = False
        self._wait_for_head()

    def _make_room(self) -> None:
        """Cut off the connection without a request in work that has been silent longest; it may be this one."""
        silent = [other for other in self._connections if isinstance(other, Connection) and not other._in_work]
        longest = min(silent, key=lambda other: other._silent_since)
        self._connections.discard(longest)
        longest._transport.abort()

    def shutdown(self) -> None:
        """End after the request in work; a client that does not read keeps nobody waiting."""
        self._protocol.shutdown()
        if self._unread:
            self._transport.abort()

    @contextmanager
    def working(self) -> Iterator[None]:
        """A request is in work. With pipelining the next one may begin before the last one has ended."""
        self._in_work += 1
        self._wait_for_head()
        try:
            yield
        finally:
            self._in_work -= 1
            self._silent_since = time.monotonic()
            self._wait_for_head()

    def _wait_for_head(self) -> None:
        if not self._unread and self in self._connections:
            self._cut_off_after(None if self._in_work else HEAD_SECONDS)

    def _cut_off_after(self, seconds: float | None) -> None:
        if self._clock is not None:
            self._clock.cancel()
        self._clock = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._transport.abort)


def watched(app: ASGIApp) -> ASGIApp:
    """An application that reports to its connections which of them have a request in work."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        with scope["state"].pop(_KEY).working():
            await app(scope, receive, send)

    return serve
