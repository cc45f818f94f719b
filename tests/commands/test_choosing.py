"""`ie predict --below` and `--uncertain`: which documents are written, and what cannot be asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.corpora import as_json, documents, write_jsonl
from support.pair_engines import BINARY, GRADES, extractor_of
from support.runner import ie, said

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.inference.model_directory import TrainedTask

NAMES = LabelSchema(("person", "place"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("choosing") / "model"
    extractor_of({"names": ({"name": "crf"}, TrainedTask(NAMES))}).save_pretrained(directory)
    return str(directory)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("in.jsonl"), documents(12))


def test_the_most_uncertain_are_written_to_a_file_in_any_format(model: str) -> None:
    result = ie("predict", "in.jsonl", "-m", model, "--uncertain", "4", "-o", "out.jsonl")
    assert (result.exit_code, result.stderr) == (0, "4 records written to out.jsonl\n")
    chosen = as_json(Path("out.jsonl").read_text(encoding="utf-8"))
    assert len({json.dumps(record) for record in chosen}) == 4
    every = as_json(ie("predict", "in.jsonl", "-m", model).stdout)
    assert all(record in every for record in chosen)
    other = as_json(ie("predict", "in.jsonl", "-m", model, "--uncertain", "4", "--to", "cluener").stdout)
    assert len(other) == 4
    assert ie("predict", "in.jsonl", "-m", model, "--uncertain", "4").stdout == Path("out.jsonl").read_text("utf-8")


def test_fewer_documents_in_doubt_than_are_wanted_are_reported(model: str) -> None:
    result = ie("predict", "in.jsonl", "-m", model, "--uncertain", "100")
    written = len(result.stdout.splitlines())
    assert f"{written} records chosen; nothing is in doubt in {12 - written} other record" in said(result)
    assert ie("predict", "in.jsonl", "-m", model, "--uncertain", "100", "--quiet").stderr == ""


def test_bad_lines_are_handled_as_without_a_choice(model: str) -> None:
    with Path("in.jsonl").open("a", encoding="utf-8") as file:
        file.write("{bad\n")
    for option in (("--uncertain", "2"), ("--below", "0.99")):
        arguments = "predict", "in.jsonl", "-m", model, *option
        assert "in.jsonl:13" in said(ie(*arguments))
        kept = as_json(ie(*arguments, "--on-error", "keep").stdout)
        assert [record["line"] for record in kept if "error" in record] == ["{bad"]
        if option[0] == "--below":
            assert f"{len(kept) - 1} records chosen" in said(ie(*arguments, "--on-error", "keep"))
        skipped = ie(*arguments, "--rejects", "bad.jsonl")
        assert (skipped.exit_code, "1 bad line skipped" in said(skipped)) == (0, True)
        assert len(as_json(skipped.stdout)) == len(kept) - 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--uncertain", "3", "--below", "0.9"), "--below and --uncertain exclude each other"),
        (("--uncertain", "3", "-o", "x.jsonl", "--resume"), "--uncertain chooses after the last document"),
        (("--below", "0.4"), "no predicted item has a lower score, because the threshold is 0.5"),
        (("--below", "0.7", "--threshold", "0.8"), "because the threshold is 0.8"),
        (("--uncertain", "0"), "--uncertain"),
    ],
)
def test_what_cannot_be_chosen_is_an_error(options: tuple[str, ...], message: str, model: str) -> None:
    result = ie("predict", "in.jsonl", "-m", model, *options)
    assert result.exit_code != 0
    assert message in said(result).replace("│ ", "")
    assert not result.stdout
    assert not Path("x.jsonl").exists()


def test_pairs_are_chosen_by_their_classes_and_not_by_grades(tmp_path: Path) -> None:
    data = [Document("王伟在青川", text_pair=text) for text in ("李娜", "王伟在青川", "年年")]
    write_jsonl(Path("pairs.jsonl"), data)
    for name, task in (("classes", TrainedTask(BINARY, decision=(0.5,))), ("grades", TrainedTask(GRADES))):
        extractor_of({"m": ({"name": "cosent"}, task)}).save_pretrained(name)
    assert len(ie("predict", "pairs.jsonl", "-m", "classes", "--uncertain", "2").stdout.splitlines()) == 2
    result = ie("predict", "pairs.jsonl", "-m", "grades", "--uncertain", "2")
    assert (result.exit_code, "--uncertain needs classes or a threshold" in said(result)) == (1, True)
