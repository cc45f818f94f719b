"""`ie serve`: a web page and an HTTP API around `pipeline.extract`, on Starlette and uvicorn."""

from __future__ import annotations

from dataclasses import dataclass

from ie_cli.errors import ServiceError

__all__ = ["Limits", "require_installed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a request may ask for.

    Attributes:
        max_body: bytes of a request.
        max_texts: texts of a request.
        max_text: characters of a text.
        concurrency: requests in work or waiting. How many the model can answer in time is measured, and decides, too.
        timeout: seconds for the body to arrive, and again for the answer.
    """

    max_body: int = 2**20
    max_texts: int = 256
    max_text: int = 100_000
    concurrency: int = 256
    timeout: float = 30.0


def require_installed() -> None:
    """Ask for the optional packages.

    Raises:
        ServiceError: one is not installed.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ServiceError(f"`ie serve` needs the package {error.name}", hint="pip install 'ie-cli[serve]'") from error
