"""`ie predict -o DIRECTORY/`: an output for each input, whatever predicts them, and whoever is killed meanwhile."""

from __future__ import annotations

import gzip
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import psutil
import pyarrow
import pytest
from pyarrow import parquet
from support.corpora import as_json
from support.runner import ie, said
from support.shard_inputs import EXPORTED, SHARDS, SKIPPING, TEXTS, enter_inputs, predict
from support.shard_jobs import outputs
from support.stores import needs_s3, s3_server
from support.untrained import write_model

from ie_cli.commands import shard_job
from ie_cli.inference.shards import Manifest, Shard
from ie_cli.system.checksums import with_checksum
from ie_cli.system.streams import open_output, read_lines

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path) -> Path:
    return enter_inputs(tmp_path, monkeypatch, model)


def refused(*arguments: str) -> str:
    result = ie("predict", *arguments)
    assert result.exit_code in (1, 2), result.stderr
    return said(result)


def lines(path: str | Path) -> list[str]:
    return [line for _, line in read_lines(str(path))]


def test_each_input_has_an_output_and_the_sums_are_reported(here: Path) -> None:
    text = predict(*SKIPPING, "-o", "out/")
    assert f"5 shards with {sum(range(8, 13))} records written to out/" in text
    assert f"1 bad line skipped and written to {Path('out', '_rejects')}; the first: in/2.jsonl.gz:11" in text
    names = [f"{n}.jsonl.gz" for n in range(SHARDS)]
    assert outputs(here / "out").keys() == {
        "_rejects/2.jsonl.gz",
        *(f"_shards/{name}.json" for name in names),
        *names,
    }
    for n, name in enumerate(names):
        records = as_json("\n".join(lines(here / "out" / name)))
        assert [record["text"] for record in records] == [line * (n + 1) for line in TEXTS[: 8 + n]]
        assert [record["id"] for record in records] == [f"in/{name}:{k + 1}" for k in range(8 + n)]
    (reject,) = as_json("\n".join(lines("out/_rejects/2.jsonl.gz")))
    assert (reject["where"], reject["line"]) == ("in/2.jsonl.gz:11", "{bad")
    again = predict(*SKIPPING, "-o", "out/")
    assert "5 of 5 shards finished before" in again
    assert f"5 shards with {sum(range(8, 13))} records" in again


def test_parts_and_processes_make_the_same_files(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IE_MODEL", str(EXPORTED))  # processes start faster without torch
    predict(*SKIPPING, "-o", "out/")
    whole = outputs(here / "out")
    seen: set[str] = set()
    for part in ("1/3", "2/3", "3/3"):
        predict(*SKIPPING, "-o", "parts", "--shard", part)
        new = outputs(here / "parts").keys() - seen
        assert new
        assert all(outputs(here / "parts")[name] == whole[name] for name in new)
        seen |= new
    assert outputs(here / "parts") == whole
    killed: list[int] = []
    thread = threading.Thread(target=kill_a_worker, args=(here / "several" / "_shards", killed))
    thread.start()
    text = predict(*SKIPPING, "-o", "several/", "--workers", "2")
    thread.join()
    assert killed
    assert "failed" not in text
    assert outputs(here / "several") == whole


def kill_a_worker(manifests: Path, killed: list[int]) -> None:
    """Kill a process of the pool when the first shard is finished."""
    for _ in range(1200):
        if manifests.exists() and any(manifests.iterdir()):
            for child in psutil.Process().children():
                if "spawn_main" in " ".join(child.cmdline()):
                    os.kill(child.pid, signal.SIGKILL)
                    killed.append(child.pid)
                    return
        time.sleep(0.05)


def write_as(path: str, texts: list[str]) -> None:
    if path.endswith(".parquet"):
        parquet.write_table(pyarrow.table({"text": texts}), path)
        return
    with open_output(path) as file:
        file.writelines(f"{text}\n" if ".txt" in path else f"{json.dumps({'text': text})}\n" for text in texts)


@pytest.mark.parametrize(
    ("name", "output", "options"),
    [
        ("a.jsonl", "a.jsonl", ()),
        ("a.jsonl.gz", "a.jsonl.gz", ()),
        ("a.jsonl.zst", "a.jsonl.zst", ()),
        ("a.parquet", "a.jsonl", ()),
        ("a.txt", "a.jsonl", ("--text",)),
        ("a.txt.zst", "a.jsonl.zst", ("--text",)),
        ("a.jsonl", "a.conll", ("--to", "conll")),
        ("a.jsonl.gz", "a.parquet", ("--to", "parquet")),
    ],
)
@pytest.mark.parametrize("place", ["data", "memory://ie-shards"])
def test_formats(name: str, output: str, options: tuple[str, ...], place: str, here: Path) -> None:
    (here / "data").mkdir()
    write_as(f"data/{name}", TEXTS)
    if place != "data":
        fsspec.filesystem("memory").put_file(f"data/{name}", f"/ie-shards/in/{name}")
        predict("memory://ie-shards/in/*", "-o", "memory://ie-shards/out/", *options)
        fsspec.filesystem("memory").get_file(f"/ie-shards/out/{output}", output)
        fsspec.filesystem("memory").rm("/ie-shards", recursive=True)
        where = f"memory://ie-shards/in/{name}"
    else:
        predict("data/", "-o", "out/", *options)
        Path("out", output).rename(output)
        where = f"data/{name}"
    predict(f"data/{name}", "-o", f"one-{output}", *options)
    if not output.endswith((".jsonl", ".gz", ".zst")):
        assert Path(output).read_bytes() == Path(f"one-{output}").read_bytes()
        return
    records, alone = as_json("\n".join(lines(output))), as_json("\n".join(lines(f"one-{output}")))
    assert [record.pop("id") for record in records] == [f"{where}:{n}" for n in range(1, len(TEXTS) + 1)]
    assert records == alone


@needs_s3
def test_a_bucket(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predict(*SKIPPING, "-o", "out/")
    with s3_server(monkeypatch) as system:
        for file in Path("in").iterdir():
            system.put_file(str(file), f"bucket/texts/{'deep/' if file.name > '2' else ''}{file.name}")
        command = ("s3://bucket/texts/**/*.jsonl.gz", "-o", "s3://bucket/out/", "--on-error", "skip")
        text = predict(*command, "--shard", "1/2")
        assert "s3://bucket/out/_rejects" in text + predict(*command)
        assert "5 of 5 shards finished before" in predict(*command)
        for n in range(SHARDS):
            name = f"{'deep/' if n >= 2 else ''}{n}.jsonl.gz"
            remote = (
                gzip.decompress(system.cat(f"bucket/out/{name}"))
                .decode()
                .replace(f"s3://bucket/texts/{name}", f"in/{n}.jsonl.gz")
            )
            assert remote.splitlines() == lines(f"out/{n}.jsonl.gz")
        assert len(system.find("bucket/out")) == 2 * SHARDS + 1
        system.pipe("bucket/texts/0.jsonl.gz", gzip.compress(b'{"text": "x"}\n'))
        assert "_shards/0.jsonl.gz.json: the input s3://bucket/texts/0.jsonl.gz has changed" in refused(*command)


def test_a_shard_that_fails_does_not_stop_the_others(here: Path) -> None:
    text = refused("in/*.jsonl.gz", "-o", "out/")
    assert "error: 1 of 5 shards failed, the others are finished; the first: in/2.jsonl.gz:11" in text
    assert "--on-error skip" in text
    assert sorted(path.name for path in Path("out").glob("*.gz")) == [f"{n}.jsonl.gz" for n in (0, 1, 3, 4)]
    with gzip.open("in/2.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write('{"text": "王伟"}\n')
    assert "5 shards with" in predict("in/*.jsonl.gz", "-o", "out/")
    assert len(lines("out/2.jsonl.gz")) == 1


def test_kept_bad_lines_are_in_the_output(here: Path) -> None:
    predict("in/*.jsonl.gz", "-o", "out/", "--on-error", "keep")
    assert as_json(lines("out/2.jsonl.gz")[-1])[0]["line"] == "{bad"


def test_an_option_of_reading_is_checked_for_all_shards_together(here: Path) -> None:
    """Each part and each process sees only some of the formats."""
    for name, text in (("a.jsonl", json.dumps({"text": TEXTS[0]})), ("b.conll", "云 O")):
        with fsspec.open(f"memory://ie-shard-options/{name}", "wt", encoding="utf-8") as file:
            file.write(f"{text}\n")
    arguments = ("memory://ie-shard-options/*", "--text-column", "0", "-o")
    for part in ("1/2", "2/2"):
        predict(*arguments, "out", "--shard", part)
    assert {"a.jsonl", "b.jsonl"} <= outputs(here / "out").keys()
    fsspec.filesystem("memory").rm("/ie-shard-options/b.conll")
    for part in ("1/2", "2/2"):
        assert "a.jsonl: --text-column applies only to the formats" in refused(*arguments, "new", "--shard", part)
    assert not Path("new").exists()


def test_another_model_or_option_is_refused(here: Path, tmp_path: Path) -> None:
    predict(*SKIPPING, "-o", "out/")
    assert "--threshold was not given and is now 0.9" in refused(*SKIPPING, "-o", "out/", "--threshold", "0.9")
    other = write_model(tmp_path / "other", labels=("person",))
    text = refused(*SKIPPING, "-o", "out/", "--model", str(other))
    assert "this shard was predicted differently: the model has changed" in text
    assert "(and 4 more of 5 shards)" in text
    assert "write to another directory, or remove these manifests" in text


def test_a_signal_says_what_is_finished(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = shard_job.ShardPredictor.predict

    def interrupted(predictor: shard_job.ShardPredictor, shard: Shard) -> Manifest:
        if shard.name.startswith("2"):
            raise KeyboardInterrupt
        return original(predictor, shard)

    monkeypatch.setattr(shard_job.ShardPredictor, "predict", interrupted)
    result = ie("predict", *SKIPPING, "-o", "out/")
    assert result.exit_code == 130
    assert "stopped; 2 of 5 shards finished: continue with the same command" in said(result)
    monkeypatch.setattr(shard_job.ShardPredictor, "predict", original)
    assert "2 of 5 shards finished before" in predict(*SKIPPING, "-o", "out/")


def test_an_input_that_changes_meanwhile_is_not_finished(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = shard_job.records_of

    def growing(*arguments: Any, **named: Any) -> Iterator[Any]:
        yield from original(*arguments, **named)
        with open("in/1.jsonl.gz", "ab") as file:
            file.write(gzip.compress(b'{"text": "x"}\n'))

    monkeypatch.setattr(shard_job, "records_of", growing)
    text = refused("in/1.jsonl.gz", "-o", "out/")
    assert "in/1.jsonl.gz: the input has changed while the command was running" in text
    assert not list(Path("out").rglob("*.gz*"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ("in/*.gz", "-o", "out.jsonl", "--workers", "2"),
            "--workers writes a file for each input, but the output is out.jsonl",
        ),
        (("in/*.gz", "--shard", "1/2"), "but the output is standard output"),
        (("in/*.gz", "-o", "out/", "--shard", "3/2"), "1/8 to 8/8, got '3/2'"),
        (("in/*.gz", "-o", "out/", "--address", "auto"), "--address requires --engine ray"),
        (("in/*.gz", "-o", "out/", "--engine", "ray", "--workers", "2"), "use --actors with --engine ray"),
        (("in/*.gz", "-o", "out/", "--uncertain", "3"), "--uncertain compares the records of all inputs"),
        (("in/*.gz", "-o", "out/", "--rejects", "bad.jsonl"), "use --on-error skip instead of --rejects"),
        (
            ("in/*.gz", "-o", "out/", "--on-error", "keep", "--to", "conll"),
            "--on-error keep requires the output format jsonl",
        ),
        (("in/*.gz", "-o", "out/", "--workers", "2", "--to", "brat"), "the format brat is a directory itself"),
        (("-", "-o", "out/"), "standard input: an input of an output directory must be a file"),
        (("in/*.gz", "-o", "in/"), "outputs in this directory would be inputs of the next run"),
        (("in", "-o", "in/"), "outputs in this directory would be inputs of the next run"),
        (("in/**/*.gz", "-o", "in/out/"), "outputs in this directory would be inputs of the next run"),
        (("in/0.jsonl.gz", "-o", "in/"), "in/0.jsonl.gz: this file is also an output"),
        (("in/0.jsonl.gz", "in/*.gz", "-o", "out/"), "in/0.jsonl.gz: this file is named twice as input"),
        (("in/*.csv", "-o", "out/"), "in/*.csv: no file matches this pattern"),
        (("missing.jsonl", "-o", "out/"), "missing.jsonl: no such file"),
        (("memory://ie-none/*.jsonl", "-o", "out/"), "memory://ie-none/*.jsonl: no file matches this pattern"),
        (("memory://ie-none/x.jsonl", "-o", "out/"), "memory://ie-none/x.jsonl: no such file"),
        (("in/*.gz", "-o", "git://x/"), "the protocol 'git' is not allowed"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_cannot_be_is_an_error_before_anything_is_written(
    arguments: tuple[str, ...], expected: str, here: Path
) -> None:
    assert expected in " ".join(refused(*arguments).replace("│", " ").split())
    assert not Path("out").exists()


def test_without_ray_its_extra_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    text = refused("in/*.gz", "-o", "out/", "--engine", "ray")
    assert "--engine ray needs the package ray, which is not installed" in text
    assert "pip install 'ie-cli[ray]'" in text


def test_a_machine_with_another_model_or_without_the_directory_ends_the_command(
    here: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_job, "fingerprint", lambda path: "that of another machine")
    text = refused("in/*.gz", "-o", "out/")
    assert f"{model}: the model is not the one that the command was started with" in text
    monkeypatch.setattr(os, "getcwd", lambda: "/no/such/directory")
    text = refused("in/*.gz", "-o", "out/")
    assert "/no/such/directory: this directory cannot be entered on every machine" in text
    assert "use a directory that all machines share, or URLs and absolute paths" in text
    assert not Path("out").exists()


def test_precisions_that_differ_are_reported(here: Path) -> None:
    predict(*SKIPPING, "-o", "out/")
    path = Path("out", "_shards", "0.jsonl.gz.json")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    del manifest["checksum"]
    path.write_text(json.dumps(with_checksum(manifest | {"precision": "float64"})), encoding="utf-8")
    assert "and others in float64, because the machines differ: name one with --precision" in predict(
        *SKIPPING, "-o", "out/"
    )


def test_a_directory_of_brat_is_no_shard(here: Path) -> None:
    Path("corpus/news").mkdir(parents=True)
    Path("corpus/news/a.txt").write_text("Anna")
    Path("corpus/news/a.ann").write_text("")
    assert "corpus: a directory that is read as a whole cannot be a shard" in refused("corpus", "-o", "out/")
    assert not Path("out").exists()
