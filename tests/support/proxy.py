"""A small proxy for tests, with what the tests need of HAProxy: checks of readiness, turns, and connections tried again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

CHECK_SECONDS = 0.1


class Replicas:
    """The ports of replicas, and which of them are ready, as a thread finds out.

    Attributes:
        refused: the number of requests that were sent to a replica that did not listen, and then to another one.
    """

    def __init__(self) -> None:
        self._ports: set[int] = set()
        self._ready: list[int] = []
        self.refused = 0
        self._turn, self._stop = count(), threading.Event()
        threading.Thread(target=self._check, daemon=True).start()

    def add(self, port: int) -> None:
        """Check a replica from now on."""
        self._ports = self._ports | {port}

    def remove(self, port: int) -> None:
        """Forget a replica that has ended."""
        self._ports = self._ports - {port}

    @property
    def ready(self) -> tuple[int, ...]:
        """The replicas that were ready at the last check."""
        return tuple(self._ready)

    def in_turn(self) -> list[int]:
        """Return the ready replicas, beginning with another one each time."""
        ready = self.ready
        first = next(self._turn) % max(1, len(ready))
        return [*ready[first:], *ready[:first]]

    def close(self) -> None:
        """Stop checking."""
        self._stop.set()

    def _check(self) -> None:
        while not self._stop.wait(CHECK_SECONDS):
            self._ready = [port for port in sorted(self._ports) if _is_ready(port)]


def _is_ready(port: int) -> bool:
    try:
        return exchange(port, "GET", "/ready")[0] == 200
    except OSError:
        return False


def exchange(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Send a request to a port of this machine, and return the status and the body of the response."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        headers = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


@contextmanager
def proxy(replicas: Replicas) -> Iterator[int]:
    """Run a proxy in front of replicas; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = 503, b"no replica is ready"
            for port in replicas.in_turn():
                try:
                    status, answer = exchange(port, "POST", self.path, body)
                except ConnectionRefusedError:  # it has received nothing
                    replicas.refused += 1
                    continue
                break
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            replicas.close()
