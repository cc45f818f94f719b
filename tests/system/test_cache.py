"""Where what can be computed again is kept."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.runner import ie

from ie_cli.errors import StorageError
from ie_cli.system import cache
from ie_cli.system.cache import VARIABLE, cache_directory


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cache._temporary_directory.cache_clear()
    yield tmp_path / "home"
    cache._temporary_directory.cache_clear()


def test_the_order_of_the_variables(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_directory() == home / ".cache" / "ie"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_directory() == tmp_path / "xdg" / "ie"
    monkeypatch.setenv(VARIABLE, str(tmp_path / "own"))
    assert cache_directory() == tmp_path / "own"
    assert all(path.is_dir() for path in (home / ".cache" / "ie", tmp_path / "xdg" / "ie", tmp_path / "own"))


@pytest.mark.parametrize("given", ["", "relative", "./cache", "~/cache"])
def test_a_user_cache_that_is_not_absolute_is_ignored(
    given: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert cache_directory() == home / ".cache" / "ie"
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_user_cache_that_cannot_be_written_goes_with_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    assert cache_directory().parent == tmp_path
    assert cache_directory() == cache_directory()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file names")
def test_a_cache_whose_name_is_not_utf_8_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg\udcff"))
    assert cache_directory().parent == tmp_path
    monkeypatch.setenv(VARIABLE, str(tmp_path / "own\udcff"))
    with pytest.raises(StorageError, match=r"own\udcff: .* multibyte"):
        cache_directory()
    assert not list(tmp_path.glob("*\udcff"))


def test_a_cache_that_is_named_must_be_writable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/dev/null/x")
    with pytest.raises(StorageError, match="/dev/null/x: Not a directory"):
        cache_directory()


def test_the_help_names_the_directory() -> None:
    shown = " ".join(ie("train", "--help").stdout.replace("│", " ").split())
    assert f"${VARIABLE}, else $XDG_CACHE_HOME/ie, else ~/.cache/ie" in shown
