"""Connections that end: of clients that do not ask, and of clients that do not read."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
import uvicorn
from support.waiting import until

from ie_cli.serving import connections, server
from ie_cli.serving.limits import Limits

ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = 2**24
"""Bytes that fit no buffer of a system."""


@contextmanager
def listening(application: Any, limits: Limits | None = None) -> Iterator[tuple[Any, Any]]:
    """An application on our connections, in a thread; the server and its address."""
    running = uvicorn.Server(server.configure(application, limits or Limits()))
    with server.bind(*server.resolve("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=lambda: running.run(sockets=[bound]))
        thread.start()
        until(lambda: running.started)
        try:
            yield running, bound.getsockname()
        finally:
            running.should_exit = True
            thread.join(10)
    assert not thread.is_alive()


async def answer(send: Any, body: bytes = b"") -> None:
    length = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": body})


def test_it_hangs_up_on_a_head_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with listening(application) as (_, address):
        for head in (b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET"):
            with socket.create_connection(address, timeout=10) as connection:
                began = time.monotonic()
                connection.sendall(head)
                received = b""
                try:
                    while part := connection.recv(1000):
                        received += part
                        connection.sendall(b"X")
                except OSError:  # it was hung up on while it sent
                    pass
                assert time.monotonic() - began < 3
                assert received.startswith(b"HTTP/1.1 204") == (b"\r\n\r\n" in head)


def slow_at(path: str, begun: threading.Event, go: threading.Event) -> Any:
    """An application that answers one path only when it may."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == path:
            begun.set()
            while not go.is_set():
                await asyncio.sleep(0.01)
        await answer(send)

    return application


def test_new_connections_take_the_place_of_those_that_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are open, a new one is answered, and one with a request in work is kept."""
    monkeypatch.setattr(server, "_CONNECTIONS", 8)
    begun, go = threading.Event(), threading.Event()

    with listening(slow_at("/slow", begun, go), Limits(concurrency=1)) as (running, address), ExitStack() as stack:
        slow = stack.enter_context(socket.create_connection(address, timeout=10))
        slow.sendall(ASK.replace(b"/ ", b"/slow "))
        assert begun.wait(10)
        silent = [stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(40)]
        for _ in range(3):
            with socket.create_connection(address, timeout=10) as asking:
                asking.sendall(ASK)
                assert asking.recv(100).startswith(b"HTTP/1.1 200")
        assert len(running.server_state.connections) <= 2 + 8
        with suppress(ConnectionResetError):  # the first one was cut off
            assert silent[0].recv(100) == b""
        go.set()
        assert slow.recv(100).startswith(b"HTTP/1.1 200")


def test_who_was_just_answered_is_not_the_one_that_has_been_silent_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_CONNECTIONS", 4)
    begun, go = threading.Event(), threading.Event()

    with listening(slow_at("/", begun, go), Limits(concurrency=1)) as (running, address), ExitStack() as stack:
        slow = stack.enter_context(socket.create_connection(address, timeout=10))
        slow.sendall(ASK)
        assert begun.wait(10)
        silent = [stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(5)]
        until(lambda: len(running.server_state.connections) == 6)
        go.set()
        assert slow.recv(1000).startswith(b"HTTP/1.1 200")
        stack.enter_context(socket.create_connection(address, timeout=10))
        with suppress(ConnectionResetError):
            assert silent[0].recv(100) == b""
        slow.sendall(ASK)
        assert slow.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_limit_of_open_files_that_cannot_be_raised_is_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hard limit may exceed what the system allows: macOS reports none, but accepts 10,240."""
    resource = pytest.importorskip("resource")

    def refuse(kind: int, limits: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert server._max_connections(Limits()) == 256 - server._OTHER_FILES


def test_a_request_in_work_keeps_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds also for two pipelined requests, if the first one ends while the second is active."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    begun: list[float] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        begun.append(time.monotonic())
        if len(begun) == 2:
            await asyncio.sleep(0.9)
        await answer(send)
        await asyncio.sleep(0.2)

    with listening(application) as (_, address), socket.create_connection(address, timeout=10) as connection:
        connection.sendall(ASK + ASK)
        received = b""
        while part := connection.recv(1000):
            received += part
        ended = time.monotonic()
    assert received.count(b"HTTP/1.1 200") == 2
    assert 0.9 < ended - begun[1] < 3


def test_an_answer_may_be_read_for_longer_than_a_head_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"x" * LARGE)

    with listening(application) as (_, address), socket.create_connection(address, timeout=10) as connection:
        connection.sendall(ASK)
        time.sleep(0.9)
        received = 0
        while part := connection.recv(2**20):
            received += len(part)
    assert received > LARGE


def test_it_hangs_up_on_a_client_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "READ_SECONDS", 0.3)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(200):
            await send({"type": "http.response.body", "body": b"x" * 2**16, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    with listening(application) as (running, address), socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: len(running.server_state.connections) == 1)
        until(lambda: not running.server_state.connections)


def test_the_service_waits_for_no_client_that_does_not_read() -> None:
    sent = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"x" * LARGE)
        sent.set()

    with listening(application) as (running, address), socket.create_connection(address, timeout=10) as connection:
        connection.sendall(ASK)
        assert sent.wait(10)
        began = time.monotonic()
        running.should_exit = True
        until(lambda: not running.server_state.connections)
        assert time.monotonic() - began < 3


def test_an_idle_connection_is_closed_when_the_service_ends() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await answer(send)

    with listening(application) as (running, address), socket.create_connection(address, timeout=10) as connection:
        connection.sendall(ASK)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        running.should_exit = True
        assert connection.recv(1000) == b""
