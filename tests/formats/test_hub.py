from __future__ import annotations

import io
import json
import pickle
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.formats import BadLine, Reading, read_documents, read_records

NAMES = ["O", "B-PER", "I-PER", "B-LOC"]


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    """Save a dataset of two splits with tokens and numbered tags."""
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
    with pytest.raises(DataError, match=r"no split 'dev' \(available: train, validation\)"):
        list(read_documents(f"hub:{tagged}?split=dev"))
    with pytest.raises(DataError, match=r"unknown option 'splt'; did you mean 'split'\?"):
        list(read_documents(f"hub:{tagged}?splt=dev"))


def test_a_directory_of_json_lines(tmp_path: Path) -> None:
    directory = tmp_path / "native"
    directory.mkdir()
    entity = '{"start": 0, "end": 2, "label": "city"}'
    lines = [f'{{"id": "1", "text": "云州", "entities": [{entity}]}}', '{"id": "2", "text": "空", "entities": []}']
    (directory / "train.jsonl").write_text(
        "\n".join([*lines, '{"id": "3", "text": "x", "entities": [' + entity + "]}"])
    )
    first, second, bad = read_records(f"hub:{directory}")
    assert first == Document("云州", [Entity(0, 2, "city")], id="1")
    assert second == Document("空", id="2")
    assert isinstance(bad, BadLine)
    assert bad.error.message == f"hub:{directory}:3: entity 'city' covers characters 0-2, but the text has 1"


def test_tags_as_names_and_their_errors(tmp_path: Path) -> None:
    rows = {"tokens": [["a", "b"], ["c"], ["", "d"]], "tags": [["B-X", "O"], ["O", "O"], ["O", "O"]], "note": ["n"] * 3}
    datasets.Dataset.from_dict(rows).save_to_disk(tmp_path / "one")
    good, *bad = read_records(f"hub:{tmp_path / 'one'}")
    assert good == Document("a b", [Entity(0, 1, "X")], meta={"note": "n"})
    assert [record.error.message.split(":")[-1] for record in bad if isinstance(record, BadLine)] == [
        " got 1 token, but 2 tags in 'tags'",
        ' token 0 must be a non-empty string, got ""',
    ]


def test_unsupported_columns_are_an_error(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"tokens": [["a"]], "tags": [[1]]}).save_to_disk(tmp_path / "numbers")
    with pytest.raises(DataError, match="'tags' contains numbers without names, such as 1"):
        list(read_documents(f"hub:{tmp_path / 'numbers'}"))
    datasets.Dataset.from_dict({"content": ["a"]}).save_to_disk(tmp_path / "other")
    with pytest.raises(DataError, match="expected the columns tokens and ner_tags, or text and entities, got content"):
        list(read_documents(f"hub:{tmp_path / 'other'}"))
    with pytest.raises(DataError, match="the dataset cannot be loaded") as caught:
        list(read_documents(f"hub:{tmp_path / 'nowhere'}"))
    assert "local directories" in str(caught.value.hint)


# --- data that would run code or read other files


class Bomb:
    """An object that creates a file if it is unpickled."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> Any:
        return (open, (str(self.trap), "w"))


@pytest.mark.parametrize("name", ["pandas", "webdataset", "imagefolder", "audiofolder", "hdf5"])
def test_builders_that_are_not_of_plain_data_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    trap = tmp_path / "it-ran"
    (tmp_path / "train.pkl").write_bytes(pickle.dumps(Bomb(trap)))
    if name != "pandas":
        (tmp_path / "pandas").mkdir()  # a directory of a builder's name: the library takes the builder
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        with pytest.raises(DataError, match=f"with the builder '{name}', which is not allowed") as caught:
            list(read_documents(f"hub:{name}"))
    assert f"./{name}" in str(caught.value.hint)
    assert not trap.exists()


def archive(directory: Path, trap: Path) -> None:
    with tarfile.open(directory / "train.tar", "w") as tar:
        for name in ("a.pyd", "a.pickle", "a.pth"):
            data = pickle.dumps(Bomb(trap))
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def pickles(directory: Path, trap: Path) -> None:
    for name in ("train.pkl", "train.pickle"):
        (directory / name).write_bytes(pickle.dumps(Bomb(trap)))


def script(directory: Path, trap: Path) -> None:
    for name in (f"{directory.name}.py", "dataset.py", "__init__.py"):
        (directory / name).write_text(f"open({str(trap)!r}, 'w')")


def pictures(directory: Path, trap: Path) -> None:
    (directory / "a.png").write_bytes(b"no picture")
    (directory / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "x"}')


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (archive, "the builder 'webdataset'"),
        (pickles, "cannot be loaded"),
        (script, "cannot be loaded"),
        (pictures, "the builder 'imagefolder'"),
    ],
)
def test_directories_of_anything_else_are_refused(
    tmp_path: Path, make: Callable[[Path, Path], None], message: str
) -> None:
    directory, trap = tmp_path / "directory", tmp_path / "it-ran"
    directory.mkdir()
    make(directory, trap)
    with pytest.raises(DataError, match=message):
        list(read_documents(f"hub:{directory}"))
    assert not trap.exists()


CHAIN = "reference://a::data:application/json,{}"


@pytest.mark.parametrize("url", [CHAIN, "ssh://host/x.jsonl", "zip://x.jsonl::file:///a.zip", "S3://b/x.jsonl"])
@pytest.mark.parametrize("card", ["README.md", ".huggingface.yaml"])
def test_a_card_names_no_other_protocols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, card: str, url: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the library was asked")

    configs = json.dumps({"configs": [{"config_name": "default", "data_files": [{"split": "train", "path": [url]}]}]})
    (tmp_path / card).write_text(f"---\n{configs}\n---\n" if card == "README.md" else configs)
    (tmp_path / "train.jsonl").write_text('{"text": "x"}')
    monkeypatch.setattr(datasets, "load_dataset_builder", fail)
    with pytest.raises(DataError, match=f"its {card} names .* not allowed"):
        list(read_documents(f"hub:{tmp_path}"))


@pytest.mark.parametrize("name", ["stranger/data", "old-data"])
def test_a_card_of_the_hub_is_looked_at_too(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def download(repo_id: str, file: str, *, repo_type: str) -> str:
        asked.append((repo_id, file))
        if file != "README.md":
            raise FileNotFoundError(file)
        (tmp_path / file).write_text(f"---\nconfigs:\n- config_name: default\n  data_files: '{CHAIN}'\n---\n")
        return str(tmp_path / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(DataError, match=r"its README\.md names reference://a::data.* not allowed"):
        list(read_documents(f"hub:{name}"))
    assert asked == [(name, "README.md")]


@pytest.mark.parametrize("source", ["hub:", "hub:?split=dev"])
def test_a_source_without_a_name_is_an_error(source: str) -> None:
    with pytest.raises(DataError, match="name of the dataset is missing"):
        list(read_documents(source))


def test_a_card_that_names_files_chooses_them(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nconfigs:\n- config_name: default\n  data_files: two.jsonl\n---\n# Data\n")
    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": name}))
    assert [document.text for document in read_documents(f"hub:{tmp_path}")] == ["two"]


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        ("dataset_dict.json", "splits", [CHAIN]),
        ("dataset_dict.json", "splits", ["../other"]),
        ("train/state.json", "_data_files", [{"filename": "../../other/data.arrow"}]),
        ("train/state.json", "_data_files", [{"filename": "/etc/passwd"}]),
        ("train/state.json", "_data_files", [{"filename": "C:x"}]),
        ("train/state.json", "_data_files", [{"filename": ""}]),
    ],
)
def test_a_saved_dataset_names_files_of_its_own_directory(tagged: Path, file: str, key: str, value: object) -> None:
    stored = json.loads((tagged / file).read_text())
    (tagged / file).write_text(json.dumps(stored | {key: value}))
    with pytest.raises(DataError, match=r"\.json names .*, which is not a file in its directory"):
        list(read_documents(f"hub:{tagged}"))


@pytest.mark.parametrize("stored", [{"_format_type": "numpy"}, {"_format_type": "torch"}, {"_format_columns": ["id"]}])
def test_the_format_of_a_saved_dataset_is_not_used(tagged: Path, stored: dict[str, object]) -> None:
    expected = list(read_documents(f"hub:{tagged}"))
    state = tagged / "train" / "state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | stored))
    assert list(read_documents(f"hub:{tagged}")) == expected


def test_columns_of_media_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a picture was opened")

    monkeypatch.setattr(datasets.Image, "decode_example", fail)
    picture = {"bytes": b"x", "path": "reference://a::data:,{}"}
    text = datasets.Value("string")
    features = datasets.Features(
        {"text": text, "image": datasets.Image(), "nested": datasets.List({"p": datasets.Image()}), "note": text}
    )
    rows = {"text": ["a b"], "image": [picture], "nested": [[{"p": picture}]], "note": ["n"]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "saved")
    reported: list[str] = []
    (document,) = read_documents(f"hub:{tmp_path / 'saved'}", reading=Reading(report=reported.append))
    assert document == Document("a b", [], meta={"note": "n"})
    assert reported[0] == f"hub:{tmp_path / 'saved'}: media columns are left out: image, nested"


@pytest.mark.parametrize("name", ["json", "csv", "parquet", "text"])
def test_builders_of_plain_data_read_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = datasets.Dataset.from_dict({"text": ["one", "two"]})
    file = str(tmp_path / f"train.{name}")
    if name == "text":
        Path(file).write_text("one\ntwo\n")
    else:
        getattr(rows, f"to_{name}")(file)
    assert [document.text for document in read_documents(f"hub:{name}")] == ["one", "two"]


def test_pairs_with_classes_by_index_and_grades(tmp_path: Path) -> None:
    """A ClassLabel of -1 marks a pair without consensus, as in SNLI, or without a published label, as in GLUE's test data."""
    text, label = datasets.Value("string"), datasets.ClassLabel(names=["entailment", "neutral"])
    features = datasets.Features({"premise": text, "hypothesis": text, "label": label, "idx": datasets.Value("int32")})
    rows = {"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": [1, -1], "idx": [0, 1]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "nli")
    reports: list[str] = []
    first, second = read_documents(f"hub:{tmp_path / 'nli'}", reading=Reading(report=reports.append))
    assert first == Document("a", text_pair="c", label="neutral", meta={"idx": 0})
    assert second == Document("b", text_pair="d", meta={"idx": 1})
    assert "pairs without a label" in reports[-1]
    datasets.Dataset.from_dict({"text": ["a"], "text_pair": ["b"], "label": [1]}).save_to_disk(tmp_path / "native")
    assert list(read_documents(f"hub:{tmp_path / 'native'}")) == [Document("a", text_pair="b", label="1")]
    grades = {"sentence1": ["a", None], "sentence2": ["b", "c"], "label": [2.5, 1.0]}
    datasets.Dataset.from_dict(grades).save_to_disk(tmp_path / "grades")
    graded, bad = read_records(f"hub:{tmp_path / 'grades'}")
    assert graded == Document("a", text_pair="b", score=2.5)
    assert isinstance(bad, BadLine)
    assert bad.error.message == f"hub:{tmp_path / 'grades'}:2: 'sentence1' must be a string, got null"
    [unlabelled, _] = read_records(f"hub:{tmp_path / 'grades'}", reading=Reading(annotation=False))
    assert unlabelled == Document("a", text_pair="b")
