"""What the comparisons share: trainings that several processes may work on, and that are not repeated once they have a result."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a file once."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text("".join(lines), encoding="utf-8")
        part.replace(path)


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Claim a job for this process while the context is open; false if another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def ie(*arguments: object) -> str:
    """Run a command, and return what it prints."""
    command = [sys.executable, "-m", "ie_cli", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout


def result_at(work: Path, name: str) -> dict[str, Any] | None:
    """Return the stored result of a training, or None if there is none yet."""
    path = work / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command printed, whether it failed, and what it cost."""

    failed: bool
    output: str
    errors: str
    seconds: float
    rss_mb: float


def run_measured(command: Sequence[str]) -> Finished:
    """Run a command, and measure its time and its peak memory."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)  # unlike `wait`, it returns the memory of this process alone
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode(errors="replace").strip())
    seconds = time.perf_counter() - began
    return Finished(process.returncode != 0, *texts, seconds, usage.ru_maxrss / 1024)


def train_once(
    work: Path,
    name: str,
    settings: Sequence[str],
    measure: Callable[[Path], dict[str, Any]],
    *,
    show: Callable[[Any], str],
    program: Sequence[str] = ("-m", "ie_cli"),
) -> None:
    """Train, or resume a stopped training, and store the result, unless it exists or another process works on it.

    Args:
        work: the directory for data, runs and results.
        name: the name of the training.
        settings: the fields of the recipe as ``--set`` takes them.
        measure: returns the result for a model directory; the time, the peak memory and the scores of the training are added,
            those of each evaluation if `training.trackers` has `csv`.
        show: formats the scores for a line of progress.
        program: what Python runs as `ie`.
    """
    with claimed(work / "claims" / name) as free:
        if not free or result_at(work, name) is not None:
            return
        recipe, directory = work / "data" / "recipe.yaml", work / "runs" / name
        write_lines(recipe, ["name: trial\n"])
        command = [sys.executable, *program, "train", str(recipe), "--output", str(directory)]
        for field in settings:
            command += ["--set", field]
        command += ["--resume"] if directory.exists() else []
        done = run_measured(command)
        if done.failed:
            print(f"{name}: {done.errors[-800:]}", flush=True)
            return
        metrics = json.loads((directory / "model" / "metrics.json").read_text(encoding="utf-8"))
        found = {
            "seconds": done.seconds,
            "rss_mb": done.rss_mb,
            "metrics": metrics,
            "curve": curve(directory),
            **measure(directory / "model"),
        }
        write_lines(work / "results" / f"{name}.json", [json.dumps(found)])
        print(f"{name}: {show(metrics)}, {done.seconds:.0f} s", flush=True)


def curve(directory: Path) -> list[float]:
    """Return the F1 of each evaluation of a run, at the chosen threshold where it is logged; empty without a `log.csv`."""
    path = directory / "log.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        points = [point.get("f1_at_threshold") or point.get("f1") for point in csv.DictReader(file)]
    return [float(point) for point in points if point]


def spread(values: Sequence[float]) -> str:
    """Return mean ± standard deviation."""
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{deviation}"
