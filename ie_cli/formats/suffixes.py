"""The format that the suffix of a file name stands for."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import urlsplit

from ie_cli.formats import FORMATS, Format, html
from ie_cli.system.urls import is_url

COMPRESSIONS = (".gz", ".zst")


def suffix_of(path: str) -> str:
    """Return the suffix of a file name or URL in lower case, without that of its compression; "" if it has none.

    >>> suffix_of("out/page.HTML.gz"), suffix_of("s3://bucket/v1.2/out"), suffix_of("-")
    ('.html', '', '')
    """
    name = urlsplit(path).path if is_url(path) else path
    if name.endswith(COMPRESSIONS):
        name = name[: name.rindex(".")]
    return PurePosixPath(name.replace("\\", "/")).suffix.lower()


def format_of(path: str) -> Format | None:
    """Return the format of a file name's suffix; None if it has no suffix or an unknown one."""
    suffix = suffix_of(path)
    return next((one for one in FORMATS.values() if suffix in one.suffixes), None)


def suffixes_of(*, written: bool) -> list[str]:
    """Return the suffixes of the formats that can be written, or of those that can be read."""
    formats = [one for one in FORMATS.values() if (one.writable if written else one.read is not html.read)]
    return [suffix for one in formats for suffix in one.suffixes]
