"""`ie eval --predictions`: seqeval beside the default scores, and results in files; no model is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.corpora import write_jsonl
from support.runner import ie, said

from ie_cli.document import Document, Entity
from ie_cli.evaluation.result import read_result

GOLD = [
    Document("Anna met Bob", [Entity(0, 4, "name"), Entity(9, 12, "name")]),
    Document("Wien", [Entity(0, 4, "place")]),
]
GUESS = [
    Document("Anna met Bob", [Entity(0, 4, "name"), Entity(5, 8, "place")]),
    Document("Wien", [Entity(0, 4, "place")]),
]
EVAL = ("eval", "--predictions", "out.jsonl", "gold.jsonl")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with gold data and predictions."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "gold.jsonl", GOLD)
    write_jsonl(tmp_path / "out.jsonl", GUESS)
    return tmp_path


def fields(*options: str) -> dict[str, Any]:
    result = ie(*EVAL, "--json", *options)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_seqeval_scores_appear_beside_the_default_scores() -> None:
    found = fields("--scorer", "seqeval")
    for mode in ("default", "strict"):
        report = found["seqeval"][mode]
        assert report["micro avg"]["f1-score"] == pytest.approx(found["f1"])
        assert report["macro avg"]["f1-score"] == pytest.approx(found["macro_f1"])
        for label, scores in found["labels"].items():
            assert report["labels"][label]["precision"] == scores["precision"]
            assert report["labels"][label]["support"] == scores["gold"]
    assert found.pop("seqeval")
    assert found == fields()


def test_seqeval_is_printed_in_tables_of_its_own() -> None:
    result = ie(*EVAL, "--scorer", "seqeval")
    for part in (
        "out.jsonl on gold.jsonl: seqeval, default mode",
        "out.jsonl on gold.jsonl: seqeval, strict mode (IOB2)",
        "weighted avg",
        "support",
        "all (micro)",
    ):
        assert part in result.stderr, part
    assert result.stdout == ""
    assert "seqeval" not in ie(*EVAL).stderr


def test_predictions_that_overlap_are_refused_with_what_to_do(here: Path) -> None:
    write_jsonl(here / "out.jsonl", [Document("Anna met Bob", [Entity(0, 4, "name"), Entity(0, 8, "name")]), GUESS[1]])
    result = ie(*EVAL, "--scorer", "seqeval")
    assert result.exit_code == 1
    assert "out.jsonl:1: predicted entities overlap: 'name' 0-4 and 'name' 0-8" in said(result)
    assert "hint: predict without overlaps (--flat)" in said(result)


def test_a_result_has_examples_of_errors_even_if_none_are_printed() -> None:
    result = ie(*EVAL, "--save", "r.json", "--quiet")
    assert result.exit_code == 0
    assert "result:" not in result.stderr
    stored = read_result("r.json")
    assert [case.line for case in stored.errors.cases] == [
        "gold.jsonl:1: Anna met Bob; gold 'Bob' name; predicted nothing",
        "gold.jsonl:1: Anna met Bob; gold nothing; predicted 'met' place",
    ]
    assert "missed: gold" not in result.stderr
    assert stored.documents is not None
    assert stored.documents.to_dict() == {"gold": [2, 1], "predicted": [2, 1], "correct": [1, 1]}
    assert not {"backend", "device"} & stored.environment.keys()


@pytest.mark.parametrize("name", ["gold.jsonl", "out.jsonl"])
def test_what_is_read_is_not_replaced(here: Path, name: str) -> None:
    (here / "r.json").symlink_to(here / name)
    before = (here / name).read_bytes()
    result = ie(*EVAL, "--save", "r.json")
    assert result.exit_code == 1
    assert "r.json: this file is also an input" in said(result)
    assert (here / name).read_bytes() == before


def test_duie_is_ignored_if_gold_has_no_relations() -> None:
    result = ie(*EVAL, "--scorer", "duie")
    assert result.exit_code == 0
    assert "warning: --scorer duie is ignored: the gold data contain no relations" in said(result)
    assert "warning" not in ie(*EVAL, "--match", "text").stderr


def test_gold_without_annotation_is_reported(here: Path) -> None:
    (here / "plain.jsonl").write_text('{"text": "Wien"}\n')
    for option in ((), ("--scorer", "duie"), ("--scorer", "seqeval")):
        result = ie("eval", "--predictions", "plain.jsonl", "plain.jsonl", *option)
        assert result.exit_code == 1
        assert "plain.jsonl: contains no entity" in said(result)
