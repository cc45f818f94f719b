"""The URLs that may be opened, and that no other module of the package opens any."""

from __future__ import annotations

import ast
import base64
import json
import uuid
from pathlib import Path

import fsspec
import pytest
from support.runner import ie, said

from ie_cli.errors import DataError
from ie_cli.system.streams import open_input, open_output, read_lines
from ie_cli.system.urls import PROTOCOLS, has_password, is_url, rejection_reason

PACKAGE = Path(__file__).parent.parent.parent / "ie_cli"


def inline_references(trap: Path) -> str:
    """A URL that some versions of fsspec render as a template, which runs a command."""
    code = f"{{{{ cycler.__init__.__globals__.os.system('touch {trap}') }}}}"
    spec = {"version": 1, "templates": {"f": code}, "refs": {"a": ["{{f}}", 0, 1]}}
    return f"reference://a::data:application/json;base64,{base64.b64encode(json.dumps(spec).encode()).decode()}"


REFUSED = [
    "reference://a", "reference://a::data:,{}", "s3://b/k::reference://x", "file:///x::file:///y", "memory://a::memory://b",
    "simplecache::https://host/x", "filecache::s3://b/k", "blockcache::http://h/x", "zip://x.jsonl::s3://b/a.zip", "zip://x",
    "tar://x::file:///y", "ssh://host/x", "sftp://host/x", "ftp://host/x", "smb://h/x", "github://org:repo@main/x", "git://x",
    "jupyter://host/x", "dask://x", "dbfs://x", "webhdfs://h/x", "hdfs://h/x", "arrow_hdfs://x", "libarchive://x::y",
    "generic://x", "dir://x::y", "data:text/plain,x://", "S3://b/k", "HTTP://h/x", "File:///x", " s3://b/k", "s3 ://b", "xy://y://z",
]  # fmt: skip


@pytest.mark.parametrize("url", REFUSED)
@pytest.mark.parametrize("before", ["", "hub:"])
def test_other_protocols_and_chains_are_refused(url: str, before: str) -> None:
    message = rejection_reason(before + url)
    assert message is not None
    assert message.startswith(url)


@pytest.mark.parametrize("url", REFUSED)
def test_what_is_refused_reaches_no_store(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("fsspec was asked")

    monkeypatch.setattr(fsspec, "open", fail)
    monkeypatch.setattr(fsspec.core, "url_to_fs", fail)
    for opening in (open_input, open_output):
        with pytest.raises(DataError, match="not allowed") as caught, opening(url):
            pass
        assert "s3://, gs://, az://" in str(caught.value.hint)


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_two_outputs_in_one_store_are_both_written(scheme: str, tmp_path: Path) -> None:
    directory = f"memory://{uuid.uuid4()}" if scheme == "memory" else tmp_path.as_uri()
    with open_output(f"{directory}/one") as one, open_output(f"{directory}/other") as other:
        one.write("1")
        other.write("2")
    assert [list(read_lines(f"{directory}/{name}")) for name in ("one", "other")] == [[(1, "1")], [(1, "2")]]


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_failed_outputs_leave_nothing_in_a_store(scheme: str, tmp_path: Path) -> None:
    directory = f"memory://{uuid.uuid4()}" if scheme == "memory" else tmp_path.as_uri()

    def fail() -> None:
        with open_output(f"{directory}/one") as one, open_output(f"{directory}/other"):
            one.write("1")
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()
    system, _ = fsspec.core.url_to_fs(directory)
    assert not [name for name in ("one", "other") if system.exists(f"{directory}/{name}")]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_named_protocol_is_allowed(protocol: str) -> None:
    assert rejection_reason(f"{protocol}://bucket/key.jsonl.gz") is None
    assert protocol in [*fsspec.available_protocols(), "abfss"]  # the package for Azure brings this one


@pytest.mark.parametrize("path", ["a.jsonl", "-", "a:b", "C:\\x", "C://x", "a::b", "hub:org/x", "./a::b", "://x"])
def test_a_path_is_not_a_url(path: str) -> None:
    assert not is_url(path)
    assert rejection_reason(path) is None


def test_a_store_is_written_and_read() -> None:
    url = f"memory://{uuid.uuid4()}/x.jsonl"
    with open_output(url) as out:
        out.write("one\n")
    with open_input(url) as file:
        assert file.read() == b"one\n"


def test_a_template_in_a_recipe_is_not_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trap = tmp_path / "it-ran"
    text = json.dumps({"name": "x", "data": {"train": inline_references(trap)}, "encoder": {"name": "tiny"}})
    (tmp_path / "recipe.yaml").write_text(text)
    for command in ("check", "train", "show"):
        run = ie(command, "recipe.yaml")
        assert run.exit_code == 1
        assert "recipe.yaml:1: data.train: reference://a::data:" in said(run)
        assert "chained protocols (::)" in said(run)
    (tmp_path / "gold.jsonl").write_text('{"text": "a", "entities": []}\n')
    for command in (
        ["init", inline_references(trap)],
        ["convert", inline_references(trap), "-"],
        ["convert", "gold.jsonl", inline_references(trap)],
        ["eval", "gold.jsonl", "--predictions", inline_references(trap)],
    ):
        assert "chained protocols (::)" in said(ie(*command))
    assert not trap.exists()


def test_every_rejected_url_of_a_recipe_has_its_line(tmp_path: Path) -> None:
    lines = ["name: x", "task: relation", "data:", "  train: [a.jsonl, ssh://h/x]", "  dev: S3://b/k",
             "  test: 'hub:zip://x::y'", "  schema_file: git://x", "encoder: {name: tiny}"]  # fmt: skip
    (tmp_path / "recipe.yaml").write_text("\n".join(lines))
    printed = said(ie("show", str(tmp_path / "recipe.yaml"), "--set", "data.joiner=x"))
    for place in ("4: data.train[1]: ssh://h/x", "5: data.dev: S3://b/k", "6: data.test: zip://x::y"):
        assert f"recipe.yaml:{place}" in printed
    assert "7: data.schema_file: git://x: the protocol 'git' is not allowed" in printed
    assert "did you mean 's3'?" in printed


def importers(*modules: str) -> set[str]:
    """Return the files of the package that import some modules."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] in modules for name in names):
                found.add(path.relative_to(PACKAGE).as_posix())
    return found


def test_one_module_opens_stores() -> None:
    assert importers("fsspec", "s3fs", "gcsfs", "adlfs", "requests", "aiohttp", "urllib3", "httpx") == {
        "system/urls.py"
    }
    # The other one that uses `datasets` reads Arrow files that `ie` wrote.
    assert importers("datasets") == {"formats/common/hub_dataset.py", "training/encoded_dataset.py"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("https://ann:s3cret@host/t.jsonl", True),
        ("hub:https://ann:s3cret@host:8080/t", True),
        ("https://:s3cret@host/t", True),
        ("https://ann@host:80/t", False),
        ("https://host:80/a:b@c", False),
        ("s3://bucket/a:b@c", False),
        ("data/a:b@c.jsonl", False),
    ],
)
def test_a_password_in_a_url(path: str, expected: bool) -> None:
    assert has_password(path) == expected
