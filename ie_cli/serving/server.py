"""The socket, and uvicorn on it."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from contextlib import suppress
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from ie_cli.errors import ServiceError
from ie_cli.serving.connections import Connection, watched
from ie_cli.serving.limits import Limits

try:
    import resource
except ImportError:  # Windows, where sockets are no files
    resource = None  # type: ignore[assignment]

KEEP_ALIVE_SECONDS = 5
GRACE_SECONDS = 8
"""For requests in work to be answered, once the service is told to stop; containers are killed after ten."""
_HEAD_BYTES = 2**14
_CONNECTIONS = 512  # besides those with a request that is being received, in work or waiting
_OTHER_FILES = 64


def resolve(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    """Where to listen: family and address; IPv4 where a name has both.

    Raises:
        ServiceError: the name has no address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ServiceError(
            f"--host {host}: {error}", hint="name an address of this machine, e.g. 127.0.0.1."
        ) from error
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    return family, address


def is_loopback(address: Any) -> bool:
    """Whether only this machine reaches an address."""
    return ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback


def bind(family: socket.AddressFamily, address: Any) -> socket.socket:
    """Take an address; nobody can connect before `run`.

    Raises:
        ServiceError: it is taken, not of this machine, or not ours to take.
    """
    # The protocol in words: asyncio switches Nagle's delay off only where it sees it, and answers would wait 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere it would share the port with another program
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise ServiceError(
            f"{url(address)}: cannot listen there: {error.strerror or error}",
            hint="choose another port with --port, or --port 0 for a free one; below 1024 they are not everybody's.",
        ) from error
    return bound


def url(address: Any) -> str:
    """The address for a browser."""
    return f"http://{host_name(address)}:{address[1]}"


def host_name(address: Any) -> str:
    """The host of an address as it stands in a URL."""
    return f"[{address[0]}]" if ":" in address[0] else str(address[0])


def configure(app: ASGIApp, limits: Limits) -> uvicorn.Config:
    """The settings of uvicorn."""
    return uvicorn.Config(
        watched(app),
        http=partial(Connection, most=_most_connections(limits)),  # type: ignore[arg-type]
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
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=_HEAD_BYTES,
    )


def _most_connections(limits: Limits) -> int:
    """How many connections there may be, as far as the system lets a process have so many open files."""
    most = 2 * limits.concurrency + _CONNECTIONS
    if resource is None:
        return most
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != soft < most + _OTHER_FILES:
        enough = most + _OTHER_FILES if hard == resource.RLIM_INFINITY else min(hard, most + _OTHER_FILES)
        with suppress(ValueError, OSError):  # the system may give less than the hard limit says
            resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
            soft = enough
        most = soft - _OTHER_FILES
    return max(1, most)


def run(app: ASGIApp, bound: socket.socket, limits: Limits) -> None:
    """Serve until SIGINT, which is a KeyboardInterrupt at the end, or SIGTERM; both let requests in work end first."""
    server = uvicorn.Server(configure(app, limits))

    def stop(number: int, frame: object) -> None:
        server.should_exit = True

    # uvicorn raises again what it has caught: a service that stops when it is told to has done its work.
    before = signal.signal(signal.SIGTERM, stop)
    try:
        server.run(sockets=[bound])
    finally:
        signal.signal(signal.SIGTERM, before)
