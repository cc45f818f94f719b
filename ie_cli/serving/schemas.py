"""Read and validate the bodies of requests, and define the errors for those that are refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    InstanceOf,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from ie_cli.errors import did_you_mean
from ie_cli.formats.common.base import short
from ie_cli.serving.limits import Limits
from ie_cli.system.json_reading import loads

_FORM = 'send {"text": "…"}, or {"texts": ["…", "…"]}.'
_PROBLEMS = {
    "model_type": (400, "expected a JSON object, got {got}", _FORM),
    "one_field": (400, "expected one of the fields text and texts, got {count}", _FORM),
    "list_type": (400, "'{name}' must be a list of strings, got {got}", _FORM),
    "is_instance_of": (400, "'{name}' must be a string, got {got}", _FORM),
    "too_many": (413, "'{name}' has {count:,} texts, but the limit is {limit:,}", "send several requests."),
    "too_long": (
        413,
        "'{name}' has {count:,} characters, but the limit is {limit:,}",
        "split it, or run `ie predict`, which accepts texts of any length.",
    ),
}
"""Status, message and hint for each of pydantic's error types."""


class Refused(Exception):
    """A request that is refused: status, error and hint."""

    def __init__(self, status: int, error: str, hint: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error)
        self.status, self.error, self.hint, self.headers = status, error, hint, headers


def _limit_count(texts: Any, info: ValidationInfo[Limits]) -> Any:
    if isinstance(texts, list) and len(texts) > (limit := info.context.max_texts):
        raise PydanticCustomError("too_many", "too many texts", {"count": len(texts), "limit": limit})
    return texts


def _limit_length(text: str, info: ValidationInfo[Limits]) -> str:
    if len(text) > (limit := info.context.max_text):
        raise PydanticCustomError("too_long", "the text is too long", {"count": len(text), "limit": limit})
    return text


# Not plain `str`, because pydantic rejects lone surrogates in it.
_Text = Annotated[InstanceOf[str], AfterValidator(_limit_length)]
_Texts = Annotated[list[_Text], FailFast(), BeforeValidator(_limit_count)]


class Body(BaseModel):
    """The body of a request, with exactly one of these fields; it is validated with `Limits` as the context."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: _Text = ""
    texts: _Texts = []

    @model_validator(mode="before")
    @classmethod
    def _one_field(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and len(fields) != 1:
            raise PydanticCustomError("one_field", "not one field", {"count": len(fields)})
        return fields


async def read_texts(request: Request, limits: Limits) -> tuple[list[str], bool]:
    """Return the texts of a request, and whether they came in a list.

    Raises:
        Refused: the request is invalid; the first error is reported.
        ClientDisconnect: the client has disconnected.
    """
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != "application/json" or _charset(parameters) not in ("", "utf-8", "utf8"):
        raise Refused(415, "the body must be JSON in UTF-8", "send the header Content-Type: application/json.")
    body = parse_body(await _read_body(request, limits), limits)
    many = "texts" in body.model_fields_set
    return body.texts if many else [body.text], many


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
            408,
            f"the body did not arrive within {limits.timeout:g} seconds",
            "send it faster, or split it into several requests.",
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


def parse_body(body: bytes, limits: Limits) -> Body:
    """Parse and validate the JSON of a body.

    Raises:
        Refused: the body is invalid; the first error is reported.
    """
    if not body:
        raise Refused(400, "the body is empty", _FORM)
    try:
        # The standard library accepts lone surrogates, which JSON can express.
        fields = loads(body.decode("utf-8"))
    except ValueError as error:
        raise Refused(400, f"the body is not valid JSON in UTF-8: {error}", _FORM) from error
    try:
        return Body.model_validate(fields, context=limits)
    except ValidationError as error:
        raise _refusal(fields, error) from error


def _refusal(fields: Any, error: ValidationError) -> Refused:
    """Return the response for the first error."""
    for name in fields if isinstance(fields, dict) else ():
        if name not in Body.model_fields:
            return Refused(400, f"unknown field {short(name)}{did_you_mean(name, Body.model_fields)}", _FORM)
    problem = error.errors(include_url=False)[0]
    status, template, hint = _PROBLEMS[problem["type"]]
    name = "".join(f"[{part}]" if isinstance(part, int) else part for part in problem["loc"])
    return Refused(status, template.format(name=name, got=short(problem["input"]), **problem.get("ctx", {})), hint)
