"""Around every request: whom it is for, whether it may, and headers that keep browsers from doing more than the page needs."""

from __future__ import annotations

import asyncio
import hmac

from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, BaseUser, SimpleUser
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.status import HTTP_408_REQUEST_TIMEOUT
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ie_cli.formats.jsonl import dump
from ie_cli.serving.schemas import Refused

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


class OwnHosts:
    """Middleware that serves only requests whose header Host names this machine: DNS rebinding comes by another name.

    Starlette's `TrustedHostMiddleware` takes the first of several such headers, in older releases no IPv6 address, and
    answers without a hint.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one request."""
        if scope["type"] != "http" or self._is_own_host(Headers(scope=scope).getlist("host")):
            await self.app(scope, receive, send)
            return
        refusal = Refused(
            400,
            "the header Host does not name this machine's own address",
            f"this service listens to its own machine: use one of {', '.join(sorted(self.hosts))}.",
        )
        await refused(refusal)(scope, receive, send)

    def _is_own_host(self, given: list[str]) -> bool:
        return len(given) == 1 and _name(given[0]) in self.hosts


def _name(host: str) -> str:
    """A Host header without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()


class BearerToken(AuthenticationBackend):
    """The token of a request, for Starlette's `AuthenticationMiddleware`."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        """Compare it, in a time that tells nothing of how much of it is right.

        Raises:
            AuthenticationError: it is missing or another one.
        """
        if conn.scope["path"] in OPEN:
            return None
        given = conn.headers.getlist("authorization")
        scheme, _, secret = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if not hmac.compare_digest(secret.encode("latin-1").strip(), self._token) or scheme.lower() != "bearer":
            raise AuthenticationError("the token is wrong" if given else "a token is needed")
        return AuthCredentials(["authenticated"]), SimpleUser("bearer")


def unauthenticated(conn: HTTPConnection, error: AuthenticationError) -> Response:
    """The answer to a request without the token."""
    return refused(
        Refused(
            401,
            str(error),
            "send the header Authorization: Bearer TOKEN, with the token that the service was started with.",
            {"WWW-Authenticate": 'Bearer realm="ie"'},
        )
    )


def refused(refusal: Refused) -> Response:
    """The answer to a request that is not served."""
    body = dump({"error": refusal.error, "hint": refusal.hint})
    return Response(body, refusal.status, refusal.headers, media_type="application/json")


class Answers:
    """Middleware around the whole application, its internal errors included: what every answer needs.

    Args:
        drain: bytes of a body which nobody wants that are read before the answer: a client that is still writing would
            not see it. Where more comes the connection is closed.
    """

    def __init__(self, app: ASGIApp, drain: int) -> None:
        self.app, self.drain = app, drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self.drain)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except Exception:
            if not exchange.started:  # else it has been reported, and answered with 500
                raise


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
