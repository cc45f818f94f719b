"""Which files a command reads: names, directories and patterns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.runner import ie, said

from ie_cli.commands.inputs import Input
from ie_cli.commands.sources import Sources
from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats import BadLine, Reading, read_documents
from ie_cli.system.json_reading import loads

LINE = '{"text": "王伟在云州"}\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory `data` with files of several kinds, and one in a directory below it."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "b.jsonl",
        "a.jsonl",
        "c.json",
        "n.txt",
        "x.dat",
        ".hidden.jsonl",
        "o.jsonl.part.json",
        "deep/d.jsonl",
    ):
        path = tmp_path / "data" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(LINE, encoding="utf-8")
    return tmp_path


def found(*paths: str, format: str | None = None) -> list[str]:
    given = [Input(path, format=format) for path in paths]
    return [re.sub(r"\\", "/", path) for path in Sources.find(given, quiet=True).paths]


def test_a_directory_stands_for_its_files_of_known_suffixes(here: Path) -> None:
    assert found("data") == ["data/a.jsonl", "data/b.jsonl", "data/c.json", "data/n.txt"]
    for format in ("text", "document"):
        assert found("data", format=format) == ["data/n.txt"]
    assert found("data/b.jsonl", "data/deep", "-") == ["data/b.jsonl", "data/deep/d.jsonl", "-"]


def test_a_pattern_stands_for_the_files_that_match(here: Path) -> None:
    assert found("data/*.jsonl") == ["data/a.jsonl", "data/b.jsonl"]
    assert found("data/**/*.jsonl") == ["data/a.jsonl", "data/b.jsonl", "data/deep/d.jsonl"]
    assert found("data/*.json") == ["data/c.json"]  # not the journal of a job
    Path("data/[a].jsonl").write_text(LINE, encoding="utf-8")
    assert found("data/[a].jsonl") == ["data/[a].jsonl"]  # a file of this name comes first
    assert found("https://host/x?y=*.jsonl") == ["https://host/x?y=*.jsonl"]


def test_ignored_files_are_reported(here: Path) -> None:
    result = ie("convert", "data", "out.jsonl", "--from", "jsonl")
    assert result.exit_code == 0, result.stderr
    assert "data: reading 4 files; ignored by their suffix: 3 (deep, o.jsonl.part.json, x.dat)" in said(result)
    assert "4 records of 4 files, jsonl to jsonl" in said(result)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["data/deep", "data/*/d.jsonl"], "d.jsonl: this file is named twice as input"),
        (["data/*.xml"], "data/*.xml: no file matches this pattern"),
        (["-", "-"], "-: this file is named twice as input"),
        (["empty"], "empty: this directory contains no file with a suffix of .jsonl"),
    ],
)
def test_what_cannot_be_meant_is_an_error(paths: list[str], message: str, here: Path) -> None:
    Path("empty").mkdir()
    with pytest.raises(DataError, match=re.escape(message)):
        found(*paths)


def test_the_output_of_a_run_is_no_input_of_the_next(here: Path) -> None:
    for _ in range(2):
        result = ie("convert", "data", "data/out.jsonl")
        assert result.exit_code == 1
        assert "data/out.jsonl: this file would be an input of the next run" in said(result)
        assert not Path("data/out.jsonl").exists()
    result = ie("convert", "data/a.jsonl", "data/b.jsonl", "data/b.jsonl")
    assert "data/b.jsonl: this file is also the input" in said(result)
    assert ie("convert", "data/a.jsonl", "data/b.jsonl", "data/out.jsonl").exit_code == 0
    assert ie("convert", "data/deep", "data/page.html").exit_code == 0


def test_records_name_their_file(here: Path) -> None:
    Path("data/b.jsonl").write_text(LINE + '{"text": "", "id": 7}\n', encoding="utf-8")
    assert ie("convert", "data/a.jsonl", "data/b.jsonl", "out.jsonl").exit_code == 0
    lines = Path("out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [loads(line)["id"] for line in lines] == ["data/a.jsonl:1", "data/b.jsonl:1", 7]
    assert ie("convert", "data/a.jsonl", "one.jsonl").exit_code == 0
    assert "id" not in Path("one.jsonl").read_text(encoding="utf-8")
    for target in ("cluener", "conll"):  # where an id means a submission, or would be lost
        result = ie("convert", "data/a.jsonl", "data/b.jsonl", "-", "--to", target, "--from", "jsonl", "--quiet")
        assert "data/a" not in result.output


def test_one_of_several_files_that_cannot_be_read_is_a_bad_line(here: Path) -> None:
    Path("data/b.jsonl").write_text("", encoding="utf-8")
    stopped = ie("convert", "data/a.jsonl", "data/b.jsonl", "data/c.json", "-")
    assert stopped.exit_code == 1
    assert "data/b.jsonl: the file is empty" in said(stopped)
    skipped = ie("convert", "data/a.jsonl", "data/b.jsonl", "data/c.json", "-", "--on-error", "skip")
    assert skipped.exit_code == 0
    assert skipped.stdout.count("\n") == 2
    assert "1 bad line skipped; the first: data/b.jsonl: the file is empty" in said(skipped)
    alone = ie("convert", "data/b.jsonl", "-", "--on-error", "skip")
    assert alone.exit_code == 1


def documents(*paths: str) -> list[Document | BadLine]:
    sources = Sources.find([Input(path, format="document") for path in paths], quiet=True)
    return list(sources.records(Reading(annotation=False), with_ids=True))


@pytest.mark.parametrize("text", ["", "Anna\n\nBerlin\n", "\n a\r\n\r\nb\rc\u2028d\x85", "王伟😀\r\n", "no end"])
def test_a_document_is_the_text_of_its_file(text: str, here: Path) -> None:
    Path("n.txt").write_bytes(text.encode())
    assert documents("n.txt") == [Document(text, id="n.txt")]
    Path("n.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert documents("n.txt") == [Document(text, id="n.txt")]


def test_a_document_that_is_no_text_is_an_error_at_its_line(here: Path) -> None:
    Path("n.txt").write_bytes("a\n北京".encode("gb18030"))
    with pytest.raises(DataError, match=r"n\.txt:2: byte 1 of the line \(0xb1\) is not UTF-8") as error:
        documents("n.txt")
    assert "GB18030" in str(error.value.hint)
    good, bad = documents("data/n.txt", "n.txt")
    assert isinstance(good, Document)
    assert isinstance(bad, BadLine)
    assert bad.where == "n.txt"


def test_columns_of_several_files_have_one_header(tmp_path: Path) -> None:
    """A header within the output would be read as a token."""
    for name, token in (("a", "Ann"), ("b", "Bob")):
        text = f"token\ttag\n# {name}\n{token}\tB-PER\nslept\tO\n\n"
        (tmp_path / f"{name}.tsv").write_text(text, encoding="utf-8")
    out = tmp_path / "out.conll"
    said(ie("convert", str(tmp_path / "a.tsv"), str(tmp_path / "b.tsv"), str(out)))
    expected = "token\ttag\n# a\nAnn\tB-PER\nslept\tO\n\n# b\nBob\tB-PER\nslept\tO\n\n"
    assert out.read_text(encoding="utf-8") == expected
    assert [document.text for document in read_documents(str(out))] == ["Ann slept", "Bob slept"]


def test_files_with_names_of_tags_are_no_data_of_a_directory(here: Path) -> None:
    for name in ("labels.txt", "id2label.json"):
        Path("data/deep", name).write_text("person\n", encoding="utf-8")
    assert found("data/deep") == ["data/deep/d.jsonl"]
    assert found("data/deep", format="text") == ["data/deep/labels.txt"]
    result = ie("stats", "data/deep")
    assert result.exit_code == 0, result.stderr
    assert "data/deep: not read as data: id2label.json, labels.txt (names of tags or labels)" in said(result)
    Path("data/deep/d.jsonl").unlink()
    assert len(found("data/deep")) == 2
