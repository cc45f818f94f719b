"""Tokens and tags are read alike, whatever holds the records: JSON, Parquet, CSV, and directories of `datasets`."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest
from pyarrow import parquet

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.formats import BadLine, Reading, Record, read_records
from ie_cli.formats.common.base import TokenFile

Rows = list[dict[str, Any]]
TOKENS = ["Ann", "met", "Bob", "."]


def as_json(path: Path, rows: Rows) -> str:
    (path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path / "x.jsonl")


def as_parquet(path: Path, rows: Rows) -> str:
    parquet.write_table(pyarrow.Table.from_pylist(rows), path / "x.parquet")
    return str(path / "x.parquet")


def as_csv(path: Path, rows: Rows) -> str:
    with (path / "x.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        for row in rows:
            writer.writerow(json.dumps(value) if isinstance(value, list) else value for value in row.values())
    return str(path / "x.csv")


def as_saved(path: Path, rows: Rows) -> str:
    datasets.Dataset.from_list(rows).save_to_disk(path / "saved")
    return str(path / "saved")


CARRIERS = [as_json, as_parquet, as_csv, as_saved]
Carrier = Callable[[Path, Rows], str]


def read(source: str, **options: Any) -> tuple[list[Record], list[str]]:
    reported: list[str] = []
    found = list(read_records(source, reading=Reading(report=reported.append, **options)))
    return found, [message.partition(": ")[2] for message in reported]


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize(
    ("tags", "spans", "said"),
    [
        ("B-x I-x O U-y", [(0, 7, "x"), (12, 13, "y")], []),
        ("x-B x-I O O", [(0, 7, "x")], ["the prefix follows the label (PER-B)"]),
        ("x x O O", [(0, 7, "x")], ["labels without prefixes: equal neighbours are one entity"]),
        (
            "B-y I-x O O",
            [(0, 3, "y"), (4, 7, "x")],
            ["1 tag without a preceding tag of the same entity; each starts an entity, as in conlleval and seqeval"],
        ),
    ],
)
def test_every_scheme_is_read_from_every_carrier(
    carrier: Carrier, tags: str, spans: list[tuple[int, int, str]], said: list[str], tmp_path: Path
) -> None:
    source = carrier(tmp_path, [{"tokens": TOKENS, "ner_tags": tags.split()}])
    assert read(source) == ([Document("Ann met Bob .", [Entity(*span) for span in spans])], said)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_the_text_of_a_row_is_kept_if_it_consists_of_the_tokens(carrier: Carrier, tmp_path: Path) -> None:
    rows = [
        {"tokens": TOKENS, "ner_tags": ["O", "O", "B-x", "O"], "text": text} for text in ("Ann  met Bob.", "Ann met")
    ]
    found, said = read(carrier(tmp_path, rows))
    assert found == [
        Document("Ann  met Bob.", [Entity(9, 12, "x")]),
        Document("Ann met Bob .", [Entity(8, 11, "x")], meta={"text": "Ann met"}),
    ]
    assert said == ["records whose 'text' does not consist of their tokens, which are joined instead: 1"]


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (["O"], "got 2 tokens, but 1 tag in 'ner_tags'"),
        (["O", "x"], 'expected a tag such as O or B-PER, got "x"'),
        (None, "'ner_tags' must be a list, got null"),
    ],
)
def test_an_error_is_the_same_in_every_carrier(carrier: Carrier, tags: Any, message: str, tmp_path: Path) -> None:
    rows = [{"tokens": ["a", "b"], "ner_tags": ["O", "B-x"]}, {"tokens": ["a", "b"], "ner_tags": tags}]
    [good, bad], _ = read(carrier(tmp_path, rows))
    assert good == Document("a b", [Entity(2, 3, "x")])
    assert isinstance(bad, BadLine)
    assert bad.error.message.endswith(f": {message}")


@pytest.mark.parametrize("carrier", CARRIERS)
def test_numbers_need_names_only_if_they_are_read(carrier: Carrier, tmp_path: Path) -> None:
    source = carrier(tmp_path, [{"tokens": TOKENS, "ner_tags": [1, 0, 1, 0]}])
    [bad], _ = read(source)
    assert isinstance(bad, BadLine)
    assert bad.error.message.endswith(": 'ner_tags' contains numbers without names, such as 1")
    assert ("labels.json beside it" in str(bad.error.hint)) == (carrier is not as_saved)
    assert read(source, annotation=False) == ([Document("Ann met Bob .")], [])


@pytest.mark.parametrize("carrier", [as_json, as_parquet, as_csv])
def test_a_file_beside_a_table_names_its_numbers(carrier: Carrier, tmp_path: Path) -> None:
    source = carrier(tmp_path, [{"tokens": TOKENS, "ner_tags": [1, 0, 1, 0]}])
    (tmp_path / "labels.json").write_text('["O", "B-x"]')
    decided: list[TokenFile] = []
    found, said = read(source, decided=decided.append)
    assert found == [Document("Ann met Bob .", [Entity(0, 3, "x"), Entity(8, 11, "x")])]
    assert said == [f"the names of the numbers in 'ner_tags' are those of {tmp_path / 'labels.json'}"]
    assert decided == [TokenFile("words", ("O", "B-x"))]


def test_a_number_beyond_the_names_of_a_class_label_is_a_bad_line(tmp_path: Path) -> None:
    tags = datasets.List(datasets.ClassLabel(names=["O", "B-x"]))
    features = datasets.Features({"tokens": datasets.List(datasets.Value("string")), "ner_tags": tags})
    rows = {"tokens": [["a"], ["b"]], "ner_tags": [[1], [-1]]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "saved")
    [good, bad], _ = read(str(tmp_path / "saved"))
    assert good == Document("a", [Entity(0, 1, "x")])
    assert isinstance(bad, BadLine)
    assert bad.error.message.endswith(
        ": 'ner_tags' must contain numbers below 2, the number of names in its ClassLabel feature, got -1"
    )


def test_words_of_a_dataset_are_tokens_if_their_tags_show_it(tmp_path: Path) -> None:
    words = [{"words": ["a", "b"], "bio_tags": ["B-x", "O"]}]
    assert read(as_saved(tmp_path, words))[0] == [Document("a b", [Entity(0, 1, "x")])]
    (tmp_path / "other").mkdir()
    [text], _ = read(as_saved(tmp_path / "other", [{"text": "a b", "words": 2, "label": "sport"}]))
    assert text == Document("a b", meta={"words": 2, "label": "sport"})


def test_standard_input_has_no_file_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.json").write_text('["O", "B-x"]')
    file = tmp_path / "x.jsonl"
    file.write_text('{"tokens": ["a"], "ner_tags": [1]}\n')
    with file.open() as opened:
        monkeypatch.setattr("sys.stdin", opened)
        [bad], _ = read("-")
    assert isinstance(bad, BadLine)
    assert "contains numbers without names" in bad.error.message


def test_rows_before_one_that_cannot_be_parsed_are_kept(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('sentence1,sentence2,label\na,b,yes\nc,"d"e,no\n')
    found: list[Record] = []
    with pytest.raises(DataError, match=r"x\.csv:3: not a row of a table"):
        found.extend(read_records(str(tmp_path / "x.csv"), format="csv"))
    assert found == [Document("a", text_pair="b", label="yes")]
