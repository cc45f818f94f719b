"""Around every request: whom it is for, whether it may, and headers that keep browsers from doing more than the page needs."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.status import HTTP_408_REQUEST_TIMEOUT
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ie_cli.formats.jsonl import dump
from ie_cli.serving.schemas import Refused, must_know

OPEN = frozenset({"/", "/page.js", "/style.css", "/health"})
"""What needs no token: it tells nothing of model or texts."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
DRAIN_SECONDS = 1.0


class Guard:
    """Middleware around the whole application.

    Args:
        token: that requests must have, except those for `OPEN`.
        hosts: names that the header Host may have; None: any.
        drain: bytes of a body which nobody wants that are read before the answer: a client that is still writing would
            not see it. Where more comes the connection is closed.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, hosts: frozenset[str] | None, drain: int) -> None:
        self.app, self.token, self.hosts, self.drain = app, token, hosts, drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self.drain)
        try:
            self._check(scope)
        except Refused as refusal:
            await refused(refusal)(scope, exchange.receive, exchange.send)
            return
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except Exception:
            if not exchange.started:  # else it has been reported, and answered with 500
                raise

    def _check(self, scope: Scope) -> None:
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if self.hosts is not None and (len(given) != 1 or _name(given[0]) not in self.hosts):
            raise Refused(
                400,
                "the header Host does not name this machine's own address",
                f"this service listens to its own machine: use one of {', '.join(sorted(self.hosts))}.",
            )
        if self.token is not None and scope["path"] not in OPEN:
            must_know(self.token, scope["headers"])


def _name(host: str) -> str:
    """A Host header without its port: DNS rebinding comes by another name, whatever the port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()


def refused(refusal: Refused) -> Response:
    """The answer to a request that is not served."""
    body = dump({"error": refusal.error, "hint": refusal.hint})
    return Response(body, refusal.status, refusal.headers, media_type="application/json")


class _Exchange:
    """A request and its answer, watched: whether the body has been read to its end, whether the answer has begun."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, drain: int) -> None:
        headers = Headers(scope=scope)
        self._receive, self._send, self._left = receive, send, drain
        self._unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        self._waiting = "expect" in headers  # it sends the body only when it is asked for
        self.started = False

    async def receive(self) -> Message:
        """What comes next."""
        self._waiting = False
        message = await self._receive()
        if not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        """Send, and first what every answer needs."""
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            if not await self._drained(late=message["status"] == HTTP_408_REQUEST_TIMEOUT):
                headers["Connection"] = "close"
        await self._send(message)

    async def _drained(self, *, late: bool) -> bool:
        if self._unread and not self._waiting and not late:
            try:
                await asyncio.wait_for(self._drain(), DRAIN_SECONDS)
            except asyncio.TimeoutError:
                return False
        return not self._unread

    async def _drain(self) -> None:
        while self._unread and self._left > 0:
            self._left -= len((await self.receive()).get("body", b""))
