from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.formats import BadLine, read_documents, read_records

NAMES = ["O", "B-PER", "I-PER", "B-LOC"]


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    """A saved dataset of two splits with tokens and numbered tags."""
    text, tags = datasets.Value("string"), datasets.ClassLabel(names=NAMES)
    features = datasets.Features({"id": text, "tokens": datasets.List(text), "ner_tags": datasets.List(tags)})
    rows = {
        "id": ["a", "b"],
        "tokens": [["Anna", "Meyer", "in", "Wien"], ["北", "京"]],
        "ner_tags": [[1, 2, 0, 3], [3, 0]],
    }
    train = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": train, "validation": train.select([1])}).save_to_disk(tmp_path / "tagged")
    return tmp_path / "tagged"


def test_tokens_and_numbered_tags(tagged: Path) -> None:
    first, second = read_documents(f"hub:{tagged}")
    assert first == Document("Anna Meyer in Wien", [Entity(0, 10, "PER"), Entity(14, 18, "LOC")], id="a")
    assert second == Document("北京", [Entity(0, 1, "LOC")], id="b")
    assert first.where == f"hub:{tagged}:1"


def test_a_split_is_chosen(tagged: Path) -> None:
    assert [document.id for document in read_documents(f"hub:{tagged}?split=validation")] == ["b"]
    with pytest.raises(DataError, match=r"no split 'dev' \(there are train, validation\)"):
        list(read_documents(f"hub:{tagged}?split=dev"))
    with pytest.raises(DataError, match=r"unknown option 'splt'; did you mean 'split'\?"):
        list(read_documents(f"hub:{tagged}?splt=dev"))


def test_a_folder_of_json_lines(tmp_path: Path) -> None:
    folder = tmp_path / "native"
    folder.mkdir()
    entity = '{"start": 0, "end": 2, "label": "city"}'
    lines = [f'{{"id": "1", "text": "云州", "entities": [{entity}]}}', '{"id": "2", "text": "空", "entities": []}']
    (folder / "train.jsonl").write_text("\n".join([*lines, '{"id": "3", "text": "x", "entities": [' + entity + "]}"]))
    first, second, bad = read_records(f"hub:{folder}")
    assert first == Document("云州", [Entity(0, 2, "city")], id="1")
    assert second == Document("空", id="2")
    assert isinstance(bad, BadLine)
    assert bad.error.message == f"hub:{folder}:3: entity 'city' covers characters 0-2, but the text has 1"


def test_tags_as_names_and_their_faults(tmp_path: Path) -> None:
    rows = {"tokens": [["a", "b"], ["c"], ["", "d"]], "tags": [["B-X", "O"], ["O", "O"], ["O", "O"]], "note": ["n"] * 3}
    datasets.Dataset.from_dict(rows).save_to_disk(tmp_path / "one")
    good, *bad = read_records(f"hub:{tmp_path / 'one'}")
    assert good == Document("a b", [Entity(0, 1, "X")], meta={"note": "n"})
    assert [record.error.message.split(":")[-1] for record in bad if isinstance(record, BadLine)] == [
        " 1 tokens, 2 tags; every token needs a text and a tag",
        " 2 tokens, 2 tags; every token needs a text and a tag",
    ]


def test_what_is_not_understood_is_told(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"tokens": [["a"]], "tags": [[1]]}).save_to_disk(tmp_path / "numbers")
    with pytest.raises(DataError, match="'tags' holds numbers without names"):
        list(read_documents(f"hub:{tmp_path / 'numbers'}"))
    datasets.Dataset.from_dict({"content": ["a"]}).save_to_disk(tmp_path / "other")
    with pytest.raises(DataError, match="columns content: expected tokens and ner_tags, or text and entities"):
        list(read_documents(f"hub:{tmp_path / 'other'}"))
    with pytest.raises(DataError, match="the dataset cannot be loaded") as caught:
        list(read_documents(f"hub:{tmp_path / 'nowhere'}"))
    assert "without a network only local folders" in str(caught.value.hint)
