"""Predict many short lines by shards with `kill -9` at random moments, and compare the outputs with those of one process.

    python benchmarks/shards.py [--lines 1000000] [--shards 64] [--kills 20] [--seed 0] [--model DIR] [ray] [workers] [command]

ray      a local cluster of two nodes; actors are killed
workers  `--workers 2`; worker processes are killed
command  one process, killed as a whole and started again

The outputs, the bad lines and the manifests must be those of one process to the byte. `--model` is a model directory, by
default the exported one of the tests, which is small: what is measured is what happens around a model.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "tests" / "fixtures" / "format_v2" / "ner" / "onnx"
TEXTS = ROOT / "data" / "quickstart" / "train.json"
BAD_EVERY = 9973
"""One of so many lines is bad."""
ACTOR, WORKER = "ray::ShardActor", "spawn_main"
"""What the command lines of the processes contain that are killed."""


@dataclass
class Result:
    """What a way to predict came to."""

    name: str
    seconds: float = 0.0
    kills: int = 0
    starts: int = 0
    peak: float = 0.0
    """The largest resident memory of a process that predicted, in MB."""
    problems: list[str] = field(default_factory=list)


def write_inputs(directory: Path, lines: int, shards: int) -> None:
    """Write the lines as compressed files of about the same size."""
    texts = [json.loads(line)["text"] for line in TEXTS.read_text(encoding="utf-8").splitlines()]
    directory.mkdir()
    for shard in range(shards):
        with gzip.open(directory / f"part-{shard:05}.jsonl.gz", "wt", encoding="utf-8", compresslevel=1) as file:
            for n in range(shard, lines, shards):
                file.write(
                    "{bad\n" if n % BAD_EVERY == 7 else f"{json.dumps({'id': n, 'text': texts[n % len(texts)]})}\n"
                )


def checksum(directory: Path) -> dict[str, str]:
    """Return the hashes of all files in a directory and below; the manifests have no times of their own."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def start(inputs: Path, output: Path, model: Path, options: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start the command."""
    words = ["predict", f"{inputs}/*.jsonl.gz", "--model", str(model), "--output", f"{output}/", "--on-error", "skip"]
    command = [sys.executable, "-m", "ie_cli", *words, "--quiet", *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT)


def victims(word: str) -> list[psutil.Process]:
    """Return the processes whose command lines contain a word."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(word in part for part in process.cmdline()):
                found.append(process)
    return found


def watch(result: Result, process: subprocess.Popen[bytes], word: str, kills: int, chance: random.Random) -> None:
    """Kill one of the processes that predict now and then, until the command has ended."""
    following = time.monotonic() + chance.uniform(2, 8)
    while process.poll() is None:
        alive = victims(word)
        for one in alive:
            with contextlib.suppress(psutil.Error):
                result.peak = max(result.peak, one.memory_info().rss / 1e6)
        if alive and result.kills < kills and time.monotonic() > following:
            with contextlib.suppress(psutil.Error):
                chance.choice(alive).send_signal(signal.SIGKILL)
                result.kills += 1
            following = time.monotonic() + chance.uniform(2, 8)
        time.sleep(0.1)


def predict(
    result: Result, job: tuple[Path, Path, Path], options: Sequence[str], word: str, kills: int, seed: int
) -> None:
    """Run the command whose workers are killed; if a shard fails because its workers were all killed, run it again."""
    chance, began = random.Random(seed), time.monotonic()
    while result.starts < 1 + kills:
        process = start(*job, options)
        result.starts += 1
        watcher = threading.Thread(target=watch, args=(result, process, word, kills, chance))
        watcher.start()
        said = process.stderr.read().decode() if process.stderr else ""
        process.wait()
        watcher.join()
        if process.returncode == 0:
            break
        if "failed, the others are finished" not in said:
            result.problems.append(said[-500:])
            break
    result.seconds = time.monotonic() - began


def predict_with_restarts(result: Result, job: tuple[Path, Path, Path], kills: int, seed: int) -> None:
    """Kill the command itself, and start it again."""
    chance, began = random.Random(seed), time.monotonic()
    while True:
        process = start(*job, ())
        result.starts += 1
        until = time.monotonic() + chance.uniform(2, 15)
        while process.poll() is None and (result.kills >= kills or time.monotonic() < until):
            with contextlib.suppress(psutil.Error):
                result.peak = max(result.peak, psutil.Process(process.pid).memory_info().rss / 1e6)
            time.sleep(0.1)
        if process.poll() is not None:
            if process.returncode:
                result.problems.append(process.stderr.read().decode()[-500:] if process.stderr else "")
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        result.kills += 1
    result.seconds = time.monotonic() - began


@contextlib.contextmanager
def cluster() -> Iterator[Any]:
    """Start two nodes on this machine, with half of the processor cores each."""
    from ray.cluster_utils import Cluster

    cores, memory = max(1, (os.cpu_count() or 2) // 2), 80 * 2**20
    nodes = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": cores, "include_dashboard": False, "object_store_memory": memory},
    )
    nodes.add_node(num_cpus=cores, object_store_memory=memory)
    try:
        yield nodes
    finally:
        nodes.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["ray", "workers", "command"], help="ray, workers, command")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=64)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", type=Path, default=MODEL)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # scores may depend on the number of threads in their last digits
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="ie-shards-") as name:
        here = Path(name)
        write_inputs(here / "in", options.lines, options.shards)
        alone = Result("one process, not killed")
        predict_with_restarts(alone, (here / "in", here / "alone", options.model), 0, options.seed)
        results.append(alone)
        expected = checksum(here / "alone")
        for what in options.what:
            result = Result(what)
            job = (here / "in", here / what, options.model)
            if what == "ray":
                with cluster() as nodes:
                    words = ("--engine", "ray", "--address", nodes.address)
                    predict(result, job, words, ACTOR, options.kills, options.seed)
            elif what == "workers":
                predict(result, job, ("--workers", "2"), WORKER, options.kills, options.seed)
            else:
                predict_with_restarts(result, job, options.kills, options.seed)
            if checksum(here / what) != expected:
                result.problems.append("the files differ from those of one process")
            results.append(result)
    for one in results:
        rate = options.lines / one.seconds if one.seconds else 0.0
        print(
            f"{one.name}: {one.seconds:.0f} s, {rate:,.0f} lines/s, {one.kills} kills, {one.starts} starts, "
            f"at most {one.peak:.0f} MB, {'identical' if not one.problems else one.problems}"
        )
    sys.exit(any(one.problems for one in results))


if __name__ == "__main__":
    main()
