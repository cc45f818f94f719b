"""Binary files in remote stores: they are read from a local copy, which is removed afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import urlsplit

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats.common.base import BadLine, Reading, Record
from ie_cli.system.stores import copy_of


def read_copy(url: str, read: Callable[[str, Reading], Iterator[Record]], reading: Reading) -> Iterator[Record]:
    """Yield the records of a file at a URL; their places, and those of errors, are in the file at the URL.

    Args:
        url: the URL.
        read: reads a local file.
        reading: the options of reading.

    Raises:
        DataError: the file cannot be copied or read.
    """
    with copy_of(url, os.path.basename(urlsplit(url).path)) as copy:
        local = str(copy)
        try:
            for record in read(local, replace(reading, report=lambda text: reading.report(text.replace(local, url)))):
                if isinstance(record, Document):
                    record.where = record.where and record.where.replace(local, url)
                else:
                    record = BadLine(record.where.replace(local, url), record.raw, _at(record.error, local, url))
                yield record
        except DataError as error:
            raise _at(error, local, url) from error


def _at(error: DataError, local: str, url: str) -> DataError:
    return DataError(error.message.replace(local, url), hint=error.hint and error.hint.replace(local, url))
