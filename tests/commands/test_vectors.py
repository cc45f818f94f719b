"""`ie embed`, `ie search`, and `ie predict` for pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.pair_engines import BINARY, extractor_of
from support.runner import ie, said

from ie_cli.data.label_schema import LabelSchema
from ie_cli.inference.embedding import embed, embedding_engine
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import TrainedTask
from ie_cli.inference.vector_files import model_of, read_vectors

TEXTS = ["王伟在青川", "李娜在东湖读书", "", "在" * 100, "王伟在青川", "第3年", "南岭县大学"]
NAMES = ({"name": "efficient_global_pointer", "head_size": 8}, TrainedTask(LabelSchema(("person", "place"))))
ALIKE = ({"name": "cosent"}, TrainedTask(BINARY, decision=(0.9,)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("models") / "both"
    extractor_of({"names": NAMES, "alike": ALIKE}).save_pretrained(directory)
    return str(directory)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IE_MODEL", model)
    records = [{"id": f"t{n}", "text": text} for n, text in enumerate(TEXTS)]
    write(tmp_path / "texts.jsonl", *records)
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return tmp_path


def write(path: Path, *records: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def vectors_of(model: str, texts: list[str]) -> np.ndarray:
    return np.stack(list(embed(embedding_engine(Extractor.from_pretrained(model).engine()), texts)))


@pytest.mark.parametrize("name", ["v.npy", "v.parquet", "v.jsonl"])
def test_vectors_are_those_of_the_api_with_texts_and_ids(name: str, here: Path, model: str) -> None:
    run = ie("embed", "texts.jsonl", "-o", name)
    assert run.exit_code == 0, run.output
    assert "7 vectors of 192 numbers" in said(run)
    assert "1 of 6 texts exceeded the model's encoder.max_length" in said(run)
    stored = np.load(name) if name == "v.npy" else None
    path = here / name
    identity = model_of(str(path))
    assert identity is not None
    blocks = list(read_vectors(str(path), identity))
    assert [(d.id, d.text) for b in blocks for d in b.documents] == [(f"t{n}", text) for n, text in enumerate(TEXTS)]
    found = np.concatenate([block.vectors for block in blocks])
    assert np.allclose(found, vectors_of(model, TEXTS), atol=1e-6)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert stored is None or np.array_equal(stored, found)


def test_plain_text_and_stdin(here: Path) -> None:
    by_file = ie("embed", "texts.txt", "--text", "-q").stdout
    by_pipe = ie("embed", "-", "--text", "-q", stdin="\n".join(TEXTS)).stdout
    assert by_file == by_pipe
    assert [record["text"] for record in lines(by_file)] == TEXTS
    assert all(record.keys() == {"text", "vector", "model"} for record in lines(by_file))


def brute_force(queries: np.ndarray, corpus: np.ndarray, k: int) -> list[list[int]]:
    scores = (queries[:, None].astype(np.float64) * corpus[None]).sum(axis=2)
    found: list[list[int]] = np.argsort(-scores, axis=1, kind="stable")[:, :k].tolist()
    return found


def test_search_finds_what_comparing_all_finds(here: Path, model: str) -> None:
    queries = ["李娜在东湖", "王伟在青川"]
    (here / "q.txt").write_text("\n".join(queries), encoding="utf-8")
    run = ie("search", "q.txt", "texts.jsonl", "--text", "--top-k", "3")
    assert run.exit_code == 0, run.output
    assert "2 queries, 7 texts searched" in said(run)
    found = lines(run.stdout)
    assert [record["text"] for record in found] == queries
    expected = brute_force(vectors_of(model, queries), vectors_of(model, TEXTS), 3)
    assert [[hit["row"] for hit in record["hits"]] for record in found] == expected
    for record in found:
        for hit in record["hits"]:
            assert (hit["id"], hit["text"]) == (f"t{hit['row']}", TEXTS[hit["row"]])
    assert [hit["row"] for hit in found[1]["hits"]][:2] == [0, 4], "two equal texts, in their order"
    assert [hit["score"] for hit in found[1]["hits"]][:2] == [1.0, 1.0]


@pytest.mark.parametrize("name", ["texts.csv", "texts.parquet"])
def test_a_table_of_texts_is_searched_without_naming_its_format(name: str, here: Path) -> None:
    assert ie("convert", "texts.jsonl", name, "-q").exit_code == 0
    assert ie("search", "texts.jsonl", name, "-q").stdout == ie("search", "texts.jsonl", "texts.jsonl", "-q").stdout
    assert ie("search", name, "texts.jsonl", "-q").exit_code == 0


@pytest.mark.parametrize("name", ["v.npy", "v.parquet", "v.jsonl"])
def test_stored_vectors_give_the_same_hits_without_the_model(name: str, here: Path, monkeypatch: Any) -> None:
    whole = ie("search", "texts.jsonl", "texts.jsonl", "-k", "4", "-q").stdout
    assert ie("embed", "texts.jsonl", "-o", name, "-q").exit_code == 0
    assert ie("search", "texts.jsonl", name, "-k", "4", "-q").stdout == whole
    monkeypatch.setenv("IE_MODEL", str(here / "none"))
    alone = ie("search", name, name, "-k", "4", "-o", "hits.jsonl")
    assert alone.exit_code == 0, alone.output
    assert (here / "hits.jsonl").read_text(encoding="utf-8") == whole


def test_vectors_of_another_model_are_refused(here: Path, tmp_path: Path) -> None:
    other = extractor_of({"alike": ALIKE}, max_length=20)
    other.save_pretrained(here / "other")
    assert ie("embed", "texts.jsonl", "-o", "v.npy", "-q").exit_code == 0
    assert ie("embed", "texts.jsonl", "-o", "w.jsonl", "-q", "-m", "other").exit_code == 0
    for arguments in (("texts.jsonl", "v.npy", "-m", "other"), ("w.jsonl", "v.npy"), ("w.jsonl", "texts.jsonl")):
        run = ie("search", *arguments)
        assert run.exit_code == 1
        assert "the vectors were computed by another model" in said(run)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("embed", "texts.jsonl", "-o", "v.csv"), "v.csv: the suffix .csv stands for no file of vectors"),
        (("embed", "texts.jsonl", "-o", "texts.jsonl"), "texts.jsonl: this file is also the input"),
        (("embed", "texts.jsonl", "-o", "no/v.npy"), "no/v.npy: there is no directory"),
        (("embed", "texts.jsonl", "--task", "names"), "the task names gives a text no vector"),
        (("embed", "texts.jsonl", "--task", "alke"), "the model has no task alke hint: name alike with --task"),
        (("search", "texts.jsonl", "prose.md"), "prose.md: the format cannot be detected from the first line"),
        (("search", "texts.jsonl", "prose.md"), "hint: set --corpus-from: jsonl"),
        (("search", "prose.md", "texts.jsonl"), "hint: set --from: jsonl"),
        (
            ("eval", "pairs.jsonl"),
            "the model has the tasks names, alike; but none was named hint: name one of them with --task",
        ),
        (
            ("eval", "pairs.jsonl", "--task", "alike", "--threshold", "0.9"),
            "--threshold applies to entities and relations, but the task alike compares pairs of texts",
        ),
        (("embed", "none.jsonl"), "none.jsonl: no such file"),
        (("embed", "bad.jsonl"), "bad.jsonl:2:"),
        (("search", "-", "-"), "QUERIES and CORPUS are both stdin"),
        (("search", "texts.jsonl", "none.npy"), "none.npy: no such file"),
        (("search", "texts.jsonl", "empty.jsonl"), "empty.jsonl: the file is empty"),
    ],
)
def test_errors_name_the_place_and_leave_no_output(arguments: tuple[str, ...], message: str, here: Path) -> None:
    (here / "empty.jsonl").touch()
    (here / "bad.jsonl").write_text('{"text": "a"}\n{"text": 3}\n', encoding="utf-8")
    (here / "prose.md").write_text("# A title\n", encoding="utf-8")
    write(here / "pairs.jsonl", {"text": "a", "text_pair": "b", "label": "1"})
    before = {file.name: file.read_bytes() for file in here.iterdir()}
    run = ie(*arguments)
    assert run.exit_code == 1
    assert message in said(run)
    assert {file.name: file.read_bytes() for file in here.iterdir()} == before


def test_bad_lines_are_skipped_on_request_and_counted(here: Path) -> None:
    (here / "bad.jsonl").write_text('{"text": "a"}\n{"text": 3}\n{"text": "b", "text_pair": "c"}\n', encoding="utf-8")
    run = ie("embed", "bad.jsonl", "--on-error", "skip")
    assert [record["text"] for record in lines(run.stdout)] == ["a", "b"]
    assert "1 bad line skipped; the first: bad.jsonl:2" in said(run)
    assert "1 record with a second text: only the first has a vector" in said(run)


def test_a_model_without_vectors_is_refused(here: Path) -> None:
    extractor_of({"names": NAMES}).save_pretrained(here / "names")
    run = ie("embed", "texts.jsonl", "-m", "names")
    assert run.exit_code == 1
    assert "the model gives a text no vector" in said(run)


def test_predict_writes_entities_labels_and_scores_in_one_pass(here: Path, model: str) -> None:
    write(
        here / "pairs.jsonl",
        {"id": 1, "text": "王伟在青川", "text_pair": "王伟在青川", "label": "gold", "score": 9.5},
        {"id": 2, "text": "王伟在青川", "text_pair": "在" * 100},
        {"id": 3, "text": "王伟在青川"},
    )
    run = ie("predict", "pairs.jsonl", "-o", "out.jsonl")
    assert run.exit_code == 0, run.output
    same, other, alone = lines((here / "out.jsonl").read_text(encoding="utf-8"))
    assert (same["label"], round(same["score"], 6)) == ("1", 1.0)
    assert other["score"] < 1
    assert same["entities"] == other["entities"] == alone["entities"]
    assert not {"label", "score"} & alone.keys()
    assert "1 text or pair exceeded the model's encoder.max_length" in said(run)
    assert "without text_pair" not in said(run)


def test_a_model_of_pairs_alone_says_what_is_no_pair(here: Path) -> None:
    extractor_of({"alike": ALIKE}).save_pretrained(here / "alike")
    write(here / "pairs.jsonl", {"text": "a", "text_pair": "b"}, {"text": "c"})
    run = ie("predict", "pairs.jsonl", "-m", "alike")
    assert [sorted(record) for record in lines(run.stdout)] == [
        ["entities", "label", "score", "text", "text_pair"],
        ["entities", "text"],
    ]
    assert "1 of 2 records without text_pair: the model only compares pairs of texts" in said(run)
