"""What the commands say about texts that are unlike those that a model was trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.pairs import write_pair_model
from support.runner import ie, said
from support.untrained import write_model

from ie_cli.commands.inputs import ModelChoice
from ie_cli.data.label_schema import LabelSchema
from ie_cli.inference.integrity import replace_tasks
from ie_cli.inference.model_directory import SeenTexts, TrainedTask

LONG = "王伟在青川大学。" * 4


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = write_model(tmp_path_factory.mktemp("model") / "model")
    replace_tasks(model, {"ner": TrainedTask(LabelSchema(("person", "place")), seen=SeenTexts(8, 2, 1))})
    return model


@pytest.fixture
def model(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model of texts with 8 characters and 2 sentences; `x.txt` has a long text and two short ones."""
    monkeypatch.chdir(tmp_path)
    Path("x.txt").write_text(f"{LONG}\n王伟。\n王伟在青川\n", encoding="utf-8")
    return str(stored)


def predicted(model: str, *options: str, file: str = "x.txt") -> tuple[str, list[dict[str, object]]]:
    done = ie("predict", file, "--text", "--model", model, "--threshold", "0.99", "--batch-size", "1", *options)
    assert done.exit_code == 0, done.stderr
    return said(done), [json.loads(line) for line in done.stdout.splitlines()]


def test_cut_texts_are_counted(model: str) -> None:
    message, cut = predicted(model)
    assert "1 of 3 texts had more than 2 sentences, unlike 99 % of the training texts" in message
    assert "cut into groups of up to 1 sentence (--split never" in message
    message, whole = predicted(model, "--split", "never")
    assert (
        "1 of 3 texts had more than 16 tokens, but 99 % of the training texts at most 8, and were annotated whole"
        in message
    )
    assert "--split auto cuts them at sentence ends" in message
    assert cut[1:] == whole[1:]
    assert [record["text"] for record in cut] == [record["text"] for record in whole] == [LONG, "王伟。", "王伟在青川"]
    message, each = predicted(model, "--split", "sentences", "--quiet")
    assert message == ""
    assert each[1]["text"] == "王伟。"


def test_a_text_without_sentence_ends_is_reported(model: str) -> None:
    Path("y.txt").write_text("王伟在青川" * 8 + "\n", encoding="utf-8")
    message, _ = predicted(model, file="y.txt")
    assert "1 of 1 text had more than 16 tokens" in message
    assert "annotated whole" in message
    assert "they have too few sentence ends" in message


def test_a_job_that_names_no_split_is_that_of_an_earlier_version() -> None:
    assert "split" not in ModelChoice("model").options()
    assert ModelChoice("model", split="never").options()["split"] == "never"


def test_pairs_have_no_sentences_to_split(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "a", "text_pair": "b"}\n', encoding="utf-8")
    model = str(write_pair_model(tmp_path / "model"))
    wrong = ie("predict", str(tmp_path / "x.jsonl"), "--model", model, "--split", "sentences")
    assert wrong.exit_code == 1
    assert "--split applies to entities and relations, but the model compares pairs of texts" in said(wrong)
