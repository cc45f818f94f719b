"""Models of pairs are scored with the decision that was chosen on dev and stored."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.corpora import write_jsonl
from support.pairs import BINARY, graded, pair_recipe, pairs, write_pair_model
from support.runner import ie, said

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.inference import integrity
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import TrainedTask
from ie_cli.metrics.best_cuts import LARGEST
from ie_cli.metrics.pairs import PairScores
from ie_cli.recipe.schema import Recipe
from ie_cli.tasks import TASKS
from ie_cli.training.evaluator import Evaluator

GRADED = LabelSchema((), grades=(0.0, 5.0))


def final(
    directory: Path, *, schema: LabelSchema = BINARY, recipe: Recipe | None = None, **splits: list[Document] | None
) -> dict[str, PairScores]:
    """Score a model directory as the end of a run does."""
    recipe = pair_recipe() if recipe is None else recipe
    model = Extractor.from_pretrained(directory, device="cpu", precision="float32")
    data = {"documents": pairs(), "dev_documents": None, "test_documents": None} | splits
    task: Any = SimpleNamespace(
        name="match",
        task=TASKS["match"],
        section=recipe.instances()["match"],
        schema=schema,
        data=SimpleNamespace(**data, dev_is_train=False),
        unannotated=(),
    )
    setup: Any = SimpleNamespace(
        tasks={"match": task},
        precision="float32",
        model=model.model,
        tokenizer=model.tokenizer,
        pad_id=0,
        trained_tasks=lambda: model.tasks,
    )
    evaluator = Evaluator(recipe, setup)
    found = evaluator.final_scores(directory)
    assert evaluator.threshold_advice() == []
    assert evaluator.chosen() == {}
    scores: dict[str, Any] = {split: parts["match"] for split, parts in found.items()}
    return scores


def decision(directory: Path) -> list[float] | None:
    facts = json.loads((directory / "ie.json").read_text(encoding="utf-8"))
    found: list[float] | None = facts["tasks"]["match"].get("decision")
    return found


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_pair_model(tmp_path / "model")


DEV, TEST = pairs(18), pairs(24)[18:]


def test_the_decision_is_chosen_on_dev_and_used_on_test(model: Path) -> None:
    scores = final(model, dev_documents=DEV, test_documents=TEST)
    chosen = scores["dev"].decision
    assert chosen is not None
    assert decision(model) == list(chosen)
    assert scores["test"].decision is None  # not chosen again
    extractor = Extractor.from_pretrained(model, device="cpu")
    assert extractor.tasks["match"].decision == chosen
    predicted = extractor.predict(TEST)
    right = [found.label == gold.label for found, gold in zip(predicted, TEST, strict=True)]
    assert scores["test"].accuracy == sum(right) / len(right)
    assert all((found.score or 0) > chosen[0] for found in predicted if found.label == "1")
    assert {found.label for found in predicted} <= {"0", "1"}
    metrics = json.loads((model / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["dev"]["decision"] == list(chosen)
    assert "decision" not in metrics["test"]


def test_scoring_again_gives_the_same(model: Path) -> None:
    """A process that is killed after the decision was stored leaves a directory that the next one scores in the same way."""
    first = final(model, dev_documents=DEV, test_documents=TEST)
    files = {name: (model / name).read_bytes() for name in ("ie.json", "metrics.json", "README.md")}
    assert final(model, dev_documents=DEV, test_documents=TEST) == first
    assert {name: (model / name).read_bytes() for name in files} == files


def test_without_dev_nothing_is_stored(model: Path) -> None:
    scores = final(model, test_documents=TEST)
    assert decision(model) is None
    assert scores["test"].decision is not None
    assert "upper bound" in (model / "README.md").read_text(encoding="utf-8")


def test_grades_have_no_decision(tmp_path: Path) -> None:
    model = write_pair_model(tmp_path / "model", schema=GRADED)
    scores = final(model, schema=GRADED, dev_documents=graded(18), test_documents=graded(24)[18:])
    assert decision(model) is None
    assert scores["dev"].values().keys() == scores["test"].values().keys() == {"spearman", "pearson"}
    assert Extractor.from_pretrained(model, device="cpu").tasks["match"].schema.grades == (0.0, 5.0)


def test_eval_uses_the_stored_decision(model: Path, tmp_path: Path) -> None:
    write_pair_model(model, decision=(-LARGEST,))  # everything is similar
    gold = write_jsonl(tmp_path / "gold.jsonl", TEST)
    scored = json.loads(ie("eval", str(model), str(gold), "--json", "--quiet", "--device", "cpu").stdout)
    assert scored["accuracy"] == 0.5
    assert scored["labels"]["1"]["predicted"] == len(TEST)
    assert "decision" not in scored
    assert scored["errors"] == {"0 → 1": 3}
    write_pair_model(model)
    scored = json.loads(ie("eval", str(model), str(gold), "--json", "--quiet", "--device", "cpu").stdout)
    assert scored["accuracy"] >= 0.5
    assert len(scored["decision"]) == 1


@pytest.mark.parametrize("decided", [True, False])
def test_predictions_score_as_the_model(decided: bool, model: Path, tmp_path: Path) -> None:
    if decided:
        final(model, dev_documents=DEV)
    gold, found = write_jsonl(tmp_path / "gold.jsonl", TEST), str(tmp_path / "found.jsonl")
    assert ie("predict", str(gold), "--model", str(model), "-o", found, "--device", "cpu").exit_code == 0
    by_model = ie("eval", str(model), str(gold), "--json", "--quiet", "--device", "cpu")
    by_file = ie("eval", "--predictions", found, str(gold), "--json", "--quiet")
    assert json.loads(by_file.stdout) == json.loads(by_model.stdout)


def test_saved_results_and_reports(model: Path, tmp_path: Path) -> None:
    write_pair_model(model, decision=(-LARGEST,))
    gold = write_jsonl(tmp_path / "gold.jsonl", pairs(24))
    page, stored = tmp_path / "page.html", tmp_path / "page.json"
    train = write_jsonl(tmp_path / "train.jsonl", pairs(1))
    result = ie(
        *("eval", str(model), str(gold), "--device", "cpu", "--errors", "1", "--train", str(train)),
        *("--save", str(page), "--save", str(stored)),
    )
    assert result.exit_code == 0, result.stderr
    assert "Spearman" in result.stderr
    assert "average precision" in result.stderr
    assert "Spearman on pairs whose texts never occur in training" in result.stderr
    assert "of class" in result.stderr
    assert "Spearman" in page.read_text(encoding="utf-8")
    assert (
        json.loads(stored.read_text(encoding="utf-8"))["primary"]
        == json.loads(stored.read_text())["scores"]["spearman"]
    )


@pytest.mark.parametrize("option", [("--match", "strict"), ("--scorer", "seqeval"), ("--scorer", "duie")])
def test_options_of_other_tasks_are_refused(option: tuple[str, str], model: Path, tmp_path: Path) -> None:
    gold = write_jsonl(tmp_path / "gold.jsonl", TEST)
    assert "but these are pairs of texts" in said(ie("eval", str(model), str(gold), "--device", "cpu", *option))


@pytest.mark.parametrize("option", [("--threshold", "0.9"), ("--flat",), ("--nested",)])
@pytest.mark.parametrize("command", [("predict",), ("eval",)])
def test_options_of_entities_are_not_ignored(
    command: tuple[str], option: tuple[str, ...], model: Path, tmp_path: Path
) -> None:
    gold = write_jsonl(tmp_path / "gold.jsonl", TEST)
    message = said(ie(*command, str(gold), "--model", str(model), "--device", "cpu", *option))
    assert f"{option[0]} applies to entities and relations" in message


def test_data_without_pairs_are_refused(model: Path, tmp_path: Path) -> None:
    gold = write_jsonl(tmp_path / "gold.jsonl", [Document("red house")])
    assert "contains no pair" in said(ie("eval", str(model), str(gold), "--device", "cpu"))


def test_the_card_shows_how_to_predict_pairs(model: Path) -> None:
    final(model, dev_documents=DEV)
    card = (model / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: sentence-similarity" in card
    assert "type: spearman" in card
    assert 'extractor.extract([Document("…", text_pair="…")])' in card
    assert "from ie_cli import Document, Extractor" in card
    assert "jq -c '{label, score}'" in card


def test_the_recipe_says_what_the_decision_maximises(model: Path, tmp_path: Path) -> None:
    """A single similar pair of many, whose score is not the highest."""
    odd = [*(pair for pair in pairs(24) if pair.label == "0"), pairs(2)[1]]
    for document in odd[:2]:
        document.text_pair = document.text  # the most similar texts have the other class
    by = {}
    for measure in ("accuracy", "f1"):
        recipe = pair_recipe().model_copy(update={"head": pair_recipe().head.model_copy(update={"decision": measure})})
        write_pair_model(model, recipe)
        by[measure] = final(model, recipe=recipe, dev_documents=odd)["dev"]
        gold = write_jsonl(tmp_path / "gold.jsonl", odd)
        integrity.replace_tasks(model, {"match": TrainedTask(BINARY)})
        scored = json.loads(ie("eval", str(model), str(gold), "--json", "--quiet", "--device", "cpu").stdout)
        assert scored["f1"] == by[measure].f1
    assert (by["accuracy"].f1, by["f1"].f1) == (0, 0.5)
    assert (by["accuracy"].accuracy or 0) > (by["f1"].accuracy or 0)
