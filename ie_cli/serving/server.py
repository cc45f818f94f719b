"""Bind the socket, and run uvicorn on it."""

from __future__ import annotations

import ipaddress
import math
import os
import signal
import socket
from contextlib import suppress
from functools import partial
from threading import Timer
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from ie_cli.errors import ServiceError
from ie_cli.serving.connections import Connection, watched
from ie_cli.serving.limits import Limits, Readiness

try:
    import resource
except ImportError:  # Windows, where sockets are not files
    resource = None  # type: ignore[assignment]

KEEP_ALIVE_SECONDS = 5
GRACE_SECONDS = 8
"""Time limit for active requests when the service stops at once; containers are killed after ten seconds."""
_HEAD_BYTES = 2**14
_CONNECTIONS = 512  # in addition to those with a request that is being received, running or queued
_OTHER_FILES = 64


def resolve(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    """Return the family and address to listen on; IPv4 if a name has both.

    Raises:
        ServiceError: the name cannot be resolved.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ServiceError(f"--host {host}: {error}", hint="use an address of this machine, e.g. 127.0.0.1.") from error
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    return family, address


def is_loopback(address: Any) -> bool:
    """Return whether an address can be reached only from this machine."""
    return ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback


def bind(family: socket.AddressFamily, address: Any) -> socket.socket:
    """Bind a socket to an address, without listening yet.

    Raises:
        ServiceError: the address is in use, not one of this machine, or needs more permissions.
    """
    # With an explicit protocol: asyncio disables Nagle's algorithm only then, and responses would be delayed by 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere this option lets two programs share the port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise ServiceError(
            f"{url(address)}: cannot listen on this address: {error.strerror or error}",
            hint="choose another port with --port, or --port 0 for a free one; ports below 1024 need special permissions.",
        ) from error
    return bound


def url(address: Any) -> str:
    """Return the URL of an address."""
    return f"http://{host_name(address)}:{address[1]}"


def host_name(address: Any) -> str:
    """Return the host of an address as written in a URL."""
    return f"[{address[0]}]" if ":" in address[0] else str(address[0])


def configure(app: ASGIApp, limits: Limits) -> uvicorn.Config:
    """Return the settings of uvicorn."""
    return uvicorn.Config(
        watched(app),
        http=partial(Connection, limit=_max_connections(limits)),  # type: ignore[arg-type]
        loop="asyncio",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=grace_seconds(limits),
        h11_max_incomplete_event_size=_HEAD_BYTES,
    )


def _max_connections(limits: Limits) -> int:
    """Return the maximum number of connections, within the system's limit on open files."""
    limit = 2 * limits.concurrency + _CONNECTIONS
    if resource is None:
        return limit
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != soft < limit + _OTHER_FILES:
        enough = limit + _OTHER_FILES if hard == resource.RLIM_INFINITY else min(hard, limit + _OTHER_FILES)
        with suppress(ValueError, OSError):  # the system may allow less than the hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
            soft = enough
        limit = soft - _OTHER_FILES
    return max(1, limit)


def grace_seconds(limits: Limits) -> int:
    """Return the time limit for active requests when the service stops; as a replica, it answers all that it has accepted."""
    return max(GRACE_SECONDS, math.ceil(limits.timeout)) if limits.drain else GRACE_SECONDS


class _Server(uvicorn.Server):
    """Drains at the first SIGTERM, if there is a time for it."""

    def __init__(self, config: uvicorn.Config, limits: Limits, readiness: Readiness) -> None:
        super().__init__(config)
        self._limits, self._readiness = limits, readiness

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal, which uvicorn catches itself."""
        if sig != signal.SIGTERM or not self._limits.drain or self._readiness.draining:
            super().handle_exit(sig, frame)
            return
        self._readiness.draining = True
        timer = Timer(self._limits.drain, setattr, (self, "should_exit", True))
        timer.daemon = True
        timer.start()


def run(app: ASGIApp, bound: socket.socket, limits: Limits, readiness: Readiness) -> None:
    """Serve until SIGTERM or SIGINT, which raises KeyboardInterrupt at the end; active requests are finished first.

    With `Limits.drain`, SIGTERM makes the service unready, and it stops listening only after this time, or at a second SIGTERM.
    """
    server = _Server(configure(app, limits), limits, readiness)

    def stop(number: int, frame: object) -> None:
        server.should_exit = True

    # uvicorn raises caught signals again at the end, but a service stopped by SIGTERM should exit with success.
    before = signal.signal(signal.SIGTERM, stop)
    try:
        server.run(sockets=[bound])
    finally:
        signal.signal(signal.SIGTERM, before)
