"""URLs of remote stores: the allowed protocols, and opening them through fsspec."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO, cast

from ie_cli.errors import DataError, did_you_mean
from ie_cli.system.distribution import install_hint, package_hint

PROTOCOLS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "http", "https", "hf", "file", "local", "memory")
"""The allowed protocols. fsspec knows many more, some of which run commands, render templates or extract archives."""

ALLOWED_HINT = (
    "use s3://, gs://, az://, http://, https://, hf:// or file://, without chaining; "
    "copy other data to a local file first."
)

_PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss"), "adlfs"),
    **dict.fromkeys(("http", "https"), "aiohttp"),
    "hf": "huggingface_hub",
}
"""The package that fsspec needs for a protocol."""
_EXTRAS = {"s3fs": "s3"}
"""The extras that install such packages."""

_PASSWORD = re.compile(r"[^:/?#]+://[^/?#@]*:[^/?#]*@")


def is_url(path: str) -> bool:
    """Return whether a path is a URL that fsspec opens, e.g. ``s3://bucket/key``."""
    protocol, separator, _ = path.partition("://")
    return bool(separator) and len(protocol) > 1  # like fsspec, treat a single letter as a Windows drive


def has_password(path: str) -> bool:
    """Return whether a path is a URL, also one after ``hub:``, that contains a password: ``https://USER:PASSWORD@HOST/…``."""
    return _PASSWORD.match(path.removeprefix("hub:")) is not None


def rejection_reason(path: str) -> str | None:
    """Return why a URL, also one after ``hub:``, must not be opened, or None if the path may be opened.

    Protocols are compared exactly, as in fsspec: ``S3://`` is a different protocol from ``s3://``.
    """
    path = path.removeprefix("hub:")
    if not is_url(path):
        return None
    shown = path if len(path) <= 120 else f"{path[:119]}…"
    if "::" in path:
        return f"{shown}: chained protocols (::) are not allowed"
    protocol = path.partition("://")[0]
    if protocol not in PROTOCOLS:
        near = did_you_mean(protocol, PROTOCOLS)
        return f"{shown}: the protocol '{protocol[:40]}' is not allowed{near}"
    return None


def require_allowed(path: str) -> None:
    """Check that a path may be opened.

    Raises:
        DataError: it is a URL whose protocol is not in `PROTOCOLS`.
    """
    if (message := rejection_reason(path)) is not None:
        raise DataError(message, hint=ALLOWED_HINT)


def open_url(url: str) -> BinaryIO:
    """Open a URL for reading bytes.

    Raises:
        DataError: the URL is not allowed or cannot be opened.
    """
    require_allowed(url)
    import fsspec

    try:
        return cast(BinaryIO, fsspec.open(url, "rb").open())
    except Exception as error:  # every store raises its own types of errors
        raise bad_url(url, error) from error


@contextmanager
def writing_url(url: str) -> Iterator[BinaryIO]:
    """Open a URL for writing bytes; on errors, nothing is stored at the URL.

    Raises:
        DataError: the URL is not allowed or cannot be opened.
    """
    with ExitStack() as stack:
        # Not a shared instance: it has a single transaction, which forgets its files when it is started again.
        system, name = file_system(url, skip_instance_cache=True)
        try:
            stack.enter_context(system.transaction)
            raw: Any = stack.enter_context(system.open(name, "wb"))
        except (ImportError, ValueError, OSError, NotImplementedError) as error:
            raise bad_url(url, error) from error
        yield cast(BinaryIO, raw)


def file_system(url: str, **options: Any) -> tuple[Any, str]:
    """Return the fsspec file system of a URL, and the path in it.

    Raises:
        DataError: the URL is not allowed, or its package is not installed.
    """
    require_allowed(url)
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url, **options)
    except Exception as error:  # every store raises its own types of errors
        raise bad_url(url, error) from error
    return system, str(path)


def bad_url(url: str, error: Exception) -> DataError:
    """Return the error for a URL that cannot be used; it names the package of the protocol if this is missing."""
    protocol = url.partition("://")[0]
    package = _PACKAGES.get(protocol)
    if isinstance(error, ImportError) and package is not None:
        extra = _EXTRAS.get(package)
        hint = install_hint(extra) if extra is not None else package_hint(package)
        return DataError(f"{url}: {protocol}:// needs the package {package}, which is not installed", hint=hint)
    reason = str(error) or type(error).__name__
    return DataError(f"{url}: {reason}", hint="check the URL, and whether you have access to it.")
