"""Middleware for every request: allowed hosts, authentication, security headers, and unread bodies."""

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
from ie_cli.serving.limits import Readiness
from ie_cli.serving.schemas import Refused

OPEN = frozenset({"/", "/page.js", "/style.css", "/health", "/ready"})
"""Paths that need no token because they reveal nothing about model or texts."""
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


class AllowedHosts:
    """Middleware that serves only requests whose header Host names this machine, as a defence against DNS rebinding.

    Starlette's `TrustedHostMiddleware` uses the first of several such headers, does not support IPv6 addresses in older
    releases, and answers without a hint.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one request."""
        if scope["type"] != "http" or self._is_allowed(Headers(scope=scope).getlist("host")):
            await self.app(scope, receive, send)
            return
        refusal = Refused(
            400,
            "the header Host does not name this machine's own address",
            f"use one of {', '.join(sorted(self.hosts))}: this service only accepts requests from its own machine.",
        )
        await refused(refusal)(scope, receive, send)

    def _is_allowed(self, given: list[str]) -> bool:
        return len(given) == 1 and _name(given[0]) in self.hosts


def _name(host: str) -> str:
    """Return a Host header without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()


class BearerToken(AuthenticationBackend):
    """Checks the bearer token of requests, for Starlette's `AuthenticationMiddleware`."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        """Compare the token in constant time.

        Raises:
            AuthenticationError: the token is missing or wrong.
        """
        if conn.scope["path"] in OPEN:
            return None
        given = conn.headers.getlist("authorization")
        scheme, _, secret = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if not hmac.compare_digest(secret.encode("latin-1").strip(), self._token) or scheme.lower() != "bearer":
            raise AuthenticationError("the token is wrong" if given else "a token is required")
        return AuthCredentials(["authenticated"]), SimpleUser("bearer")


def unauthenticated(conn: HTTPConnection, error: AuthenticationError) -> Response:
    """Return the response to a request without the right token."""
    return refused(
        Refused(
            401,
            str(error),
            "send the header Authorization: Bearer TOKEN, with the token that the service was started with.",
            {"WWW-Authenticate": 'Bearer realm="ie"'},
        )
    )


def refused(refusal: Refused) -> Response:
    """Return the response to a request that is refused."""
    body = dump({"error": refusal.error, "hint": refusal.hint})
    return Response(body, refusal.status, refusal.headers, media_type="application/json")


class ResponseMiddleware:
    """Middleware around the application that completes every response, including those to internal errors.

    It adds security headers, and reads the rest of the body first, because a client that is still sending would not see
    the response.

    Args:
        app: the application.
        drain: maximum bytes of an unwanted body to read; if there are more, the connection is closed.
        readiness: whether the service is stopping; each response then closes its connection, so that a proxy does not reuse
            one that is about to be closed.
    """

    def __init__(self, app: ASGIApp, drain: int, readiness: Readiness | None = None) -> None:
        self.app, self.drain, self.readiness = app, drain, readiness or Readiness()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self.drain, self.readiness)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except Exception:
            if not exchange.started:  # otherwise it has been reported and answered with status 500
                raise


class _Exchange:
    """A request and its response: tracks whether the body has been read to its end, and whether the response has started."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, drain: int, readiness: Readiness) -> None:
        headers = Headers(scope=scope)
        self._receive, self._send, self._left, self._readiness = receive, send, drain, readiness
        self._unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        self._waiting = "expect" in headers  # the client sends the body only after it is requested
        self.started = False

    async def receive(self) -> Message:
        """Receive the next message."""
        self._waiting = False
        message = await self._receive()
        if not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        """Send a message; before the response starts, add the headers and drain the body."""
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            drained = await self._drained(late=message["status"] == HTTP_408_REQUEST_TIMEOUT)
            if not drained or self._readiness.draining:
                headers["Connection"] = "close"
        await self._send(message)

    async def _drained(self, *, late: bool) -> bool:
        if self._unread and not self._waiting and not late:
            try:
                await asyncio.wait_for(self._drain(), DRAIN_SECONDS)
            except TimeoutError:
                return False
        return not self._unread

    async def _drain(self) -> None:
        while self._unread and self._left > 0:
            self._left -= len((await self.receive()).get("body", b""))
