"""Files that expand to far more than their size are rejected before anything reads them."""

from __future__ import annotations

import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest

from ie_cli.errors import DataError
from ie_cli.formats import read_records
from ie_cli.system import expansion
from ie_cli.system.expansion import require_moderate_zip, require_moderate_zlib

SIZE = 2**24


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "LARGEST", SIZE - 1)


def bomb(path: Path, content: bytes) -> str:
    if path.suffix == ".xlsx":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("xl/sharedStrings.xml", content)
    else:
        path.write_bytes(zlib.compress(content))
    return str(path)


@pytest.mark.parametrize(("name", "check"), [("x.xlsx", require_moderate_zip), ("x.spacy", require_moderate_zlib)])
def test_a_file_that_expands_too_much_is_rejected_without_its_memory(
    name: str, check: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(check)
    path = bomb(tmp_path / name, bytes(SIZE))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"x\.\w+: the file expands to more than 1\d MiB, \S+ times its size"):
        check(path)
    assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    tracemalloc.stop()
    monkeypatch.setattr(expansion, "LARGEST", SIZE)
    check(path)
    monkeypatch.setattr(expansion, "LARGEST", SIZE - 1)
    check(bomb(tmp_path / name, bytes(range(256)) * 10))
    (tmp_path / name).write_bytes(b"damaged")
    check(path)


def test_excel_is_checked_before_it_is_read(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    with pytest.raises(DataError, match="expands to more than"):
        list(read_records(bomb(tmp_path / "x.xlsx", bytes(SIZE))))


def test_docbin_is_checked_before_it_is_read(tmp_path: Path) -> None:
    pytest.importorskip("spacy")
    with pytest.raises(DataError, match="expands to more than"):
        list(read_records(bomb(tmp_path / "x.spacy", bytes(SIZE))))
