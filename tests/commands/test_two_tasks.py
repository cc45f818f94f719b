"""A model of two tasks in the commands: scores by task, one pass over the encoder, all heads in the exported graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.corpora import as_json, documents, relation_documents, write_jsonl
from support.pair_engines import BINARY, extractor_of
from support.runner import ie, said
from support.two_tasks import LINKS, NAMES, two_tasks

from ie_cli.document import Document
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import TrainedTask
from ie_cli.recipe.loader import dump_recipe
from ie_cli.training.run import train


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a trained model, its export and data that both tasks have."""
    directory = tmp_path_factory.mktemp("two")
    made = two_tasks(directory, balance="grad_norm", select="worst", epochs=25, head_learning_rate=1e-2)
    (directory / "recipe.yaml").write_text(dump_recipe(made), encoding="utf-8")
    list(train(made, directory / "run"))
    write_jsonl(directory / "both.jsonl", relation_documents(annotated=True))
    exported = ie("export", str(directory / "run" / "model"), str(directory / "exported"), "--yes")
    assert exported.exit_code == 0, exported.stderr
    return directory


def scores(model: Path, data: Path, task: str) -> Any:
    result = ie("eval", str(model), str(data), "--task", task, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_the_comparison_of_an_export_names_the_task_whose_score_it_is(here: Path) -> None:
    facts = json.loads((here / "exported" / "export.json").read_text(encoding="utf-8"))
    assert facts["parity"]["metric"] in (f"F1 of {NAMES}", f"F1 of {LINKS}")


@pytest.mark.parametrize("model", ["run/model", "exported"])
@pytest.mark.parametrize("task", [NAMES, LINKS])
def test_each_task_has_the_scores_that_training_reported(model: str, task: str, here: Path) -> None:
    metrics = json.loads((here / "run" / "model" / "metrics.json").read_text(encoding="utf-8"))
    found = scores(here / model, here / f"{task}.jsonl", task)
    assert found["f1"] == pytest.approx(metrics["dev"][task]["f1"])
    assert found["f1"] > 0.5


def test_the_task_must_be_named_and_known(here: Path) -> None:
    model, data = str(here / "run" / "model"), str(here / "names.jsonl")
    assert "names, links" in said(ie("eval", model, data))
    assert "the model has the tasks names, links; got name" in said(ie("eval", model, data, "--task", "name"))


def test_both_heads_predict_in_one_pass_over_the_encoder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = Extractor.from_pretrained(here / "run" / "model", device="cpu", precision="float32")
    encoder = extractor.backend.model.encoder  # type: ignore[attr-defined]
    seen = 0

    def count(module: torch.nn.Module, args: Any, kwargs: Any) -> None:
        nonlocal seen
        seen += len(kwargs["input_ids"])

    encoder.register_forward_pre_hook(count, with_kwargs=True)
    texts = [document.text for document in relation_documents(annotated=True)]
    found = list(extractor.extract(texts))
    assert seen == len(texts)
    assert any(document.relations for document in found)
    labels = {entity.label for document in found for entity in document.entities}
    assert labels <= {"person", "place", "school"}


def test_predictions_have_the_items_of_both_heads_and_the_export_agrees(here: Path) -> None:
    lines = {}
    for model in ("run/model", "exported"):
        result = ie("predict", str(here / "both.jsonl"), "--model", str(here / model), "--quiet")
        assert result.exit_code == 0, result.stderr
        lines[model] = as_json(result.stdout)
    assert len(lines["exported"]) == 20
    for field in ("entities", "relations"):
        one, other = ([record[field] for record in found] for found in lines.values())
        assert any(one)
        assert [len(part) for part in one] == [len(part) for part in other]  # type: ignore[arg-type]


def test_the_documents_in_doubt_are_those_of_both_tasks_and_the_export_agrees(here: Path) -> None:
    chosen: dict[tuple[str, str], list[Any]] = {}
    for model in ("run/model", "exported"):
        arguments = "predict", str(here / "both.jsonl"), "--model", str(here / model)
        records = {record["id"]: record for record in as_json(ie(*arguments).stdout)}
        for option in (("--below", "0.95"), ("--uncertain", "5")):
            result = ie(*arguments, *option)
            assert result.exit_code == 0, result.stderr
            found = as_json(result.stdout)
            assert [records[record["id"]] for record in found] == found
            chosen[model, option[0]] = [record["id"] for record in found]
    for option in ("--below", "--uncertain"):
        assert chosen["run/model", option] == chosen["exported", option]
    below = chosen["exported", "--below"]
    assert 0 < len(below) < 20
    assert below == sorted(below)
    assert len(chosen["exported", "--uncertain"]) == 5


def test_a_single_task_is_predicted_if_it_is_named(here: Path) -> None:
    data, model = str(here / "both.jsonl"), str(here / "run" / "model")
    found = {task: as_json(ie("predict", data, "--model", model, "--task", task).stdout) for task in (NAMES, LINKS)}
    assert any(record.get("relations") for record in found[LINKS])
    assert not any(record.get("relations") for record in found[NAMES])
    assert any(record["entities"] for record in found[NAMES])
    assert "the model has the tasks names, links; got name" in said(
        ie("predict", data, "--model", model, "--task", "name")
    )


def test_scores_that_a_record_has_no_place_for_are_reported(tmp_path: Path) -> None:
    task = TrainedTask(BINARY, decision=(0.5,))
    model = extractor_of({"cls": ({"name": "cosent", "pooling": "cls"}, task), "mean": ({"name": "cosent"}, task)})
    model.save_pretrained(tmp_path / "model")
    write_jsonl(tmp_path / "pairs.jsonl", [Document("王伟在青川", text_pair="李娜"), Document("李娜")])
    arguments = "predict", str(tmp_path / "pairs.jsonl"), "--model", str(tmp_path / "model")
    both, one, last = (ie(*arguments, *named) for named in ((), ("--task", "cls"), ("--task", "mean")))
    assert "1 pair scored by the tasks cls, mean, but a record has one score" in both.stderr
    assert "--task" not in one.stderr + last.stderr
    assert both.stdout == last.stdout != one.stdout


def test_the_recipe_is_checked_with_its_methods(here: Path) -> None:
    write_jsonl(here / "other.jsonl", documents()[5:])
    recipe = [
        "check",
        str(here / "recipe.yaml"),
        "--set",
        f"tasks.{NAMES}.data.dev=0.3",
        "--set",
        f"tasks.{LINKS}.data.dev=0.3",
    ]
    assert ie(*recipe).exit_code == 0
    wrong = ie(*recipe, "--set", "training.balance=main_auxiliary")
    assert wrong.exit_code == 1
    assert "training.balance.main: is missing: name the main task" in said(wrong)
