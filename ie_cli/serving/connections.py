"""Connections with timeouts: uvicorn alone waits forever for a request's head, and for a client to read the response.

Their number is limited, too: a new connection replaces the one that has been idle for the longest time.
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
"""Time limit for the head of a request to arrive."""
READ_SECONDS = 20.0
"""Time limit for a client to read more of a response that is waiting to be sent."""
_KEY = "ie.connection"


class Connection(asyncio.Protocol):
    """Wraps uvicorn's protocol for each connection (its option `http`), and adds a timer that aborts the connection.

    All calls from asyncio are passed on. The timer runs while a response is waiting because asyncio's buffer is full,
    and otherwise while no request is active, as reported by `watched`.

    Args:
        config: settings of uvicorn.
        server_state: state of the server.
        app_state: state of the application.
        limit: maximum number of connections.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limit: int,
    ) -> None:
        self._protocol = H11Protocol(config, server_state, {**app_state, _KEY: self}, _loop)
        self._connections: set[Any] = server_state.connections
        self._limit = limit
        self._active, self._unread = 0, False
        self._idle_since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._protocol.connection_made(transport)
        # The server uses this set to find the connections to shut down.
        self._connections.discard(self._protocol)
        self._connections.add(self)
        self._idle_since = time.monotonic()
        if len(self._connections) > self._limit:
            self._make_room()
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        self._idle_since = time.monotonic()
        self._protocol.data_received(data)

    def eof_received(self) -> None:
        self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._protocol.connection_lost(exc)
        self._abort_after(None)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()
        self._unread = True
        self._abort_after(READ_SECONDS)

    def resume_writing(self) -> None:
        self._protocol.resume_writing()
        self._unread = False
        self._wait_for_head()

    def _make_room(self) -> None:
        """Abort the connection without an active request that has been idle longest; it may be this one."""
        idle = [other for other in self._connections if isinstance(other, Connection) and not other._active]
        longest = min(idle, key=lambda other: other._idle_since)
        self._connections.discard(longest)
        longest._transport.abort()

    def shutdown(self) -> None:
        """Shut down after the active request; abort at once if the client does not read the response."""
        self._protocol.shutdown()
        if self._unread:
            self._transport.abort()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Mark a request as active; with pipelining, the next one may start before the last one has ended."""
        self._active += 1
        self._wait_for_head()
        try:
            yield
        finally:
            self._active -= 1
            self._idle_since = time.monotonic()
            self._wait_for_head()

    def _wait_for_head(self) -> None:
        if not self._unread and self in self._connections:
            self._abort_after(None if self._active else HEAD_SECONDS)

    def _abort_after(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._transport.abort)


def watched(app: ASGIApp) -> ASGIApp:
    """Wrap an application so that it reports active requests to their connections."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        with scope["state"].pop(_KEY).working():
            await app(scope, receive, send)

    return serve
