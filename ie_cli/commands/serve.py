"""`ie serve`: serve a model as a web page and an HTTP API."""

from __future__ import annotations

import gc
import traceback

from ie_cli.commands.console import say, warn
from ie_cli.commands.inputs import ModelChoice, warn_truncated
from ie_cli.errors import ServiceError, counted
from ie_cli.serving.limits import Limits, Readiness, require_installed

_SHORT_TOKEN = 16


def run_serve(choice: ModelChoice, host: str, port: int, token: str | None, limits: Limits, *, quiet: bool) -> None:
    """Bind the address, load the model, and serve it until the process is stopped."""
    if token is not None:
        _validate_token(token)
    require_installed()
    from ie_cli.serving import server

    family, address = server.resolve(host, port)
    loopback = server.is_loopback(address)
    if token is None and not loopback:
        raise ServiceError(
            f"--host {host}: other machines can reach this address, but no token is set",
            hint="set the variable IE_TOKEN to a secret (openssl rand -hex 32), or use --host 127.0.0.1.",
        )
    with server.bind(family, address) as bound:
        address = bound.getsockname()
        engine, extractor = choice.engine()
        from ie_cli.serving.app import Service, build_app, model_facts
        from ie_cli.serving.worker import Worker

        readiness = Readiness()
        worker = Worker(engine, slots=limits.concurrency, seconds=limits.timeout)
        try:
            app = build_app(
                Service(
                    worker,
                    model_facts(extractor.recipe, extractor.tasks),
                    limits,
                    token,
                    frozenset({"localhost", "127.0.0.1", "[::1]", server.host_name(address)}) if loopback else None,
                    _report,
                    readiness,
                )
            )
            worker.calibrate()
            bound.listen()  # connections that arrive before uvicorn runs wait in the backlog
            if not quiet:
                access = "token required" if token is not None else "no token required"
                limit = worker.capacity.max_characters
                size = (
                    ""
                    if limit is None
                    else f"; at most about {limit:,} characters per request and {limits.max_text:,} per text"
                )
                say(f"serving {extractor.recipe.name} at {server.url(address)} ({access}){size}; Ctrl-C stops it")
            gc.collect()
            gc.freeze()  # the libraries hold half a million objects; a garbage collection over them delays all requests
            server.run(app, bound, limits, readiness)
        finally:
            worker.close()
            warn_truncated(engine.counts, engine.pair_tasks)


def _validate_token(token: str) -> None:
    if not token.isascii() or not token.isprintable() or " " in token or not token:
        raise ServiceError(
            "the token is empty, or contains characters that an HTTP header cannot carry",
            hint="use letters and digits: openssl rand -hex 32",
        )
    if len(token) < _SHORT_TOKEN:
        warn(f"a token of {counted(len(token), 'character')} can be guessed; create a longer one: openssl rand -hex 32")


def _report(number: str, error: Exception) -> None:
    """Print the details of an internal error, which the response does not contain."""
    say(f"internal error {number}:\n{''.join(traceback.format_exception(error)).rstrip()}")
