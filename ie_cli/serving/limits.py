"""Limits of the service, and a check for its optional packages."""

from __future__ import annotations

from dataclasses import dataclass

from ie_cli.errors import ServiceError
from ie_cli.system.distribution import install_hint

__all__ = ["Limits", "Readiness", "require_installed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits on requests.

    Attributes:
        max_body: maximum bytes in a request.
        max_texts: maximum texts in a request.
        max_text: maximum characters in a text.
        concurrency: maximum requests running or queued. The measured speed of the model may limit them further.
        timeout: seconds to wait for the body, and again for the answer.
        drain: seconds between SIGTERM and the end of listening, in which a proxy learns that the service is not ready.
    """

    max_body: int = 2**20
    max_texts: int = 256
    max_text: int = 100_000
    concurrency: int = 256
    timeout: float = 30.0
    drain: float = 0.0


@dataclass(slots=True)
class Readiness:
    """Whether a proxy should send new requests to the service; it answers those that come nevertheless."""

    draining: bool = False


def require_installed() -> None:
    """Check that the optional packages are installed.

    Raises:
        ServiceError: a package is missing.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ServiceError(
            f"`ie serve` requires the package {error.name}, which is not installed", hint=install_hint("serve")
        ) from error
