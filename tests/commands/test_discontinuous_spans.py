"""Discontinuous spans, which models do not learn: every command that reads data says so with their number."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.html_page import Page
from support.runner import ie, said

from ie_cli.document import Document
from ie_cli.document.discontinuous import discontinuous_spans

TEXT = "Ann saw the left and the right ventricle in Rome"
LINES = "T1\tperson 0 3\tAnn\nT2\tpart 12 16;31 40\tleft ventricle\nT3\tcity 44 48\tRome\n"
REPORT = "kept in the field 'brat' of native JSON alone, not learned: discontinuous spans: 12"
COMMANDS = {
    "check": ("check", "DATA"),
    "init": ("init", "DATA", "--encoder", "tiny"),
    "stats": ("stats", "DATA"),
    "view": ("view", "DATA"),
    "view --html": ("view", "DATA", "--html", "out.html"),
    "convert": ("convert", "DATA", "out.jsonl"),
    "convert --to csv": ("convert", "DATA", "out.csv"),
    "split": ("split", "DATA", "-o", "parts", "--dev", "0.5", "--test", "0"),
    "merge": ("merge", "DATA", "-o", "out.jsonl"),
    "diff": ("diff", "DATA", "DATA"),
    "eval": ("eval", "--predictions", "DATA", "DATA"),
    "train": ("train", "recipe.yaml", "-o", "run"),
}


@pytest.fixture(params=["brat", "brat.jsonl"])
def data(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A directory of brat, or what `ie convert` makes of it."""
    monkeypatch.chdir(tmp_path)
    Path("brat").mkdir()
    for number in range(12):
        Path(f"brat/{number:02}.txt").write_text(TEXT + f" {chr(97 + number)}{number}" * 40, encoding="utf-8")
        Path(f"brat/{number:02}.ann").write_text(LINES, encoding="utf-8")
    name = str(request.param)
    if name != "brat":
        assert ie("convert", "brat", name, "-q").exit_code == 0
    Path("recipe.yaml").write_text(
        f"name: r\ndata: {{train: {name}}}\nencoder: {{name: hash_cnn}}\ntraining: {{epochs: 1, device: cpu}}\n",
        encoding="utf-8",
    )
    return name


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_counts_them(command: tuple[str, ...], data: str) -> None:
    result = ie(*(data if word == "DATA" else word for word in command))
    assert result.exit_code == 0, result.stderr
    assert f"{data}: {REPORT}" in said(result)
    if command[-1] == "out.csv":
        assert "warning: other fields of the records" in said(result)


def test_they_are_shown_below_their_text(data: str) -> None:
    shown = ie("view", data).stdout
    assert shown.count("  left … ventricle (part), discontinuous\n") == 12
    assert ie("view", data, "--html", "out.html").exit_code == 0
    page = Page(Path("out.html").read_text(encoding="utf-8"))
    assert page.shown.count("part left … ventricle (discontinuous)") == 12


def test_lines_that_do_not_fit_are_none() -> None:
    lines = ["T1\tx 0 1;2 3\ta c", "T2\tx 0 1;2 99\ta", "T3\tx 0 1\ta", "T4\tx 0 1;1 2\tab", "T5 x", 7, "R1\tT 0 1;2 3"]
    [only] = discontinuous_spans(Document("abc", meta={"brat": lines}))
    assert (only.label, only.pieces, only.mention("abc")) == ("x", ((0, 1), (2, 3)), "a … c")
    assert discontinuous_spans(Document("abc", meta={"brat": "T1"})) == []
