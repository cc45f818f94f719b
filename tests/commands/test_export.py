"""What `ie export` reads of what a model directory names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.corpora import documents, recipe, relation_documents, relation_recipe, write_jsonl
from support.runner import ie, said
from support.untrained import write_model

from ie_cli.commands import export
from ie_cli.commands.inputs import Input
from ie_cli.data.label_schema import LabelSchema
from ie_cli.errors import ModelError
from ie_cli.inference.model_directory import TrainedTask
from ie_cli.recipe.loader import dump_recipe

OUTSIDE = ["../secret.jsonl", "ABSOLUTE", "link.jsonl", "hub:directory", "memory://stranger/x.jsonl", "-", "pipe"]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("export") / "model")


@pytest.fixture
def here(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, beside a private file."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes")
    work = tmp_path / "work"
    (work / "directory").mkdir(parents=True)
    write_jsonl(tmp_path / "secret.jsonl", documents(5))
    write_jsonl(work / "dev.jsonl", documents(5))
    write_jsonl(work / "directory" / "train.jsonl", documents(5))
    (work / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    os.mkfifo(work / "pipe")
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources that are read; the graph itself is not written."""
    found: list[str] = []

    def note(self: Any, reading: Any) -> Any:
        found.extend(self.sources)
        return ((self.sources[0], document) for document in documents(5))

    def stop(*_: Any, **__: Any) -> None:
        raise ModelError("would be written now")

    monkeypatch.setattr("ie_cli.data.dataset.Split.read", note)
    monkeypatch.setattr("ie_cli.export.onnx.export_onnx", stop)
    return found


def strange(pristine: Path, here: Path, dev: str) -> str:
    """A model whose recipe names some dev data."""
    directory = here.parent / "model"
    shutil.copytree(pristine, directory, dirs_exist_ok=True)
    made = recipe(Path("train.jsonl"), data={"dev": dev})
    (directory / "recipe.yaml").write_text(dump_recipe(made), encoding="utf-8")
    return str(directory)


@pytest.mark.parametrize("dev", OUTSIDE)
def test_what_lies_elsewhere_is_not_read_unasked(pristine: Path, here: Path, reads: list[str], dev: str) -> None:
    dev = str(here.parent / "secret.jsonl") if dev == "ABSOLUTE" else dev
    model = strange(pristine, here, dev)
    run = ie("export", model, "out")
    assert run.exit_code == 1
    assert reads == []
    assert f"not read without confirmation: {dev}" in said(run)
    assert "--yes" in said(run)
    assert "would be written now" in said(ie("export", model, "out", "--yes"))
    assert reads == [dev]


def test_plain_files_below_the_current_directory_are_read(pristine: Path, here: Path, reads: list[str]) -> None:
    assert "would be written now" in said(ie("export", strange(pristine, here, "dev.jsonl"), "out"))
    assert reads == ["dev.jsonl"]


def test_data_of_the_user_are_read_instead(pristine: Path, here: Path, reads: list[str]) -> None:
    run = ie("export", strange(pristine, here, "../secret.jsonl"), "out", "--data", "dev.jsonl")
    assert "would be written now" in said(run)
    assert reads == []


def test_no_answer_opens_other_protocols(pristine: Path, here: Path, reads: list[str]) -> None:
    run = ie("export", strange(pristine, here, "reference://x::memory://y"), "out", "--yes")
    assert "reference://x::memory://y: chained protocols (::)" in said(run)
    assert reads == []


@pytest.mark.parametrize(("answer", "read"), [("y", ["../secret.jsonl"]), ("n", []), ("", [])])
def test_on_a_terminal_it_asks_and_shows_what_it_would_read(
    pristine: Path, here: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch, answer: str, read: list[str]
) -> None:
    monkeypatch.setattr(export, "_is_terminal", lambda: True)
    run = ie("export", strange(pristine, here, "../secret.jsonl"), "out", stdin=f"{answer}\n")
    assert run.exit_code == 1
    assert "the model's recipe names dev data outside the current directory: ../secret.jsonl Read them? [y/N]" in said(
        run
    )
    assert reads == read
    assert ("were not read" in said(run)) == (not read)
    assert run.stdout == ""


@pytest.mark.parametrize("given", [False, True])
def test_gold_relations_of_a_predicate_that_the_model_predicts_are_not_skipped(tmp_path: Path, given: bool) -> None:
    """A model of an earlier version may predict `NA`, which new recipes take for the absence of a relation."""
    documents = relation_documents(annotated=True)[:2]
    predicate = documents[0].relations[0].predicate
    file = write_jsonl(tmp_path / "dev.jsonl", documents)
    file.write_text(file.read_text(encoding="utf-8").replace(predicate, "NA"), encoding="utf-8")
    made = relation_recipe(file, data={"dev": str(file)})
    for known in ((), ("NA",)):
        model: Any = SimpleNamespace(recipe=made, tasks={made.task: TrainedTask(LabelSchema(("x",), known))})
        gold, _ = export._gold(model, Input(str(file)) if given else None, yes=True, quiet=True)
        found = {relation.predicate for document in gold[str(made.task)] for relation in document.relations}
        assert ("NA" in found) == bool(known)
