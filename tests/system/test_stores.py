"""Files on disk and in stores: found, compared, and written as a whole."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from support.stores import HAS_S3, needs_s3, s3_server

from ie_cli.errors import DataError, StorageError
from ie_cli.system import stores
from ie_cli.system.urls import file_system

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(params=["disk", "memory", pytest.param("s3", marks=needs_s3)])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty directory on disk, in memory, or in a bucket."""
    if request.param == "disk":
        yield str(tmp_path / "data")
    elif request.param == "memory":
        yield "memory://ie-stores/data"
        fsspec.filesystem("memory").rm("/ie-stores", recursive=True)
    else:
        with s3_server(monkeypatch):
            yield "s3://bucket/data"


def put(root: str, **files: str) -> None:
    for name, content in files.items():
        with stores.writing(stores.join(root, name.replace("__", "/").replace("_", "."))) as new:
            new.write_text(content, encoding="utf-8")


def test_what_is_written_is_found(root: str) -> None:
    assert stores.files_below(root) == {}
    put(root, a_txt="one", sub__b_txt="three", c_jsonl="{}")
    below = stores.files_below(root)
    assert {name: state.size for name, state in below.items()} == {"a.txt": 3, "c.jsonl": 2, "sub/b.txt": 5}
    assert below["a.txt"] == stores.state_of(stores.join(root, "a.txt"))
    assert stores.state_of(stores.join(root, "missing.txt")) is None
    assert stores.read_files(root, ["a.txt", "sub/b.txt"]) == {"a.txt": b"one", "sub/b.txt": b"three"}
    assert stores.read_files(root, []) == {}
    put(root, a_txt="two")
    assert stores.state_of(stores.join(root, "a.txt")) != below["a.txt"]
    stores.remove(stores.join(root, "a.txt"))
    stores.remove(stores.join(root, "a.txt"))
    assert sorted(stores.files_below(root)) == ["c.jsonl", "sub/b.txt"]


def test_what_fails_leaves_nothing(root: str) -> None:
    put(root, a_txt="one")

    def fail() -> None:
        with stores.writing(stores.join(root, "a.txt")) as new:
            new.write_text("half", encoding="utf-8")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert stores.read_files(root, ["a.txt"]) == {"a.txt": b"one"}
    assert list(stores.files_below(root)) == ["a.txt"]


def test_patterns_of_urls(root: str) -> None:
    put(root, a_txt="one", b_txt="three", sub__c_txt="!", d_jsonl="{}")
    if stores.is_url(root):
        assert stores.is_pattern(f"{root}/*.txt")
        matches = stores.matching_urls(f"{root}/*.txt")
        assert list(matches) == [f"{root}/a.txt", f"{root}/b.txt"]
        assert matches[f"{root}/a.txt"] == stores.state_of(f"{root}/a.txt")
        assert list(stores.matching_urls(f"{root}/**/*.txt")) == [f"{root}/{n}.txt" for n in ("a", "b", "sub/c")]
        assert stores.matching_urls(f"{root}/*.csv") == {}
        with stores.copy_of(f"{root}/b.txt", "b.txt") as copy:
            assert (copy.name, copy.read_bytes()) == ("b.txt", b"three")
        assert not copy.exists()
    assert not stores.is_pattern("https://host/x?a=*")
    assert not stores.is_pattern(f"{root}/a.txt")
    assert stores.local_path("file:///a/b") == "/a/b"


@pytest.mark.skipif(not HAS_S3, reason="s3fs is not installed")
def test_a_store_that_does_not_answer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server(monkeypatch):
        with (
            pytest.raises(StorageError, match=r"s3://missing/x: cannot be written: .*bucket"),
            stores.writing("s3://missing/x") as new,
        ):
            new.write_text("x", encoding="utf-8")
        with pytest.raises(DataError, match="s3://missing/x"), stores.copy_of("s3://missing/x", "x"):
            pass


@pytest.mark.parametrize(
    ("url", "package", "remedy"),
    [
        ("s3://bucket/x", "s3fs", "pip install 'ie-cli[s3]'"),
        ("gs://bucket/x", "gcsfs", "pip install gcsfs"),
        ("az://container/x", "adlfs", "pip install adlfs"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    url: str, package: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # so that its import fails
    monkeypatch.setattr("ie_cli.system.distribution.installed_distribution", lambda: "ie-cli")
    # fsspec remembers what it has imported.
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, url.partition(":")[0], raising=False)
    with pytest.raises(DataError) as caught:
        file_system(url)
    assert f"needs the package {package}, which is not installed" in caught.value.message
    assert caught.value.hint == remedy
