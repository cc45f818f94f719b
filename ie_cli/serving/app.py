"""The web application: a page, and an API with four endpoints."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ie_cli.errors import counted
from ie_cli.formats.html import STYLE
from ie_cli.formats.jsonl import dump
from ie_cli.inference.model_directory import TrainedTask
from ie_cli.recipe.schema import Recipe
from ie_cli.serving.capacity import TooMuch
from ie_cli.serving.limits import Limits, Readiness
from ie_cli.serving.middleware import AllowedHosts, BearerToken, ResponseMiddleware, refused, unauthenticated
from ie_cli.serving.schemas import PAIRS_FORM, Refused, read_documents
from ie_cli.serving.worker import Busy, Job, Worker, at_capacity, size_of

_ENDPOINTS = "use one of /, /predict, /model, /health and /ready."
_CLIENT_CLOSED_REQUEST = 499  # nobody reads it


class _ReceivingLimit:
    """A limit on the number of requests being received, so that slow bodies cannot occupy all connections."""

    def __init__(self) -> None:
        self._number = 0

    @contextmanager
    def __call__(self, limits: Limits) -> Iterator[None]:
        if self._number >= limits.concurrency:
            raise _unavailable(
                f"{counted(limits.concurrency, 'request is', 'requests are')} being received, which is the limit"
            )
        self._number += 1
        try:
            yield
        finally:
            self._number -= 1


@dataclass(frozen=True, slots=True)
class Service:
    """The dependencies of the application.

    Attributes:
        facts: the response of ``GET /model``.
        hosts: allowed names in the header Host; None allows any.
        report: called with the id and the exception of an internal error.
        readiness: whether a proxy should send new requests.
    """

    worker: Worker
    facts: Mapping[str, Any]
    limits: Limits
    token: str | None
    hosts: frozenset[str] | None
    report: Callable[[str, Exception], None]
    readiness: Readiness = field(default_factory=Readiness)
    receiving: _ReceivingLimit = field(default_factory=_ReceivingLimit)


def model_facts(recipe: Recipe, tasks: Mapping[str, TrainedTask]) -> dict[str, Any]:
    """Return the public facts about a model, which contain no paths.

    A model that compares two texts says whether a request must have both.
    """
    facts = [
        {
            "task": section.task,
            "labels": list(tasks[name].schema.labels),
            "predicates": list(tasks[name].schema.predicates),
        }
        for name, section in recipe.instances().items()
    ]
    reads = [section.head.reads for section in recipe.instances().values()]
    pairs = {"text_pair": "optional" if "windows" in reads else "required"} if set(reads) - {"windows"} else {}
    return {
        "name": recipe.name,
        **pairs,
        **(
            facts[0]
            if len(facts) == 1
            else {
                "tasks": dict(zip(recipe.instances(), facts, strict=True)),
                **{
                    kind: list(dict.fromkeys(name for part in facts for name in part[kind]))
                    for kind in ("labels", "predicates")
                },
            }
        ),
    }


def build_app(service: Service) -> ASGIApp:
    """Build the application with its middleware."""

    async def predict(request: Request) -> Response:
        try:
            return await _predict(service, request)
        except ClientDisconnect:
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        except asyncio.CancelledError:  # only uvicorn cancels, after its grace period for shutting down
            raise _unavailable("the service is stopping") from None

    async def model(request: Request) -> Response:
        return _json(service.facts)

    async def ready(request: Request) -> Response:
        if service.readiness.draining:
            return refused(Refused(503, "the service is stopping", "send requests to another replica."))
        return _json({"status": "ready"})

    async def internal_error(request: Request, error: Exception) -> Response:
        number = secrets.token_hex(6)
        service.report(number, error)
        return _json({"error": "internal error", "id": number}, 500)

    middleware = []
    if service.hosts is not None:
        middleware.append(Middleware(AllowedHosts, hosts=service.hosts))
    if service.token is not None:
        backend = BearerToken(service.token)
        middleware.append(Middleware(AuthenticationMiddleware, backend=backend, on_error=unauthenticated))
    app = Starlette(
        routes=[
            Route("/predict", predict, methods=["POST"]),
            Route("/model", model),
            Route("/health", _health),
            Route("/ready", ready),
            *(
                _static(path, name, kind, before)
                for path, name, kind, before in (
                    ("/", "page.html", "text/html", ""),
                    ("/page.js", "page.js", "text/javascript", ""),
                    ("/style.css", "page.css", "text/css", STYLE),
                )
            ),
        ],
        middleware=middleware,
        exception_handlers={Refused: _refused, HTTPException: _unknown, Exception: internal_error},
    )
    app.router.redirect_slashes = False
    return ResponseMiddleware(app, drain=4 * service.limits.max_body, readiness=service.readiness)


async def _predict(service: Service, request: Request) -> Response:
    if service.worker.busy:  # checked again below; a refusal before the body is read costs nothing
        raise _unavailable(at_capacity(service.limits.concurrency))
    with service.receiving(service.limits):
        documents, many = await read_documents(request, service.limits)
    if service.worker.needs_pairs and any(document.text_pair is None for document in documents):
        raise Refused(400, "this model compares two texts, but the request has no second one", PAIRS_FORM)
    try:
        job = service.worker.submit(documents)
    except Busy as busy:
        raise _unavailable(str(busy), busy.seconds) from None
    except TooMuch as error:
        raise Refused(
            413,
            f"the texts have {sum(map(size_of, documents)):,} characters, but this service can answer only about "
            f"{error.characters:,} in time",
            "send several requests, or run `ie predict`, which accepts texts of any length.",
        ) from None
    records = await _answer(service.worker, job, request, service.limits.timeout)
    return _json({"results": records} if many else records[0])


async def _answer(worker: Worker, job: Job, request: Request, timeout: float) -> list[dict[str, Any]]:
    """Wait for a job; cancel it if it takes too long or the client disconnects."""
    answer = asyncio.wrap_future(job.future)
    disconnected = asyncio.ensure_future(_wait_for_disconnect(request))
    waiting: set[asyncio.Future[Any]] = {answer, disconnected}
    try:
        done, _ = await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if answer in done:
            return answer.result()
        if disconnected in done:
            raise ClientDisconnect
        raise Refused(504, f"no answer within {timeout:g} seconds", "send fewer or shorter texts, or try again later.")
    finally:
        disconnected.cancel()
        if not answer.done():
            worker.cancel(job)
            answer.cancel()


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


def _json(fields: Mapping[str, Any], status: int = 200) -> Response:
    return Response(dump(fields), status, media_type="application/json")


def _unavailable(error: str, seconds: float = 1.0) -> Refused:
    wait = math.ceil(seconds)
    when = "in a moment" if wait < 2 else f"in {wait} seconds"
    return Refused(503, error, f"try again {when}.", {"Retry-After": str(wait)})


async def _health(request: Request) -> Response:
    return _json({"status": "ok"})


async def _refused(request: Request, refusal: Exception) -> Response:
    if not isinstance(refusal, Refused):
        raise refusal
    return refused(refusal)


async def _unknown(request: Request, error: Exception) -> Response:
    """Answer a request for an unknown endpoint, or with a method that it does not support."""
    if not isinstance(error, HTTPException):
        raise error
    path = request.scope["path"]
    messages = {404: f"unknown endpoint {path}", 405: f"{path} does not support {request.method}"}
    message = messages.get(error.status_code, str(error.detail))
    return refused(Refused(error.status_code, message, _ENDPOINTS, error.headers))


def _static(path: str, name: str, kind: str, before: str) -> Route:
    body = before + files("ie_cli.serving.static").joinpath(name).read_text(encoding="utf-8")

    async def serve(request: Request) -> Response:
        return Response(body, media_type=kind)

    return Route(path, serve)
