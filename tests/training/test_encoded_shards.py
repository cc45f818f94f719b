"""Windows in several files: the same whoever writes them and in whatever order, and what is finished is not written again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.fakes import characters, codec_of, wordpiece

from ie_cli.codecs.gplinker import GPLinkerCodec
from ie_cli.data.document_shards import DocumentShards
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_features import WordFeatures, hash_tokenizer
from ie_cli.recipe.heads import EfficientGlobalPointerSection, GPLinkerSection
from ie_cli.training import encoding_processes
from ie_cli.training.encoded_dataset import EncodedDataset, encode_dataset
from ie_cli.training.encoded_shards import EncodedShard
from ie_cli.training.encoding_processes import encode_in_processes
from ie_cli.training.window_encoding import Encoding

SCHEMA = LabelSchema(("place", "school"))
RELATIONS = LabelSchema(("place", "school"), ("in",), {"in": (("school", "place"),)})
WORDPIECE = wordpiece()
WRITES: Counter[str] = Counter()


def documents(count: int = 60) -> list[Document]:
    """Return texts of different lengths, some longer than a window, some without annotation."""
    place, school = Entity(1, 3, "place"), Entity(1, 5, "school")
    return [
        Document(
            "去北京大学 " + "ab " * (number % 19),
            *([[place, school], [Relation(school, "in", place)]] if number % 3 else [[]]),
        )
        for number in range(count)
    ]


def encoding(kind: str = "entities") -> Encoding:
    head = EfficientGlobalPointerSection()
    common: dict[str, Any] = {"plan": WindowPlan(10, 4), "pad_id": 0}
    if kind == "relations":
        section = GPLinkerSection(name="gplinker")
        codec = GPLinkerCodec(RELATIONS, section)
        return Encoding(tokenizer=TextTokenizer(WORDPIECE), codec=codec, head=section, mentions="all", **common)
    if kind == "features":
        tokenizer = TextTokenizer(hash_tokenizer(), mode="char", features=WordFeatures(characters=True))
        return Encoding(tokenizer=tokenizer, codec=codec_of(SCHEMA), head=head, whole_words=True, texts=True, **common)
    tokenizer = TextTokenizer(characters(), normalization="nfkc")
    return Encoding(tokenizer=tokenizer, codec=codec_of(SCHEMA), head=head, **common)


@pytest.fixture(autouse=True)
def written(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the files that this process writes."""
    write = EncodedShard.write

    def noted(self: EncodedShard, *arguments: Any, **options: Any) -> Any:
        WRITES[self.path.name] += 1
        return write(self, *arguments, **options)

    monkeypatch.setattr(EncodedShard, "write", noted)
    WRITES.clear()
    return WRITES


def store(*, kind: str = "entities", workers: int = 1, count: int = 60, weight: int = 2000) -> EncodedDataset:
    return encode_dataset(DocumentShards(documents(count), weight=weight), encoding(kind), key="k", workers=workers)


def files(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(cache.iterdir()) if path.suffix in (".arrow", ".json")}


def content(dataset: EncodedDataset) -> object:
    """All that training sees of a dataset."""
    rows = dataset.rows(range(len(dataset)))
    columns = {name: [entries.tolist() for entries in part] for name, part in rows.columns.items()}
    arrays = [dataset.lengths, dataset.negative, dataset.windows_of, dataset.with_text]
    return [dataset.counts, [ids.tolist() for ids in rows.input_ids], columns, rows.documents, *map(list, arrays)]


@pytest.mark.parametrize("kind", ["entities", "relations", "features"])
def test_workers_write_what_a_single_process_writes(
    kind: str, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: Counter[str]
) -> None:
    alone = store(kind=kind)
    expected = files(own_cache)
    assert len(expected) == 2 * len(written) > 6
    written.clear()
    monkeypatch.setenv("IE_CACHE", str(tmp_path))
    together = store(kind=kind, workers=2)
    assert not written  # the workers wrote all of them
    assert files(tmp_path) == expected
    assert content(together) == content(alone)
    assert together.counts.items


@pytest.mark.parametrize("kind", ["entities", "relations", "features"])
def test_several_files_hold_what_a_single_file_holds(kind: str, own_cache: Path) -> None:
    several = store(kind=kind)
    assert len(list(own_cache.glob("*.arrow"))) > 3
    single = encode_dataset(documents(), encoding(kind), key="k")
    assert content(several) == content(single)
    chosen = [3, 50, 2, 2, 70]
    assert [ids.tolist() for ids in several.rows(chosen).input_ids] == [
        ids.tolist() for ids in single.rows(chosen).input_ids
    ]
    if kind == "features":
        with_text = several.with_text.nonzero()[0][:9].tolist()
        assert several.texts(with_text) == single.texts(with_text)


def test_a_second_start_writes_nothing(own_cache: Path, written: Counter[str]) -> None:
    first = content(store())
    before = files(own_cache)
    written.clear()
    assert content(store()) == first
    assert not written
    assert files(own_cache) == before
    assert {path.suffix for path in own_cache.iterdir()} == {".arrow", ".json"}


@pytest.mark.parametrize("damage", ["cut", "changed", "missing", "other shard", "facts"])
def test_only_a_damaged_file_is_written_again(damage: str, own_cache: Path, written: Counter[str]) -> None:
    expected, before = content(store()), None
    before = files(own_cache)
    written.clear()
    first, second = sorted(own_cache.glob("*.arrow"))[1:3]
    file = first.with_suffix(".json") if damage == "facts" else first
    whole = file.read_bytes()
    file.unlink()  # not written over: the first store still maps it
    if damage == "other shard":
        file.write_bytes(second.read_bytes())
    elif damage != "missing":
        file.write_bytes(whole[: len(whole) // 2] if damage == "cut" else whole[:-400] + bytes(400))
    again = store()
    assert content(again) == expected
    assert dict(written) == {first.name: 1}
    assert again.replaced == first
    assert files(own_cache) == before


def test_a_file_of_other_documents_is_written_again(own_cache: Path, written: Counter[str]) -> None:
    """If the limit of a shard changes with a version, files with the same name hold other documents."""
    shards = DocumentShards(documents(), weight=2000).shards
    found = store()
    written.clear()
    path = EncodedShard(sorted(own_cache.glob("*.arrow"))[0])
    assert path.find(shards[0].count) is not None
    assert path.find(shards[0].count + 1) is None
    assert content(store()) == content(found)


@pytest.mark.parametrize("reason", ["module", "head", "python"])
def test_without_workers_the_process_itself_encodes(
    reason: str, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: Counter[str]
) -> None:
    expected = content(store())
    before = files(own_cache)
    written.clear()
    monkeypatch.setenv("IE_CACHE", str(tmp_path))
    settings = encoding()
    if reason == "module":
        monkeypatch.setattr(encoding_processes, "_MODULE", "ie_cli.nowhere")
    elif reason == "head":  # one that only this process has registered
        settings = replace(settings, head=EfficientGlobalPointerSection.model_construct(name="toy"))
    else:
        monkeypatch.setattr(sys, "executable", "")
    again = encode_dataset(DocumentShards(documents(), weight=2000), settings, key="k", workers=2)
    assert content(again) == expected
    assert files(tmp_path) == before
    assert set(written.values()) == {1}
    assert len(written) == len(before) // 2


def test_what_a_killed_worker_leaves_is_encoded(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer of each worker is its last one."""
    expected = content(store())
    for path in own_cache.iterdir():
        path.unlink()
    ask, asked = encoding_processes._ask, Counter[int]()

    def deadly(process: subprocess.Popen[str], question: dict[str, Any]) -> None:
        asked[process.pid] += 1
        if asked[process.pid] == 3:
            process.kill()
        ask(process, question)

    monkeypatch.setattr(encoding_processes, "_ask", deadly)
    assert content(store(workers=2)) == expected
    assert list(asked.values()) == [3, 3]


def test_a_signal_ends_the_workers(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    started = []
    start = encoding_processes._start

    def noted() -> subprocess.Popen[str]:
        started.append(start())
        return started[-1]

    join, joins = encoding_processes.Thread.join, iter([True])

    def interrupted(self: Any) -> None:
        if next(joins, False):
            raise KeyboardInterrupt
        join(self)

    monkeypatch.setattr(encoding_processes, "_start", noted)
    monkeypatch.setattr(encoding_processes.Thread, "join", interrupted)
    shards = DocumentShards(documents(), weight=2000).shards
    tasks = [(shard, EncodedShard(own_cache / f"{shard.first}.arrow")) for shard in shards]
    with pytest.raises(KeyboardInterrupt):
        encode_in_processes(tasks, encoding(), workers=2)
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)


_MEMORY = """
import sys, threading, time
from ie_cli.data.document_shards import DocumentShards
from ie_cli.document import Document, Entity
from ie_cli.training.encoded_dataset import encode_dataset
from ie_cli.training.length_buckets import LengthBuckets
from test_encoded_shards import encoding

peak = 0

def look():
    global peak
    with open("/proc/self/status") as file:
        peak = max(peak, *(int(line.split()[1]) for line in file if line.startswith("RssAnon")))

def watch():
    while True:
        look()
        time.sleep(0.005)

threading.Thread(target=watch, daemon=True).start()
for count in map(int, sys.argv[1:]):
    texts = (Document(f"{number} ab", [Entity(0, 1, "place")], id=number) for number in range(count))
    shards = DocumentShards(texts, weight=2**17)
    dataset = encode_dataset(shards, encoding(), key=str(count), workers=1)
    sampler = LengthBuckets(dataset.lengths, dataset.negative, batch_size=16)
    sampler.set_epoch(1)
    read = sum(len(dataset.rows(rows).input_ids) for number, rows in enumerate(sampler) if number % 100 == 0)
    look()
    print(len(shards), len(dataset), read > 0, peak, flush=True)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc")
def test_memory_does_not_grow_with_the_data() -> None:
    """One document in memory takes more than a kilobyte, so that 40,000 would take more than 40 MB."""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-c", _MEMORY, "2000", "20000", "60000"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, check=True, text=True
    )
    rows = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert [row[:3] for row in rows] == [[count, count, "True"] for count in ("2000", "20000", "60000")]
    small, large = (int(row[3]) for row in rows[1:])
    assert large - small < 10_000  # kB


_BUILD = """
import sys
from test_encoded_shards import store
store(workers=int(sys.argv[1]), count=1500, weight=6000)
"""


def build(cache: Path, workers: int) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "IE_CACHE": str(cache)}
    return subprocess.Popen([sys.executable, "-c", _BUILD, str(workers)], env=environment, start_new_session=True)


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_build_is_continued(workers: int, own_cache: Path, tmp_path: Path, written: Counter[str]) -> None:
    process = build(own_cache, workers)
    deadline = time.monotonic() + 120
    while len(list(own_cache.glob("*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = {path.with_suffix(".arrow"): path.stat().st_mtime_ns for path in own_cache.glob("*.json")}
    again = store(count=1500, weight=6000)
    total = len(list(own_cache.glob("*.arrow")))
    assert 3 <= len(finished) < total
    assert len(written) == total - len(finished)
    assert not {path.name for path in finished} & written.keys()
    assert all(path.with_suffix(".json").stat().st_mtime_ns == before for path, before in finished.items())
    assert again.counts.documents == 1500
    assert {path.suffix for path in own_cache.iterdir()} <= {".arrow", ".json"}  # nor is anything else left


def test_of_two_processes_at_once_one_waits_for_the_other(own_cache: Path) -> None:
    both = [build(own_cache, 1) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert len(list(own_cache.glob("*.arrow"))) == len(DocumentShards(documents(1500), weight=6000).shards)
    assert {path.suffix for path in own_cache.iterdir()} == {".arrow", ".json"}
