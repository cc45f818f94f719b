"""Pairs of texts in the service: requests, answers, and the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.pair_engines import BINARY, CLASSES, extractor_of

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.formats.jsonl import to_fields
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import TrainedTask
from ie_cli.serving.app import Service, build_app, model_facts
from ie_cli.serving.limits import Limits
from ie_cli.serving.worker import Worker

NAMES = ({"name": "efficient_global_pointer", "head_size": 8}, TrainedTask(LabelSchema(("person", "place"))))
ALIKE = ({"name": "cosent"}, TrainedTask(BINARY, decision=(0.9,)))
JOINED = ({"name": "cross_encoder"}, TrainedTask(CLASSES))
PAIRS = [("王伟在青川", "李娜在东湖"), ("李娜在东湖", "李娜在东湖"), ("", "在" * 100), ("王伟在青川" * 30, "")]


def served(model: Extractor) -> Iterator[TestClient]:
    worker = Worker(model.engine(), slots=10, seconds=20)
    worker.calibrate()
    facts = model_facts(model.recipe, model.tasks)
    app = build_app(Service(worker, facts, Limits(max_text=500), None, None, lambda number, error: None))
    with TestClient(app) as client:
        yield client
    worker.close()


@pytest.fixture(scope="module")
def both() -> Extractor:
    return extractor_of({"names": NAMES, "alike": ALIKE})


@pytest.fixture(scope="module")
def mixed(both: Extractor) -> Iterator[TestClient]:
    yield from served(both)


@pytest.fixture(scope="module")
def joined() -> Iterator[TestClient]:
    yield from served(extractor_of({"joined": JOINED}))


def post(client: TestClient, body: Any) -> Any:
    return client.post("/predict", content=json.dumps(body), headers={"Content-Type": "application/json"})


def test_pairs_give_the_records_that_predict_writes(both: Extractor, mixed: TestClient) -> None:
    firsts, seconds = ([pair[side] for pair in PAIRS] for side in (0, 1))
    results = post(mixed, {"texts": firsts, "text_pairs": seconds}).json()["results"]
    expected = [to_fields(d) for d in both.extract([Document(text, text_pair=pair) for text, pair in PAIRS])]
    assert [r.pop("score") for r in results] == pytest.approx([e.pop("score") for e in expected], abs=2e-6)
    for record in (*results, *expected):
        for entity in record["entities"]:
            entity["score"] = round(entity["score"], 4)
    assert results == expected
    assert {record["label"] for record in results} <= {"0", "1"}
    one = post(mixed, {"text": PAIRS[0][0], "text_pair": PAIRS[0][1]}).json()
    assert one["text_pair"] == PAIRS[0][1]
    assert {"label", "score"} <= one.keys()


def test_a_second_text_is_optional_if_a_task_reads_texts(mixed: TestClient) -> None:
    record = post(mixed, {"text": "王伟在青川"}).json()
    assert record.keys() == {"text", "entities"}
    assert mixed.get("/model").json()["text_pair"] == "optional"


def test_a_model_of_pairs_alone_needs_two_texts(joined: TestClient) -> None:
    answer = post(joined, {"text": "王伟在青川"})
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "this model compares two texts, but the request has no second one",
    )
    assert joined.get("/model").json()["text_pair"] == "required"
    record = post(joined, {"text": "王伟在青川", "text_pair": ""}).json()
    assert 0 < record["score"] < 1
    assert "label" not in record, "no decision was stored"


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"text_pair": "a"}, 400, "expected one of the fields text and texts, got 0"),
        ({"texts": ["a"], "text_pair": "a"}, 400, "text_pair requires the field text"),
        ({"text": "a", "text_pairs": ["a"]}, 400, "text_pairs requires the field texts"),
        ({"texts": ["a", "b"], "text_pairs": ["a"]}, 400, "text_pairs has 1 texts, but texts has 2"),
        ({"text": "a", "text_pair": 3}, 400, "'text_pair' must be a string, got 3"),
        ({"text": "a", "text_pair": "b" * 501}, 413, "'text_pair' has 501 characters, but the limit is 500"),
    ],
)
def test_requests_that_are_no_pairs_are_refused(mixed: TestClient, body: Any, status: int, error: str) -> None:
    answer = post(mixed, body)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json()["hint"]
