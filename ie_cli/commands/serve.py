"""`ie serve`: a model behind a web page and an HTTP API."""

from __future__ import annotations

import gc
import traceback

from ie_cli.commands.console import say, warn
from ie_cli.commands.inputs import ModelChoice, warn_capped
from ie_cli.errors import ServiceError
from ie_cli.serving.limits import Limits, require_installed

_SHORT = 16


def run_serve(choice: ModelChoice, host: str, port: int, token: str | None, limits: Limits, *, quiet: bool) -> None:
    """Take the address, load the model, serve."""
    if token is not None:
        _validate_token(token)
    require_installed()
    from ie_cli.serving import server

    family, address = server.resolve(host, port)
    loopback = server.is_loopback(address)
    if token is None and not loopback:
        raise ServiceError(
            f"--host {host}: other machines can reach it, and there is no token",
            hint="set the variable IE_TOKEN to a secret (openssl rand -hex 32), or listen to --host 127.0.0.1.",
        )
    with server.bind(family, address) as bound:
        address = bound.getsockname()
        engine, extractor = choice.engine()
        from ie_cli.serving.app import Service, build_app, model_facts
        from ie_cli.serving.worker import Worker

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
                )
            )
            worker.calibrate()
            bound.listen()  # whoever comes before uvicorn does waits a moment
            if not quiet:
                asked = "a token is asked for" if token is not None else "without a token"
                most = worker.capacity.most_characters
                size = (
                    ""
                    if most is None
                    else f"; a request may hold about {most:,} characters, a text {limits.max_text:,}"
                )
                say(f"serving {extractor.recipe.name} at {server.url(address)} ({asked}){size}; Ctrl-C ends it")
            gc.collect()
            gc.freeze()  # the half a million objects of the libraries; looking through them holds up all requests
            server.run(app, bound, limits)
        finally:
            worker.close()
            warn_capped(engine)


def _validate_token(token: str) -> None:
    if not token.isascii() or not token.isprintable() or " " in token or not token:
        raise ServiceError(
            "the token is empty, or holds other characters than an HTTP header can",
            hint="use letters and digits: openssl rand -hex 32",
        )
    if len(token) < _SHORT:
        warn(f"a token of {len(token)} characters can be guessed; better: openssl rand -hex 32")


def _report(number: str, error: Exception) -> None:
    """Tell of an internal error what the answer to the request does not."""
    say(f"internal error {number}:\n{''.join(traceback.format_exception(error)).rstrip()}")
