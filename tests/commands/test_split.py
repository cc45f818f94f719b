"""`ie split`."""

from __future__ import annotations

import doctest
import json
from pathlib import Path

import pytest
from support.corpora import documents, write_jsonl
from support.runner import ie, said

from ie_cli.commands import split
from ie_cli.formats import read_documents


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("in.jsonl"), [d for d in documents(60) if d.text])
    return tmp_path


def test_the_parts_contain_every_record_once(here: Path) -> None:
    result = ie("split", "in.jsonl", "-o", "parts", "--dev", "0.2", "--test", "0.2", "--similarity", "1")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    parts = [
        Path("parts", f"{name}.jsonl").read_text(encoding="utf-8").splitlines() for name in ("train", "dev", "test")
    ]
    assert sorted(line for part in parts for line in part) == sorted(
        Path("in.jsonl").read_text(encoding="utf-8").splitlines()
    )
    assert all(abs(len(part) - share * 59) <= 3 for part, share in zip(parts, (0.6, 0.2, 0.2), strict=True))
    assert f"parts/dev.jsonl: {len(parts[1])} records" in said(result).replace("\\", "/")
    before = [path.read_bytes() for path in sorted(Path("parts").iterdir())]
    again = ie(
        "split", "in.jsonl", "-o", "parts", "--dev", "0.2", "--test", "0.2", "--similarity", "1", "--force", "-q"
    )
    assert (again.exit_code, again.stderr) == (0, "")
    assert [path.read_bytes() for path in sorted(Path("parts").iterdir())] == before


def test_columns_keep_their_header_and_other_columns(here: Path) -> None:
    rows = [
        f"{word}\tX{n}\tB-p\nb\tY\tO\n\n"
        for n, word in enumerate(["alpha", "beta", "gamma", "delta", "epsilon", "zeta"])
    ]
    Path("in.txt").write_text("token\tpos\ttag\n" + "".join(rows), encoding="utf-8")
    result = ie("split", "in.txt", "-o", "out", "--test", "0", "--dev", "0.5", "--from", "conll", "--text-column", "0")
    assert result.exit_code == 0, result.stderr
    texts = {name: Path("out", f"{name}.txt").read_text(encoding="utf-8") for name in ("train", "dev")}
    assert all(text.startswith("token\tpos\ttag\n") and text.count("token") == 1 for text in texts.values())
    assert all(row.splitlines()[0] in texts["train"] + texts["dev"] for row in rows)
    assert not Path("out/test.txt").exists()


def test_another_format_and_several_files(here: Path) -> None:
    record = {"text": "王伟来了，他说很好", "label": {"name": {"王伟": [[0, 1]]}}}
    Path("b.json").write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    mixed = ie("split", "in.jsonl", "b.json", "-o", "out")
    assert mixed.exit_code == 1
    assert "several formats: jsonl, cluener" in said(mixed)
    assert not Path("out").exists()
    done = ie("split", "in.jsonl", "b.json", "-o", "out", "--to", "conll", "--similarity", "1")
    assert done.exit_code == 0, done.stderr
    assert "warning: ids cannot be stored in this format: 59" in said(done)
    assert sum(1 for path in Path("out").glob("*.conll") for _ in read_documents(str(path))) == 60


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("in.jsonl", "-o", "."), 0, ""),
        (("train.jsonl", "-o", "."), 1, "train.jsonl: this file is also the input"),
        (("in.jsonl", "-o", "old"), 1, "dev.jsonl: this file exists hint: replace it with --force"),
        (("-", "-o", "x"), 1, "stdin: a pipe can be read only once"),
        (("in.jsonl", "-o", "x", "--dev", "0.5", "--test", "0.5"), 2, "something for train"),
        (("in.jsonl", "-o", "x", "--dev", "0", "--test", "0"), 2, "something for train"),
        (("few.jsonl", "-o", "x"), 1, "would be empty: 1 record in 1 text"),
        (("bad.jsonl", "-o", "x"), 1, "use `--on-error skip` to drop such lines"),
        (("bad.jsonl", "-o", "x", "--on-error", "skip"), 0, "warning: 1 bad line skipped; the first: bad.jsonl:60"),
        (("in.jsonl", "-o", "x", "--document-field", "page"), 1, "in.jsonl:1: no field 'page'"),
        (("in.jsonl", "-o", "x", "--by", "document"), 1, "nothing shows which records belong to the same document"),
        (("in.jsonl", "-o", "x", "--to", "text"), 1, "cannot be written"),
    ],
)
def test_what_is_reported(arguments: tuple[str, ...], code: int, message: str, here: Path) -> None:
    data = Path("in.jsonl").read_text(encoding="utf-8")
    Path("train.jsonl").write_text(data, encoding="utf-8")
    Path("few.jsonl").write_text(data.splitlines()[0] + "\n", encoding="utf-8")
    Path("bad.jsonl").write_text(data + "{\n", encoding="utf-8")
    Path("old").mkdir()
    Path("old/dev.jsonl").touch()
    if "." in arguments and code == 0:
        Path("train.jsonl").unlink()
    result = ie("split", *arguments)
    assert result.exit_code == code, result.stderr
    assert message in said(result)
    assert Path("old/dev.jsonl").read_bytes() == b""
    assert (code == 0) == any(Path(name, "test.jsonl").exists() for name in (".", "x"))


def test_the_documents_of_a_directory_are_its_files(here: Path) -> None:
    assert ie("convert", "in.jsonl", "corpus.v2", "--to", "brat", "-q").exit_code == 0
    result = ie("split", "corpus.v2", "-o", "parts", "--by", "document", "--dev", "0.3", "--test", "0")
    assert result.exit_code == 0, result.stderr
    assert "documents are kept together: 59 documents" in said(result)
    assert sorted(path.name for path in Path("parts").iterdir()) == ["dev", "train"]
    assert sum(1 for part in Path("parts").iterdir() for _ in read_documents(part)) == 59


def test_what_a_project_needs_is_printed(here: Path) -> None:
    for command in (("split", "-o", "parts"), ("merge", "-o", "all.json")):
        result = ie(command[0], "in.jsonl", *command[1:], "--to", "label_studio")
        assert (result.exit_code, "<View>" in result.stderr) == (0, True), result.stderr


def test_the_suffixes_of_parts() -> None:
    assert doctest.testmod(split) == (0, 2)
