"""URLs of remote stores: which protocols are opened, and the one place that opens them through fsspec."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO, cast

from ie_cli.errors import DataError, did_you_mean

PROTOCOLS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "http", "https", "hf", "file", "local", "memory")
"""What a URL may begin with. fsspec knows many more, some of which run commands, render templates or unpack archives."""

ALLOWED_HINT = (
    "allowed are s3://, gs://, az://, http://, https://, hf:// and file://, each by itself; "
    "copy other data to a local file first."
)


def is_url(path: str) -> bool:
    """Say whether a path names a store that fsspec opens, e.g. ``s3://bucket/key``."""
    protocol, mark, _ = path.partition("://")
    return bool(mark) and len(protocol) > 1  # fsspec too takes a single letter for a drive of Windows


def refusal(path: str) -> str | None:
    """Say why a path is not opened, None where it may be; a path that is no URL always may, one behind ``hub:`` is seen.

    A name is compared exactly, as fsspec does: ``S3://`` is another protocol than ``s3://``.
    """
    path = path.removeprefix("hub:")
    if not is_url(path):
        return None
    shown = path if len(path) <= 120 else f"{path[:119]}…"
    if "::" in path:
        return f"{shown}: a chain of protocols (::) is not opened"
    protocol = path.partition("://")[0]
    if protocol not in PROTOCOLS:
        near = did_you_mean(protocol, PROTOCOLS)
        return f"{shown}: the protocol '{protocol[:40]}' is not opened{near}"
    return None


def require_allowed(path: str) -> None:
    """Refuse a URL that is not of the `PROTOCOLS`.

    Raises:
        DataError: with what is allowed.
    """
    if (message := refusal(path)) is not None:
        raise DataError(message, hint=ALLOWED_HINT)


def open_url(url: str) -> BinaryIO:
    """Open a URL for reading bytes.

    Raises:
        DataError: it is not allowed, or the store cannot be had.
    """
    require_allowed(url)
    import fsspec

    try:
        return cast(BinaryIO, fsspec.open(url, "rb").open())
    except Exception as error:  # every store has errors of its own
        raise _bad_url(url, error) from error


@contextmanager
def writing_url(url: str) -> Iterator[BinaryIO]:
    """Open a URL for writing bytes; what fails leaves nothing under its name.

    Raises:
        DataError: it is not allowed, or the store cannot be had.
    """
    require_allowed(url)
    import fsspec

    with ExitStack() as stack:
        try:
            # A system of our own: a shared one has one transaction, which forgets its files when it is begun again.
            system, name = fsspec.core.url_to_fs(url, skip_instance_cache=True)
            stack.enter_context(system.transaction)
            raw: Any = stack.enter_context(system.open(name, "wb"))
        except (ImportError, ValueError, OSError, NotImplementedError) as error:
            raise _bad_url(url, error) from error
        yield cast(BinaryIO, raw)


def _bad_url(url: str, error: Exception) -> DataError:
    return DataError(f"{url}: {error}", hint="check the URL, and that its fsspec package is installed.")
