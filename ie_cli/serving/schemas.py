"""What comes in: the body of a request within its limits, its texts, and what is answered to those that are refused."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from ie_cli.formats.common.base import short
from ie_cli.serving.limits import Limits
from ie_cli.system.suggest import did_you_mean

_FIELDS = ("text", "texts")
_FORM = 'send {"text": "…"}, or {"texts": ["…", "…"]}.'


class Refused(Exception):
    """A request that is not served: status, what is wrong, and what to do about it."""

    def __init__(self, status: int, error: str, hint: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error)
        self.status, self.error, self.hint, self.headers = status, error, hint, headers


async def read_texts(request: Request, limits: Limits) -> tuple[list[str], bool]:
    """The texts of a request, and whether they came in a list.

    Raises:
        Refused: with the first thing that is wrong.
        ClientDisconnect: it hung up.
    """
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != "application/json" or _charset(parameters) not in ("", "utf-8", "utf8"):
        raise Refused(415, "the body must be JSON in UTF-8", "send the header Content-Type: application/json.")
    fields = _parse(await _read_body(request, limits))
    return _texts(fields, limits), "texts" in fields


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower()
    return ""


async def _read_body(request: Request, limits: Limits) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > limits.max_body:
        raise _too_large(limits)
    try:
        return await asyncio.wait_for(_collect(request, limits), limits.timeout)
    except asyncio.TimeoutError as error:
        raise Refused(
            408, f"the body did not arrive within {limits.timeout:g} seconds", "send it faster, or in parts."
        ) from error


async def _collect(request: Request, limits: Limits) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limits.max_body:
            raise _too_large(limits)
    return bytes(body)


def _too_large(limits: Limits) -> Refused:
    return Refused(413, f"the body has more than {limits.max_body:,} bytes", "send the texts in several requests.")


def _parse(body: bytes) -> dict[str, Any]:
    try:
        # The standard library takes half surrogate pairs, which JSON can write.
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is no JSON in UTF-8: {error}", _FORM) from error
    if not isinstance(value, dict):
        raise Refused(400, f"expected a JSON object, got {short(value)}", _FORM)
    if unknown := [name for name in value if name not in _FIELDS]:
        raise Refused(400, f"unknown field {short(unknown[0])}{did_you_mean(unknown[0], _FIELDS)}", _FORM)
    if len(value) != 1:
        raise Refused(400, f"expected one of the fields text and texts, got {len(value)}", _FORM)
    return value


def _texts(fields: dict[str, Any], limits: Limits) -> list[str]:
    if "text" in fields:
        return [_text(fields["text"], "text", limits)]
    texts = fields["texts"]
    if not isinstance(texts, list):
        raise Refused(400, f"'texts' must be a list of strings, got {short(texts)}", _FORM)
    if len(texts) > limits.max_texts:
        raise Refused(
            413, f"'texts' holds {len(texts):,}, at most {limits.max_texts:,} are taken", "send several requests."
        )
    return [_text(text, f"texts[{number}]", limits) for number, text in enumerate(texts)]


def _text(text: Any, name: str, limits: Limits) -> str:
    if not isinstance(text, str):
        raise Refused(400, f"'{name}' must be a string, got {short(text)}", _FORM)
    if len(text) > limits.max_text:
        raise Refused(
            413,
            f"'{name}' has {len(text):,} characters, at most {limits.max_text:,} are taken",
            "cut it, or run `ie predict`, which takes texts of any length.",
        )
    return text


def must_know(token: str, headers: list[tuple[bytes, bytes]]) -> None:
    """Compare the token of a request, in a time that tells nothing of how much of it is right.

    Raises:
        Refused: it is missing or another one.
    """
    given = [value for name, value in headers if name == b"authorization"]
    scheme, _, secret = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
    if not hmac.compare_digest(secret.strip(), token.encode()) or scheme.lower() != b"bearer":
        raise Refused(
            401,
            "the token is wrong" if given else "a token is needed",
            "send the header Authorization: Bearer TOKEN, with the token that the service was started with.",
            {"WWW-Authenticate": 'Bearer realm="ie"'},
        )
