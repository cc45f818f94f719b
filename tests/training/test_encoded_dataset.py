"""Windows in Arrow files."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.damage import damage
from support.fakes import characters, codec_of

from ie_cli.codecs.base import Codec, Targets
from ie_cli.codecs.spans import SpanCodec
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation
from ie_cli.encoding.tokenizer import TextTokenizer, Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.errors import StorageError
from ie_cli.recipe.heads import EfficientGlobalPointerSection, Reads
from ie_cli.system import cache
from ie_cli.system.cache import cache_directory
from ie_cli.training.encoded_dataset import EncodedDataset, encode_dataset
from ie_cli.training.window_encoding import Encoding

EXAMPLES = [
    Document("去北京大学", [Entity(1, 3, "place"), Entity(1, 5, "school")]),
    Document("ab", []),
    Document("", []),
    Document("北京" + "ab" * 10 + "上海", [Entity(0, 2, "place"), Entity(22, 24, "place"), Entity(0, 24, "school")]),
]
SCHEMA = LabelSchema(("place", "school"))


TOKENIZER = TextTokenizer(characters())


PLAN = WindowPlan(10, 4)


def encoding(
    *, plan: WindowPlan = PLAN, schema: LabelSchema = SCHEMA, tokenizer: TextTokenizer = TOKENIZER
) -> Encoding:
    return Encoding(tokenizer=tokenizer, plan=plan, codec=codec_of(schema), pad_id=0)


def store(key: str | None = "k", documents: list[Document] = EXAMPLES) -> EncodedDataset:
    return encode_dataset(documents, encoding(), key=key)


def test_a_store_holds_every_window_and_every_reachable_entity() -> None:
    built = store()
    assert built.counts.documents == 4
    assert built.counts.windows == len(built) == 1 + 1 + 1 + 4
    assert built.counts.items == {"entities": 5}
    assert built.counts.unreachable == {"entities": {"longer than a window holds": 1}}
    assert built.lengths.tolist() == [7, 4, 2, 12, 12, 12, 12]
    assert built.windows_of.tolist() == [1, 1, 1, 4]
    assert built.negative.tolist() == [False, True, True, False, True, True, False]


def test_a_second_start_skips_the_encoding() -> None:
    first = store()

    def never() -> list[Document]:
        raise AssertionError("encoded again")

    class Untouched:
        def __iter__(self) -> object:
            return never()

    again = encode_dataset(Untouched(), encoding(), key="k")  # type: ignore[arg-type]
    assert again.counts == first.counts
    assert again.lengths.tolist() == first.lengths.tolist()
    assert again.windows_of.tolist() == first.windows_of.tolist()


class OtherCodec(SpanCodec):
    """A codec whose stored values have another identity."""

    identity = ("other", 1)


@pytest.mark.parametrize("change", ["key", "mode", "plan", "labels", "mentions", "codec"])
def test_other_data_or_options_are_encoded_again(change: str, own_cache: Path) -> None:
    store()
    other = encoding(
        tokenizer=TextTokenizer(characters(), mode="char" if change == "mode" else "subword"),
        plan=WindowPlan(10, 3) if change == "plan" else PLAN,
        schema=LabelSchema(("school", "place")) if change == "labels" else SCHEMA,
    )
    if change == "mentions":
        other = replace(other, mentions="all")
    if change == "codec":
        other = replace(other, codec=OtherCodec(SCHEMA, EfficientGlobalPointerSection()))
    encode_dataset(EXAMPLES, other, key="other" if change == "key" else "k")
    assert len(list(own_cache.glob("*.arrow"))) == 2


_STORE = """
from ie_cli.codecs.gplinker import GPLinkerCodec
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation
from ie_cli.recipe.heads import GPLinkerSection
from ie_cli.training.encoded_dataset import encode_dataset
from ie_cli.training.window_encoding import Encoding
from support.fakes import characters, codec_of
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan

entities = [Entity(n, n + 1, "place") for n in range(12)]
relations = [Relation(entities[n], "near", entities[n + 1]) for n in range(11)]
schema = LabelSchema(("place",), ("near",), {"near": (("place", "place"),)})
for name, codec in (("ner", codec_of(schema)), ("relation", GPLinkerCodec(schema, GPLinkerSection(name="gplinker")))):
    encoding = Encoding(tokenizer=TextTokenizer(characters()), plan=WindowPlan(20, 4), codec=codec, pad_id=0)
    encode_dataset([Document("北京" * 10, entities, relations)] * 9, encoding, key=name)
"""


def test_processes_that_store_the_same_at_once_do_not_damage_it(tmp_path: Path) -> None:
    """Each replaces the windows and, a moment later, their checksum: whichever comes last, both must be of the same bytes."""
    stored: list[list[tuple[str, bytes]]] = []
    for seed in ("1", "2"):
        directory = tmp_path / seed
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "IE_CACHE": str(directory),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        subprocess.run([sys.executable, "-c", _STORE], env=environment, check=True, timeout=120)
        stored.append([(path.name, path.read_bytes()) for path in sorted(directory.glob("*.arrow"))])
    assert len(stored[0]) == 2
    assert stored[0] == stored[1]


def test_data_without_a_fingerprint_leave_no_file(own_cache: Path) -> None:
    assert len(store(key=None)) == 7
    assert list(own_cache.iterdir()) == []


@pytest.mark.parametrize("suffix", ["arrow", "json"])
@pytest.mark.parametrize("kept", [0, 100, 1300])
def test_a_damaged_store_is_encoded_again(suffix: str, kept: int, own_cache: Path) -> None:
    first = store()
    (file,) = own_cache.glob(f"*.{suffix}")
    whole = file.read_bytes()
    file.unlink()  # not written over: the first store still maps it
    file.write_bytes(whole[:kept])
    again = store()
    assert again.lengths.tolist() == first.lengths.tolist()
    assert again.counts == first.counts
    assert file.stat().st_size == len(whole)


# Columns


class Given:
    """A codec that stores the rows it was made with, in every window all those of its number."""

    reads: ClassVar[Reads] = "windows"
    columns: ClassVar[dict[str, int]] = {"one": 1, "two": 2, "five": 5}

    def __init__(self, rows: list[dict[str, npt.NDArray[np.int64]]]) -> None:
        self.schema, self.rows = SCHEMA, rows
        self.windows = 0

    def encode(self, document: Document, tokens: Tokens, plan: WindowPlan, *, mentions: str) -> Targets:
        return Targets({}, {"things": len(tokens), "others": 1}, {"things": [("x", "too odd")] * (len(tokens) // 10)})

    def window(self, targets: Targets, first: int, capacity: int, shift: int) -> dict[str, npt.NDArray[np.int64]]:
        self.windows += 1
        return self.rows[self.windows - 1]


NUMBERS = st.integers(0, 2**31 - 1)
CELLS = st.fixed_dictionaries(
    {
        name: st.lists(st.lists(NUMBERS, min_size=width, max_size=width), max_size=3).map(
            lambda rows, width=width: np.array(rows, dtype=np.int64).reshape(-1, width)  # type: ignore[misc]
        )
        for name, width in Given.columns.items()
    }
)


@settings(max_examples=40)
@given(data=st.data(), texts=st.lists(st.integers(0, 25), min_size=1, max_size=5))
def test_every_column_comes_back_as_the_codec_gave_it(data: st.DataObject, texts: list[int]) -> None:
    counts = [len(PLAN.starts(length)) for length in texts]
    rows = data.draw(st.lists(CELLS, min_size=sum(counts), max_size=sum(counts)))
    documents = [Document("a" * length) for length in texts]
    codec = cast(Codec, Given(rows))
    built = encode_dataset(documents, replace(encoding(), codec=codec), key=None)
    assert len(built) == len(rows)
    assert built.windows_of.tolist() == counts
    assert built.negative.tolist() == [not any(map(len, row.values())) for row in rows]
    assert built.counts.items == {"things": sum(texts), "others": len(texts)}
    lost = sum(length // 10 for length in texts)
    assert built.counts.unreachable == ({"things": {"too odd": lost}} if lost else {})
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=6))
    part = built.rows(chosen)
    documents_of = [number for number, count in enumerate(counts) for _ in range(count)]
    assert part.documents == [documents_of[row] for row in chosen]
    assert [len(ids) for ids in part.input_ids] == [built.lengths[row] for row in chosen]
    assert part.columns.keys() == Given.columns.keys()
    for name, found in part.columns.items():
        for entries, row in zip(found, chosen, strict=True):
            assert entries.tolist() == rows[row][name].tolist()
            assert entries.shape[1] == Given.columns[name]


def test_relations_have_a_column_more(own_cache: Path) -> None:
    place, school = Entity(1, 3, "place"), Entity(1, 5, "school")
    linked = [Document("去北京大学", [place, school], [Relation(school, "in", place)]), Document("ab" * 10)]
    schema = LabelSchema(("place", "school"), ("in",))
    for _ in range(2):  # written, and read again
        built = encode_dataset(linked, encoding(schema=schema), key="k")
        part = built.rows([0, 1])
        assert [sorted(spans.tolist()) for spans in part.columns["spans"]] == [[[0, 2, 3], [1, 2, 5]], []]
        assert [links.tolist() for links in part.columns["links"]] == [[[0, 2, 5, 2, 3]], []]
        assert built.negative.tolist() == [False, *[True] * 3]
        assert built.counts.items == {"entities": 2, "relations": 1}
    assert len(list(own_cache.glob("*.arrow"))) == 1


# Damage

OTHERS = [Document("上海在北京", [Entity(0, 2, "place")]), Document("ab" * 9, [Entity(2, 4, "school")])]


def content(dataset: EncodedDataset) -> object:
    """All that training sees of a dataset."""
    rows = dataset.rows(range(len(dataset)))
    columns = {name: [entries.tolist() for entries in part] for name, part in rows.columns.items()}
    return dataset.counts, [ids.tolist() for ids in rows.input_ids], columns, rows.documents


@settings(max_examples=60, phases=[Phase.generate])  # a seed has no smaller one
@given(seed=st.integers(0, 2**32))
def test_a_damaged_cache_is_encoded_again_and_says_so(seed: int) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("IE_CACHE", name)
        expected = {"k": content(store()), "o": content(store("o", OTHERS))}
        changed = damage(random.Random(seed), Path(name), "*.arrow", "*.json")
        for key, documents in (("k", EXAMPLES), ("o", OTHERS)):
            found = store(key, documents)
            assert content(found) == expected[key]
            if found.replaced is None:
                assert all(path.suffix == ".json" for path in changed if path.stem == _stem(key))  # whitespace
            again = store(key, documents)
            assert again.replaced is None
            assert content(again) == expected[key]


def _stem(key: str) -> str:
    identity = json.dumps([key, *encoding().identity()])
    return hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()


def test_a_cache_under_the_name_of_another_is_encoded_again(own_cache: Path) -> None:
    expected = content(store())
    store("o", OTHERS)
    for suffix in ("arrow", "json"):
        (own_cache / f"{_stem('o')}.{suffix}").replace(own_cache / f"{_stem('k')}.{suffix}")
    found = store()
    assert found.replaced == own_cache / f"{_stem('k')}.arrow"
    assert content(found) == expected


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "3", "\x80", "{}"])
def test_facts_that_are_none_are_no_traceback(text: str, own_cache: Path) -> None:
    expected = content(store())
    (own_cache / f"{_stem('k')}.json").write_text(text, encoding="latin-1")
    found = store()
    assert found.replaced is not None
    assert content(found) == expected


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no devices")
@pytest.mark.parametrize("home", ["/dev/null/nobody", None])
def test_without_a_home_windows_go_with_the_process(
    home: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("IE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cache._temporary_directory.cache_clear()
    if home is None:
        monkeypatch.setattr(Path, "home", unknown)
    else:
        monkeypatch.setenv("HOME", home)
    directory = cache_directory()
    assert directory == cache_directory()
    assert directory.parent == tmp_path
    assert len(encode_dataset(EXAMPLES, encoding(), key="x")) > 0
    cache._temporary_directory.cache_clear()


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no devices")
def test_a_cache_that_is_named_and_cannot_be_written_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IE_CACHE", "/dev/null/x")
    with pytest.raises(StorageError, match="/dev/null/x: Not a directory"):
        cache_directory()
