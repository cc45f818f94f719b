"""Model directories of older versions load, and predict and score as they did then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from support.old_versions import FORMAT_2, assert_predicts, assert_scores

from ie_cli.document import Document, Entity
from ie_cli.inference.extractor import Extractor

OPTIONS = {"ner/model": ["--precision", "float32"], "relation/model": ["--precision", "float32"], "ner/onnx": []}
"""Of each model; an exported one has its precision."""


def texts(model: str) -> Path:
    return FORMAT_2 / model.split("/")[0] / "texts.json"


@pytest.mark.parametrize("model", OPTIONS)
def test_a_model_directory_of_format_2_predicts_as_it_did(model: str, tmp_path: Path) -> None:
    found = tmp_path / "found.jsonl"
    assert_predicts(FORMAT_2 / model, texts(model), FORMAT_2 / f"{model}.jsonl", found, options=OPTIONS[model])


@pytest.mark.parametrize("model", OPTIONS)
def test_a_model_directory_of_format_2_is_scored_as_it_was(model: str) -> None:
    assert_scores(FORMAT_2 / model, texts(model), FORMAT_2 / f"{model}.scores.json", options=OPTIONS[model])


@pytest.mark.parametrize("model", OPTIONS)
def test_the_python_api_loads_a_model_directory_of_format_2(model: str) -> None:
    stored = [json.loads(line) for line in (FORMAT_2 / f"{model}.jsonl").read_text("utf-8").splitlines()]
    precision: Literal["auto", "float32"] = "auto" if model.endswith("onnx") else "float32"
    extractor = Extractor.from_pretrained(FORMAT_2 / model, device="cpu", precision=precision)
    found = list(extractor.extract(record["text"] for record in stored))
    assert [spans(document) for document in found] == [stored_spans(record) for record in stored]
    assert sum(len(document.entities) for document in found) > 30
    assert (sum(len(document.relations) for document in found) > 20) == model.startswith("relation")


def spans(document: Document) -> list[tuple[object, ...]]:
    """Entities and relations without their scores."""
    relations = [(span(r.subject), r.predicate, span(r.object)) for r in document.relations]
    return [*map(span, document.entities), *relations]


def span(entity: Entity) -> tuple[int, int, str]:
    return entity.start, entity.end, entity.label


def stored_spans(record: dict[str, list[dict[str, Any]]]) -> list[tuple[object, ...]]:
    """The same of a line of predictions."""
    relations = [
        (stored_span(r["subject"]), r["predicate"], stored_span(r["object"])) for r in record.get("relations", [])
    ]
    return [*map(stored_span, record.get("entities", [])), *relations]


def stored_span(entity: dict[str, Any]) -> tuple[int, int, str]:
    return entity["start"], entity["end"], entity["label"]
