"""Pairs of texts in JSON under the names that public data use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_documents import JSON_TEXT

from ie_cli.document import Document
from ie_cli.formats import FORMATS, BadLine, Reading, Record, read_records
from ie_cli.formats.common.pair_fields import TEXTS


def read(path: Path, *records: dict[str, Any], reading: Reading | None = None) -> tuple[str, list[Record]]:
    """Write records as JSON lines, and return the detected format with what is read."""
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    found: list[str] = []
    back = list(read_records(str(path), reading=reading, detected=found.append))
    return found[0], back


@pytest.mark.parametrize("names", TEXTS)
@pytest.mark.parametrize("label", ["label", "gold_label", "is_duplicate"])
def test_known_names_are_detected_and_read(tmp_path: Path, names: tuple[str, str], label: str) -> None:
    records = [{names[0]: "甲", names[1]: "乙", label: 1, "genre": "x"}, {names[0]: "丙", names[1]: "丁", label: 0}]
    format, back = read(tmp_path / "x", *records)
    if names == ("text", "text_pair") and label != "label":
        assert format == "jsonl"  # native, and these names are the user's
        return
    assert format == "pairs-json"
    assert back == [
        Document("甲", text_pair="乙", label="1", meta={"genre": "x"}),
        Document("丙", text_pair="丁", label="0"),
    ]


def test_clue_and_nli_records(tmp_path: Path) -> None:
    """AFQMC's test data have no labels, OCNLI several, and cnsd and MNLI fields of their own."""
    format, back = read(tmp_path / "x", {"id": 0, "sentence1": "a", "sentence2": "b"})
    assert (format, back) == ("pairs-json", [Document("a", text_pair="b", id=0)])
    ocnli = {
        "level": "easy",
        "sentence1": "a",
        "sentence2": "b",
        "label": "-",
        "label0": "neutral",
        "prem_id": "p",
        "id": 4,
    }
    reports: list[str] = []
    _, back = read(tmp_path / "x", ocnli, ocnli | {"label": "neutral"}, reading=Reading(report=reports.append))
    meta = {"level": "easy", "label0": "neutral", "prem_id": "p"}
    assert back == [
        Document("a", text_pair="b", id=4, meta=meta),
        Document("a", text_pair="b", id=4, meta=meta, label="neutral"),
    ]
    assert reports == [
        f"{tmp_path / 'x'}: texts in 'sentence1' and 'sentence2', classes 'neutral' in 'label'",
        f"{tmp_path / 'x'}: pairs without a label, which is empty or -, and which are neither learned nor scored: 1 of 2",
    ]
    mnli = {"annotator_labels": ["neutral"], "gold_label": "neutral", "label": "x", "sentence1": "a", "sentence2": "b"}
    _, [document] = read(tmp_path / "x", mnli)
    assert isinstance(document, Document)
    assert document.label == "neutral"


def test_grades(tmp_path: Path) -> None:
    one, other = {"sentence1": "a", "sentence2": "b", "score": 5}, {"sentence1": "c", "sentence2": "d", "score": 2.4}
    _, back = read(tmp_path / "x", one, other)
    assert back == [Document("a", text_pair="b", score=5.0), Document("c", text_pair="d", score=2.4)]
    labelled = [{"text1": "a", "text2": "b", "label": value} for value in (5, 2.4)]
    assert read(tmp_path / "x", *labelled)[1] == [Document("a", text_pair="b", score=value) for value in (5.0, 2.4)]
    back = read(tmp_path / "x", *labelled, reading=Reading(grades=False))[1]
    assert back == [Document("a", text_pair="b", label=value) for value in ("5", "2.4")]


@pytest.mark.parametrize(
    ("record", "format"),
    [
        ({"text": "a", "text_pair": "b", "label": 1}, "pairs-json"),
        ({"text": "a", "text_pair": "b", "label": "1"}, "jsonl"),
        ({"text": "a", "text_pair": "b", "score": 0.5}, "jsonl"),
        ({"text": "a", "text_pair": "b", "score": 0.5, "label": 1}, "jsonl"),
        ({"text": "a", "text_pair": "b", "label": 1, "entities": []}, "jsonl"),
        ({"text": "a", "sentence1": "b", "sentence2": "c"}, "jsonl"),
        ({"sentence1": "b", "sentence2": ["c"]}, "jsonl"),
        ({"sentence1": "b", "sentence2": "c", "label": {"x": {}}}, "cluener"),
        ({"tokens": ["a"], "tags": ["O"], "sentence1": "b", "sentence2": "c"}, "conll04"),
    ],
)
def test_other_formats_are_detected_as_before(tmp_path: Path, record: dict[str, Any], format: str) -> None:
    assert read(tmp_path / "x", record)[0] == format


def test_a_text_to_predict_has_no_label(tmp_path: Path) -> None:
    record = {"sentence1": "a", "sentence2": "b", "label": [1], "n": 1}
    [document] = read(tmp_path / "x", record, reading=Reading(annotation=False))[1]
    assert document == Document("a", text_pair="b", meta={"n": 1})


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"sentence1": "a"}, "no field 'sentence2'"),
        ({"sentence1": "a", "sentence2": 3}, "'sentence2' must be a string, got 3"),
        ({"sentence1": "a", "sentence2": "b", "label": [1]}, "a label must be a text or a number, got [1]"),
        ({"sentence1": "a", "sentence2": "b", "label": "x"}, "expected a whole number as the class of the pair"),
        ({"sentence1": "a", "sentence2": "b", "label": 1, "id": 1.5}, "'id' must be a string or an integer, got 1.5"),
        ({"x": 1}, "no field 'sentence1'"),
    ],
)
def test_a_bad_record_is_reported_with_its_place(tmp_path: Path, record: dict[str, Any], message: str) -> None:
    good = {"sentence1": "a", "sentence2": "b", "label": 1}
    records = read(tmp_path / "x", *[good] * 20, record, good)[1]
    [bad] = [each for each in records if isinstance(each, BadLine)]
    assert bad.error.message.startswith(f"{tmp_path / 'x'}:21: {message}")
    assert bad.error.hint
    assert len(records) == 22


def test_records_without_two_texts_are_bad() -> None:
    [bad] = FORMATS["pairs-json"].read([(1, '{"sentence1": "a"}')], "x", Reading())
    assert isinstance(bad, BadLine)
    assert bad.error.message == "x:1: no two texts (found: sentence1)"


@given(
    st.lists(st.tuples(JSON_TEXT, JSON_TEXT, st.sampled_from(["a", "b", None])), min_size=1, max_size=4), st.booleans()
)
def test_any_texts_are_read_as_they_are(pairs: list[tuple[str, str, str | None]], array: bool) -> None:
    records = [{"premise": first, "hypothesis": second, "label": label} for first, second, label in pairs]
    lines = [json.dumps(records)] if array else list(map(json.dumps, records))
    back = list(FORMATS["pairs-json"].read(enumerate(lines, 1), "x", Reading()))
    assert back == [Document(first, text_pair=second, label=label) for first, second, label in pairs]
