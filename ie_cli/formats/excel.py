"""Excel files (.xlsx): a span, a document or a token per row, in columns as in `csv`, on the first sheet.

Reading needs the package openpyxl, the extra ``excel``. Excel stores a line end in a cell as one character; offsets
count the characters of the cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

from ie_cli.errors import DataError
from ie_cli.formats.common.base import Container, Format, Reading, Record, read_no_lines
from ie_cli.formats.common.span_rows import is_empty
from ie_cli.formats.common.table_rows import TABLE_OPTIONS, Cells, read_table, row_of
from ie_cli.system.distribution import install_hint
from ie_cli.system.expansion import require_moderate_zip
from ie_cli.system.optional_packages import with_code

SUFFIXES = (".xlsx", ".xlsm")


def holds(path: str) -> bool:
    """Return whether a path is an Excel file by its suffix."""
    return path.lower().endswith(SUFFIXES)


def read(path: str, reading: Reading) -> Iterator[Record]:
    """Yield the documents of the first sheet.

    Raises:
        DataError: the file is damaged or expands too much, its columns are not known, or openpyxl is not installed.
    """
    with _table(path, reading) as (names, rows):
        if names:
            yield from read_table(names, rows, path, reading)


def row_of_file(path: str, reading: Reading) -> str | None:
    """Return what a row of the first sheet is; None if that is not known.

    Raises:
        DataError: the file cannot be read.
    """
    with _table(path, Reading()) as (names, _):
        return row_of(names, reading)


@contextmanager
def _table(path: str, reading: Reading) -> Iterator[tuple[list[str], Iterator[Cells]]]:
    """Open a file, and give the names of the columns of its first sheet and the rows below them; no names if it is empty."""
    package = _openpyxl(path)
    require_moderate_zip(path)
    try:
        book = package.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # damaged archives and XML raise many types of errors
        raise DataError(
            f"{path}: not a readable Excel file: {str(error)[:200] or type(error).__name__}",
            hint="open it in Excel or LibreOffice and save it again, or save it as CSV.",
        ) from error
    try:
        sheet, *others = book.worksheets
        if others:
            reading.report(f"{path}: only the first of {len(others) + 1} sheets is read")
        rows = _rows(sheet, path)
        names = next((row for _, row in rows if not all(map(is_empty, row))), ())
        yield ["" if name is None else str(name) for name in names], rows
    finally:
        book.close()


def _rows(sheet: Any, path: str) -> Iterator[Cells]:
    try:
        for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
            yield f"{path}:{number}", row
    except Exception as error:  # see above
        raise DataError(
            f"{path}: cannot be read to its end: {str(error)[:200] or type(error).__name__}",
            hint="open it in Excel or LibreOffice and save it again, or save it as CSV.",
        ) from error


def _openpyxl(path: str) -> ModuleType:
    try:
        return with_code(import_module("openpyxl"))
    except ImportError as error:
        raise DataError(f"{path}: reading .xlsx requires the openpyxl package", hint=install_hint("excel")) from error


FORMAT = Format(
    "excel",
    "tables in Excel files (.xlsx), which need openpyxl; input only",
    read_no_lines,
    suffixes=SUFFIXES,
    container=Container(read, holds),
    options=TABLE_OPTIONS,
    rows=row_of_file,
)
