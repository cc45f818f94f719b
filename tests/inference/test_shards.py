"""Names, parts and manifests of shards."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.shard_jobs import FACTS, job, make_shards, outputs

from ie_cli.errors import DataError
from ie_cli.inference.shard_workers import predict_here
from ie_cli.inference.shards import Part, Shard, ShardDirectory, name_shards
from ie_cli.system.checksums import with_checksum
from ie_cli.system.stores import FileState, state_of

STATE = FileState(1, "1")
PARTS = st.lists(st.text("ab.-", min_size=1, max_size=4).filter(lambda part: part.strip(".")), min_size=1, max_size=3)
NAMES = st.lists(PARTS.map("/".join), unique=True, max_size=30)


def found(*names: str) -> list[tuple[str, str, FileState]]:
    return [(f"in/{name}", name, STATE) for name in names]


@given(NAMES, st.integers(1, 9), st.randoms())
def test_the_parts_are_all_shards_and_have_none_in_common(names: list[str], of: int, random: Any) -> None:
    listed = found(*(f"{name}.x" for name in names))  # no suffix of a format, so that no two names are the same
    shards = name_shards(listed, ".jsonl", compress=True)
    parts = [Part(number, of).select(shards) for number in range(1, of + 1)]
    assert sorted((shard for part in parts for shard in part), key=lambda shard: shard.name) == shards
    directory = ShardDirectory("out")
    files = [
        {path(shard) for shard in part for path in (directory.output, directory.manifest, directory.rejects)}
        for part in parts
    ]
    assert sum(map(len, files)) == len(set().union(*files)) == 3 * len(names)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    random.shuffle(listed)  # other machines may list files in another order
    assert [
        Part(number, of).select(name_shards(listed, ".jsonl", compress=True)) for number in range(1, of + 1)
    ] == parts


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/", "a/b", "-1/3", "1/0", "1/2/3", ""])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(ValueError, match="1/8 to 8/8"):
        Part.parse(text)


@pytest.mark.parametrize(
    ("name", "suffix", "compress", "expected"),
    [
        ("a/x.jsonl.gz", ".jsonl", True, "a/x.jsonl.gz"),
        ("x.txt", ".jsonl", True, "x.jsonl"),
        ("x.parquet", ".jsonl", True, "x.jsonl"),
        ("x.txt.zst", ".conll", True, "x.conll.zst"),
        ("x.jsonl.gz", ".parquet", False, "x.parquet"),
        ("2026.11.27", ".jsonl", True, "2026.11.27.jsonl"),
        ("part-0001", ".jsonl", True, "part-0001.jsonl"),
    ],
)
def test_outputs_are_named_after_their_inputs(name: str, suffix: str, compress: bool, expected: str) -> None:
    assert name_shards(found(name), suffix, compress=compress)[0].name == expected


def test_two_inputs_with_one_output() -> None:
    with pytest.raises(DataError, match=r"in/x.txt: its output would be x.jsonl, as that of in/x.json"):
        name_shards(found("x.json", "x.txt"), ".jsonl", compress=True)


@pytest.fixture
def done(tmp_path: Path) -> tuple[ShardDirectory, list[Shard]]:
    shards = make_shards(tmp_path, 3)
    list(predict_here(job(tmp_path, "out"), shards))
    return ShardDirectory(str(tmp_path / "out")), shards


def changed(directory: ShardDirectory, shard: Shard, **fields: Any) -> None:
    path = Path(directory.manifest(shard))
    manifest = json.loads(path.read_text(encoding="utf-8"))
    del manifest["checksum"]
    path.write_text(json.dumps(with_checksum(manifest | fields)), encoding="utf-8")


def test_finished_shards_are_not_predicted_again(done: tuple[ShardDirectory, list[Shard]]) -> None:
    directory, shards = done
    before = outputs(Path(directory.root))
    assert sorted(before) == [f"{n}.txt" for n in range(3)] + [f"_shards/{n}.txt.json" for n in range(3)]
    finished, waiting = directory.plan(shards, FACTS)
    assert ([shard.name for shard in finished], waiting) == (["0.txt", "1.txt", "2.txt"], [])
    Path(directory.output(shards[1])).unlink()  # whoever removes an output wants it again
    Path(directory.manifest(shards[2])).unlink()  # killed before the manifest was written
    finished, waiting = directory.plan(shards, FACTS)
    assert (list(finished), waiting) == ([shards[0]], shards[1:])
    assert directory.plan([], FACTS) == ({}, [])
    assert ShardDirectory(f"{directory.root}/none").plan(shards, FACTS) == ({}, shards)


def test_another_model_or_option_is_an_error_that_says_what_to_do(done: tuple[ShardDirectory, list[Shard]]) -> None:
    directory, shards = done
    with pytest.raises(DataError) as caught:
        directory.plan(shards, {"model": "lower", "threshold": 0.3})
    assert (
        "0.txt.json: this shard was predicted differently: the model has changed; --threshold was not given and is now 0.3"
        in str(caught.value)
    )
    assert "(and 2 more of 3 shards)" in caught.value.message
    assert "write to another directory, or remove these manifests" in str(caught.value.hint)


def test_a_changed_input_is_an_error_and_a_copied_one_is_not(done: tuple[ShardDirectory, list[Shard]]) -> None:
    directory, shards = done
    path = Path(shards[0].path)
    content = path.read_bytes()
    os.utime(path, (1, 1))
    copied = replace(shards[0], state=state_of(str(path)))  # type: ignore[arg-type]
    assert copied != shards[0]
    assert list(directory.plan([copied, *shards[1:]], FACTS)[0]) == [copied, *shards[1:]]
    for other in (content[:-1] + b"!", content + b"more\n"):
        path.write_bytes(other)
        os.utime(path, (2, 2))
        with pytest.raises(
            DataError, match=r"0.txt.json: the input .*0.txt has changed since this shard was predicted"
        ):
            directory.plan([replace(shards[0], state=state_of(str(path)))], FACTS)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"the input was .*0.txt and is now elsewhere/0.txt"):
        directory.plan([replace(shards[0], path="elsewhere/0.txt")], FACTS)


def test_damage_is_found(done: tuple[ShardDirectory, list[Shard]]) -> None:
    directory, shards = done
    manifest = Path(directory.manifest(shards[0]))
    good = manifest.read_bytes()
    for bad in (b"", b"{", b"[]", good[:40], good.replace(b'"size"', b'"sise"'), b'{"format_version": 1}', b"\xff"):
        manifest.write_bytes(bad)
        with pytest.raises(DataError, match=r"0.txt.json: damaged: .*") as caught:
            directory.plan(shards, FACTS)
        assert caught.value.hint == "remove it: the shard is then predicted again."
    manifest.write_bytes(good)
    changed(directory, shards[0], format_version=2)
    with pytest.raises(DataError, match="a newer version"):
        directory.plan(shards, FACTS)
    manifest.write_bytes(good)
    with Path(directory.output(shards[0])).open("a", encoding="utf-8") as file:
        file.write("x")
    with pytest.raises(DataError, match=r"the output 0.txt has 8 bytes, but 7 were written"):
        directory.plan(shards, FACTS)
