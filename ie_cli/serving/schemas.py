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

from ie_cli.document import Document
from ie_cli.errors import did_you_mean
from ie_cli.formats.common.base import short
from ie_cli.serving.limits import Limits
from ie_cli.system.json_reading import loads

_FORM = 'send {"text": "…"}, or {"texts": ["…", "…"]}.'
PAIRS_FORM = 'send {"text": "…", "text_pair": "…"}, or {"texts": ["…", "…"], "text_pairs": ["…", "…"]}.'
_PROBLEMS = {
    "model_type": (400, "expected a JSON object, got {got}", _FORM),
    "one_field": (400, "expected one of the fields text and texts, got {count}", _FORM),
    "pairs_field": (400, "{name} requires the field {needed}", PAIRS_FORM),
    "pairs_count": (400, "text_pairs has {pairs:,} texts, but texts has {count:,}", PAIRS_FORM),
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
_PAIR_OF = {"text_pair": "text", "text_pairs": "texts"}
"""The fields of second texts, and those of the first texts."""


class Body(BaseModel):
    """The body of a request, with exactly one of text and texts; it is validated with `Limits` as the context.

    Attributes:
        text_pair, text_pairs: the second texts, for a model that compares texts.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    text: _Text = ""
    texts: _Texts = []
    text_pair: _Text = ""
    text_pairs: _Texts = []

    @model_validator(mode="before")
    @classmethod
    def _one_field(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        if (count := len(fields.keys() - _PAIR_OF.keys())) != 1:
            raise PydanticCustomError("one_field", "not one field", {"count": count})
        for name, needed in _PAIR_OF.items():
            if name in fields and needed not in fields:
                raise PydanticCustomError("pairs_field", "no first text", {"name": name, "needed": needed})
        return fields

    @model_validator(mode="after")
    def _as_many(self) -> Body:
        if "text_pairs" in self.model_fields_set and len(self.text_pairs) != len(self.texts):
            counts = {"pairs": len(self.text_pairs), "count": len(self.texts)}
            raise PydanticCustomError("pairs_count", "not as many", counts)
        return self

    def documents(self) -> list[Document]:
        """Return the texts, or pairs, as documents."""
        pairs: list[str] | list[None]
        if "texts" in self.model_fields_set:
            pairs = self.text_pairs if "text_pairs" in self.model_fields_set else [None] * len(self.texts)
            return [Document(text, text_pair=pair) for text, pair in zip(self.texts, pairs, strict=True)]
        return [Document(self.text, text_pair=self.text_pair if "text_pair" in self.model_fields_set else None)]


async def read_documents(request: Request, limits: Limits) -> tuple[list[Document], bool]:
    """Return the texts, or pairs, of a request as documents, and whether they came in a list.

    Raises:
        Refused: the request is invalid; the first error is reported.
        ClientDisconnect: the client has disconnected.
    """
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != "application/json" or _charset(parameters) not in ("", "utf-8", "utf8"):
        raise Refused(415, "the body must be JSON in UTF-8", "send the header Content-Type: application/json.")
    body = parse_body(await _read_body(request, limits), limits)
    return body.documents(), "texts" in body.model_fields_set


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
    except TimeoutError as error:
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
    context = {"name": name, "got": short(problem["input"]), **problem.get("ctx", {})}
    return Refused(status, template.format(**context), hint)
