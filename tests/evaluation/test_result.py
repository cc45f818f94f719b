"""The result of an evaluation: its contents, and writing and reading its file; also for a custom task."""

from __future__ import annotations

import json
import platform
import re
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tokenizers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fakes import Oracle, characters, engine, score_engine

from ie_cli import __version__
from ie_cli.document import Document, Entity, Relation
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.errors import DataError
from ie_cli.evaluation.environment import describe_environment, processor
from ie_cli.evaluation.evaluate import evaluate_engine
from ie_cli.evaluation.prediction_files import evaluate_predictions
from ie_cli.evaluation.result import EvaluationResult, read_result, write_result
from ie_cli.inference.backends.onnx import OnnxBackend
from ie_cli.metrics.scores import Ceiling, DocumentCounts, ErrorRecord, ScoreTable
from ie_cli.reports.html import html_page
from ie_cli.tasks import TASKS, ScoringOptions
from ie_cli.tasks.ner import NerTask


def ids(text: str) -> tuple[int, ...]:
    return tuple(TextTokenizer(characters()).encode([text])[0].ids.tolist())


RUNNER = engine(Oracle({ids("北京"): [0], ids("北京大学"): [1]}, 2), ("place", "school"))
GOLD = [
    Document("去北京大学", [Entity(1, 3, "place"), Entity(1, 5, "school")], where="g:1"),
    Document("在上海和北京", [Entity(1, 3, "place"), Entity(4, 6, "river")], where="g:2"),
    Document("", []),
]
OPTIONS = ScoringOptions(documents=True)


def evaluated(**options: Any) -> EvaluationResult:
    return evaluate_engine(RUNNER, GOLD, task=TASKS["ner"], options=OPTIONS, model="m", data="g", **options)


def test_a_result_holds_scores_errors_counts_and_ceilings() -> None:
    count = Counter[str]()
    result = evaluated(keep=2, each=lambda: count.update(["seen"]))
    assert count["seen"] == 3
    assert (result.task, result.title) == ("ner", "m on g")
    plain = score_engine(RUNNER, GOLD)
    assert result.scores.to_dict() == plain.to_dict()
    assert result.documents == DocumentCounts([2, 2, 0], [2, 1, 0], [2, 0, 0])
    assert result.ceilings == {"entities": Ceiling(3, 4, {"label unknown to the model": 1})}
    assert result.errors.counts == {"label": 1, "boundary": 0, "both": 0, "missed": 1, "invented": 0}
    assert result.errors.line() == "1 wrong label, 0 wrong boundary, 0 wrong boundary and label, 1 missed, 0 invented"
    assert [(case.kind, case.where, case.gold) for case in result.errors.cases] == [
        ("label", "g:2", "'北京' river"),
        ("missed", "g:2", "'上海' place"),
    ]
    assert evaluated().errors.cases == ()


def test_options_are_checked_before_anything_is_predicted() -> None:
    options = replace(OPTIONS, match="text")
    with pytest.raises(DataError, match="--match applies to relations"):
        evaluate_engine(RUNNER, iter(()), task=TASKS["ner"], options=options, model="m", data="g")


SPAN = st.builds(
    lambda at, size, label: Entity(at, at + size, label),
    st.integers(0, 3),
    st.integers(1, 3),
    st.text("X\n\ud800<", min_size=1),
)  # noqa: E501
ENTITIES = st.lists(SPAN, max_size=3)
RELATIONS = st.lists(st.builds(Relation, SPAN, st.sampled_from(["p", "q"]), SPAN), max_size=2)
SIDES = st.builds(lambda e, r: Document("a\u2028\x00<\ud800f", e, r, where="d:1"), ENTITIES, RELATIONS)


@settings(max_examples=40)
@given(pairs=st.lists(st.tuples(SIDES, SIDES), max_size=3))
def test_a_stored_result_is_read_back_unchanged(pairs: list[tuple[Document, Document]], tmp_path_factory: Any) -> None:
    result = evaluate_predictions(pairs, options=OPTIONS, model="m", data="g", keep=3)
    path = str(tmp_path_factory.mktemp("r") / "r.json")
    write_result(result, path)
    same(read_result(path), result)


def same(stored: EvaluationResult, result: EvaluationResult) -> None:
    assert stored.scores.tables() == result.scores.tables()
    assert all(type(a) is type(b) for a, b in zip(numbers(stored), numbers(result), strict=True))
    assert stored.to_dict() == result.to_dict()
    assert (stored.errors, stored.documents, stored.ceilings) == (result.errors, result.documents, result.ceilings)
    assert html_page(stored) == html_page(result)


def numbers(result: EvaluationResult) -> list[float | int | None]:
    return [value for table in result.scores.tables() for _, row in (*table.rows, *table.summary) for value in row]


def test_a_file_has_one_field_per_line(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    result = evaluated(keep=1)
    write_result(result, str(path))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert (lines[0], lines[-1]) == ("{", "}")
    assert len(lines) == 2 + len(result.to_dict())
    assert '"documents": {"gold": [2, 2, 0], "predicted": [2, 1, 0], "correct": [2, 0, 0]},' in lines
    assert json.loads(path.read_text(encoding="utf-8"))["scores"] == result.scores.to_dict()
    same(read_result(str(path)), result)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "a result of version 2; this `ie` reads version 1"),
        ({"version": None}, "a result of version None"),
        ({"tables": [{}]}, "not the result of an evaluation"),
        (
            {"tables": [{"title": "", "columns": [], "rows": [["a", ["1"]]], "summary": [], "notes": []}]},
            "only numbers",
        ),
        ({"errors": []}, "not the result of an evaluation"),
        ({"documents": {"gold": []} | {"more": []}}, "not the result of an evaluation"),
        ({"values": 1}, "not the result of an evaluation"),
        ({"environment": None}, "not the result of an evaluation"),
    ],
)
def test_an_invalid_result_is_an_error(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(evaluated().to_dict() | change), encoding="utf-8")
    with pytest.raises(DataError) as error:
        read_result(str(path))
    assert error.value.message.startswith(f"{path}: ")
    assert message in error.value.message
    assert "`ie eval --save FILE.json`" in (error.value.hint or "")


@pytest.mark.parametrize("text", ["", "[]", "7", "{", '{"text": "a"}', "[" * 100_000])
def test_other_files_are_not_results(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="not the result of an evaluation"):
        read_result(str(tmp_path / "r.json"))


def test_the_environment_names_what_was_used() -> None:
    found = describe_environment()
    assert found["ie"] == __version__
    assert found["python"] == platform.python_version()
    assert found["tokenizers"] == tokenizers.__version__
    assert found["torch"] == torch.__version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", found["date"])
    assert found["processor"] == processor() != ""
    assert not {"device", "backend", "precision"} & found.keys()
    assert platform.node() not in found.values()


def test_the_environment_describes_how_a_model_ran(tmp_path: Path) -> None:
    module = torch.nn.Linear(1, 1)
    found = describe_environment(SimpleNamespace(model=module, precision="bfloat16"))  # type: ignore[arg-type]
    assert [found[name] for name in ("backend", "device", "precision")] == ["torch", "cpu", "bfloat16"]
    assert describe_environment(RUNNER.backend)["backend"] == "Oracle"
    exported = OnnxBackend.__new__(OnnxBackend)
    exported.file = tmp_path / "model.onnx"
    assert "precision" not in describe_environment(exported)
    (tmp_path / "export.json").write_text('{"precision": "int8"}')
    found = describe_environment(exported)
    assert [found[name] for name in ("backend", "device", "precision")] == ["onnxruntime", "cpu", "int8"]
    (tmp_path / "export.json").write_text("{")
    assert "precision" not in describe_environment(exported)


@dataclass(frozen=True)
class Distance:
    """Scores that are not counts."""

    values_: list[float]

    @property
    def primary(self) -> float:
        return -sum(self.values_)

    documents = None
    support = 1
    ceilings: Mapping[str, Ceiling] = field(default_factory=dict)

    def values(self) -> dict[str, float]:
        return {"distance": self.primary}

    def tables(self) -> list[ScoreTable]:
        return [ScoreTable("", ("what", "distance", "pairs"), (("all", (self.primary, len(self.values_))),))]

    def to_dict(self) -> dict[str, Any]:
        return {"distance": self.primary}


@dataclass
class DistanceScorer:
    """Scores the distance between the marks in `meta`."""

    found: list[float] = field(default_factory=list)

    def add(self, gold: Document, predicted: Document) -> None:
        self.found.append(abs(gold.meta.get("mark", 0) - predicted.meta.get("mark", 0)))

    def scores(self, ceilings: Mapping[str, Ceiling] | None = None) -> Distance:
        return Distance(self.found)


class Far:
    """Marks that are far from each other."""

    kinds: Mapping[str, str] = {"far": "far away"}

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.samples: dict[str, list[Any]] = {"far": []}

    def add(self, gold: Document, predicted: Document) -> None:
        if gold.meta != predicted.meta:
            self.counts["far"] += 1
            made = ErrorRecord(kind="far", where="", line="far", text=gold.text, gold="1", predicted="2", marks=())
            self.samples["far"].append(SimpleNamespace(record=lambda: made))


class MarkTask(NerTask):
    """A task that is only defined in this file."""

    name = "mark"
    words = replace(NerTask.words, item="mark", items="marks")

    def items(self, document: Document) -> set[Hashable]:
        return set(document.meta.items())

    def scorer(self, schema: Any, options: ScoringOptions) -> Any:
        return DistanceScorer()

    def errors(self, keep: int, options: ScoringOptions) -> Any:
        return Far()


def test_a_task_of_its_own_is_evaluated_stored_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "mark", MarkTask())  # type: ignore[arg-type]
    pair = Document("a", meta={"mark": 1}), Document("a", meta={"mark": 3})
    result = evaluate_predictions([pair], options=OPTIONS, model="m", data="g")
    assert (result.task, result.scores.primary, result.documents) == ("mark", -2, None)
    assert result.errors.line() == "1 far away"
    write_result(result, str(tmp_path / "r.json"))
    same(read_result(str(tmp_path / "r.json")), result)
    predicted = evaluate_engine(RUNNER, [pair[0]], task=TASKS["mark"], options=OPTIONS, model="m", data="g")
    assert predicted.scores.values() == {"distance": 0}
    assert "far away" in html_page(result)
