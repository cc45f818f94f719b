from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.inference import vector_files
from ie_cli.inference.vector_files import model_of, open_vectors, read_vectors, texts_of

NAMES = ("v.npy", "v.parquet", "v.jsonl", "v.jsonl.gz")
DOCUMENTS = [Document("王伟在青川", id="a"), Document(""), Document("a\nb \u2028 c\r", id=7)]
VECTORS = np.array([[0.6, 0.8], [1, 0], [-(2.0**-40), 0.1]], dtype=np.float32)


def write(path: str, documents: list[Document], vectors: np.ndarray, model: str = "m/match") -> None:
    with open_vectors(path, model) as add:
        for document, vector in zip(documents, vectors, strict=True):
            add(document, vector)


def read(path: str, model: str = "m/match") -> tuple[list[Document], np.ndarray]:
    blocks = list(read_vectors(path, model))
    documents = [document for block in blocks for document in block.documents]
    return documents, np.concatenate([block.vectors for block in blocks]) if blocks else np.zeros((0, 0))


@pytest.mark.parametrize("name", NAMES)
def test_vectors_texts_and_ids_are_read_as_written(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_files, "BLOCK", 2)
    path = str(tmp_path / name)
    write(path, DOCUMENTS, VECTORS)
    documents, vectors = read(path)
    assert [d.text for d in documents] == [d.text for d in DOCUMENTS]
    assert [d.id for d in documents] == (["a", None, "7"] if "parquet" in name else ["a", None, 7])
    assert vectors.dtype == np.float32
    assert vectors.tobytes() == VECTORS.tobytes()
    assert model_of(path) == "m/match"


@pytest.mark.parametrize("name", NAMES)
def test_every_number_is_kept_to_the_last_bit(name: str, tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 30_000, dtype=np.uint32).view(np.float32)
    bits = bits[np.isfinite(bits)][None]
    path = str(tmp_path / name)
    write(path, [Document("a")], bits)
    assert read(path)[1].tobytes() == bits.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_other_programs_can_read_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write(str(path), DOCUMENTS, VECTORS)
    if name == "v.npy":
        assert np.array_equal(np.load(path), VECTORS)
    elif name == "v.parquet":
        from pyarrow import parquet

        table = parquet.read_table(path)
        assert table.column("text").to_pylist() == [d.text for d in DOCUMENTS]
        assert np.array_equal(np.stack(table.column("vector").to_pylist()), VECTORS)
    elif name == "v.jsonl":
        lines = path.read_text(encoding="utf-8").splitlines(keepends=False)
        assert json.loads(lines[0]) == {"id": "a", "text": "王伟在青川", "vector": [0.6, 0.8], "model": "m/match"}


@pytest.mark.parametrize("name", NAMES)
def test_no_vectors_at_all(name: str, tmp_path: Path) -> None:
    path = str(tmp_path / name)
    write(path, [], np.zeros((0, 2)))
    assert read(path)[0] == []


@pytest.mark.parametrize("name", NAMES)
def test_vectors_of_another_model_are_refused(name: str, tmp_path: Path) -> None:
    path = str(tmp_path / name)
    write(path, DOCUMENTS, VECTORS)
    with pytest.raises(DataError, match="another model"):
        read(path, "other/match")


@pytest.mark.parametrize("name", NAMES)
def test_an_output_that_fails_leaves_the_earlier_file(name: str, tmp_path: Path) -> None:
    path = str(tmp_path / name)
    write(path, DOCUMENTS, VECTORS)
    with pytest.raises(ValueError, match="shorter|longer"):
        write(path, DOCUMENTS, VECTORS[:1])
    assert len(read(path)[0]) == 3
    kept = {name, Path(texts_of(name)).name} if name == "v.npy" else {name}
    assert {file.name for file in tmp_path.iterdir()} == kept


@pytest.mark.parametrize(("name", "suffix"), [("v.csv", ".csv"), ("v.npy.gz", ".npy"), ("v.parquet.zst", ".parquet")])
def test_a_suffix_that_stands_for_no_file_of_vectors_is_refused(name: str, suffix: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=suffix), open_vectors(str(tmp_path / name), "m"):
        raise AssertionError


def test_texts_are_no_vectors(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    for content in ("", '{"text": "a", "vector": [1]}\n', "no JSON\n", '{"text": "a", "model": "m"}\n'):
        file.write_text(content, encoding="utf-8")
        assert model_of(str(file)) is None
    assert model_of("-") is model_of("texts.txt") is None


def test_texts_of_other_vectors_are_detected(tmp_path: Path) -> None:
    """A process may be killed after the file of texts has been replaced, and before the array is."""
    path = str(tmp_path / "v.npy")
    write(path, DOCUMENTS, VECTORS)
    texts = Path(texts_of(path)).read_bytes()
    write(path, DOCUMENTS, VECTORS[::-1])
    Path(texts_of(path)).write_bytes(texts)
    with pytest.raises(DataError, match="not those of the texts"):
        read(path)
    Path(texts_of(path)).write_bytes(b"".join(texts.splitlines(keepends=True)[:2]))
    with pytest.raises(DataError, match=r"not those|3 vectors, but .* has 2 texts"):
        read(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "v.jsonl:2: not a line"),
        ('{"text": 3, "vector": [1, 2], "model": "m/match"}', "v.jsonl:2: not a line"),
        ('{"text": "a", "vector": [1, "b"], "model": "m/match"}', "v.jsonl:2: the vector is not a list"),
        ('{"text": "a", "vector": [1, NaN], "model": "m/match"}', "v.jsonl:2: the vector is not a list of finite"),
        ('{"text": "a", "vector": [1], "model": "m/match"}', "v.jsonl:2: a vector of 1 numbers, expected 2"),
    ],
)
def test_a_damaged_line_is_named(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    write(str(path), DOCUMENTS[:1], VECTORS[:1])
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read(str(path))


@pytest.mark.parametrize("name", ["v.npy", "v.parquet"])
def test_a_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write(str(path), DOCUMENTS, VECTORS)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match=f"{name}: damaged"):
        read(str(path))
