"""Workers that take turns: one process per system, one of them working at a time, rounds compared pair by pair.

A worker is a module of this directory with `start(options) -> (facts, run)`; `run()` runs one round and returns
``{"seconds": …, "items": …, …}``. `Worker` starts it in a separate process, with the Python that it needs:

    PYTHON benchmarks/harness.py MODULE OPTIONS
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

Reply = dict[str, Any]
TAIL = 1500  # bytes of a dead worker's stderr that are shown
PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "ie-cli", "onnxruntime")
PACKAGES += ("bert4torch", "gliner", "gliner2", "span-marker", "spacy", "spacy-transformers", "edsnlp")


class WorkerError(RuntimeError):
    """A worker that could not start, or died; the message ends with its last output."""

    def brief(self) -> str:
        """Return what happened, and the last line, which is the error if there is a traceback."""
        first, *more = str(self).strip().splitlines()
        return f"{first.partition(';')[0]}: {more[-1]}" if more else first


class MissingPackage(WorkerError):
    """A worker whose Python lacks a package."""


class Worker:
    """A persistent process that runs one round for each request.

    Attributes:
        facts: what the worker's `start` returned, e.g. its precision.
        error: why it gets no more requests.
    """

    def __init__(self, name: str, python: str, module: str, options: Mapping[str, Any]) -> None:
        self.name = name
        self.error: WorkerError | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  it is open as long as the process runs
        environment = os.environ | {"PYTHONUTF8": "1", "HF_HUB_OFFLINE": "1"}
        try:
            self._process = subprocess.Popen(
                [python, __file__, module, json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                encoding="utf-8",
                env=environment,
            )
        except OSError as error:
            raise WorkerError(f"{name}: cannot run {python}: {error.strerror}") from error
        try:
            self.facts = self._answer()
        except BaseException:
            self.close()
            raise
        if "missing" in self.facts:
            self.close()
            raise MissingPackage(f"{name}: not installed: {self.facts['missing']}")

    def request(self, message: Mapping[str, Any]) -> Reply:
        """Run a round."""
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it is dead: reading shows why
        return self._answer()

    def _answer(self) -> Reply:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        code = self._process.wait()
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - TAIL))
        tail = self._log.read().decode(errors="replace").strip()
        raise WorkerError(f"{self.name}: ended with code {code}; the end of what it wrote:\n{tail or '(nothing)'}")

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(module: str, options: Mapping[str, Any]) -> None:
    """Run the worker's side: start, then run a round for every line of stdin."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no reply

    def reply(fields: Mapping[str, Any]) -> None:
        print(json.dumps(fields), file=replies, flush=True)

    try:
        facts, run = importlib.import_module(module).start(options)
    except ModuleNotFoundError as error:
        reply({"missing": error.name})
        return
    reply(facts)
    for _ in sys.stdin:
        gc.collect()  # the garbage of the last round is not part of this one
        reply(run() | {"rss_mb": peak_rss()})


def peak_rss() -> float:
    """Largest resident set of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the process that this one was forked from
        fields = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    memory = psutil.Process().memory_info()
    return getattr(memory, "peak_wset", memory.rss) / 2**20


def alternate(
    workers: Sequence[Worker], rounds: int, tell: Callable[[str], None] = lambda text: None
) -> dict[str, list[Reply]]:
    """Run one warm-up round each, then rounds in turn, every other one in reverse order; only one worker works at a time.

    A worker that dies keeps its error and is skipped from then on.

    Returns:
        The replies of each worker, without the warm-up.
    """
    replies: dict[str, list[Reply]] = {worker.name: [] for worker in workers}
    for number in range(rounds + 1):
        for worker in workers if number % 2 == 0 else reversed(workers):
            if worker.error is not None:
                continue
            try:
                reply = worker.request({"round": number})
            except WorkerError as error:
                worker.error = error
                tell(str(error))
                continue
            tell(f"{f'round {number}' if number else 'warm-up'}: {worker.name}: {reply['seconds']:.2f} s")
            if number:
                replies[worker.name].append(reply)
    return replies


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, smallest and largest of some rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of all rounds."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast a baseline is: by the medians, and by the rounds pair by pair."""

    of_medians: float
    pairs: Spread


def seconds(replies: Sequence[Reply]) -> Spread:
    """Seconds of a round."""
    return Spread.of([reply["seconds"] for reply in replies])


def compare(replies: Sequence[Reply], baseline: Sequence[Reply]) -> Ratio:
    """Items per second of the baseline over those of a worker, which may have had fewer items."""
    own, other = ([reply["items"] / reply["seconds"] for reply in each] for each in (replies, baseline))
    pairs = [b / a for a, b in zip(own, other, strict=True)]
    return Ratio(statistics.median(other) / statistics.median(own), Spread.of(pairs))


def machine(pythons: Mapping[str, str]) -> list[str]:
    """Return lines about the date, processor and package versions; `pythons` maps the name of an environment to its Python."""
    cores = f"{psutil.cpu_count(logical=False) or '?'} cores, {psutil.cpu_count()} threads"
    memory = f"{psutil.virtual_memory().total / 2**30:.0f} GiB"
    lines = [f"{date.today().isoformat()}; {processor()}; {cores}; {memory}; {platform.system()}"]
    return lines + [f"{name}: {versions(python)}" for name, python in pythons.items()]


def processor() -> str:
    """Return the name of the processor, and its bfloat16 instructions."""
    file = Path("/proc/cpuinfo")
    if not file.exists():
        return platform.processor() or platform.machine()
    lines = (line.partition(":") for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
    fields = {key.strip(): value.strip() for key, _, value in lines}
    known = [flag for flag in ("avx512_bf16", "amx_bf16", "bf16") if flag in fields.get("flags", "").split()]
    name = fields.get("model name") or platform.machine()
    return f"{name} ({', '.join(known) or 'no bfloat16 instructions'})"


def versions(python: str) -> str:
    """Return the versions of Python and of the `PACKAGES` in an environment."""
    code = (
        "import json, platform, sys\n"
        "from importlib.metadata import PackageNotFoundError, version\n"
        "found = {'Python': platform.python_version()}\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        found[name] = version(name)\n"
        "    except PackageNotFoundError:\n"
        "        pass\n"
        "print(json.dumps(found))\n"
    )
    try:
        run = subprocess.run([python, "-c", code, *PACKAGES], capture_output=True, check=True, encoding="utf-8")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"cannot be asked: {error}"
    return ", ".join(f"{name} {version}" for name, version in json.loads(run.stdout).items())


def gemm_peak(size: int = 2048, runs: int = 8) -> dict[str, float]:
    """Measure the GFLOP/s of the product of two square matrices in float32 and bfloat16, best of some runs."""
    import torch

    found = {}
    for precision in ("float32", "bfloat16"):
        matrix = torch.randn(size, size).to(getattr(torch, precision))
        times = []
        for _ in range(runs):
            began = time.perf_counter()
            matrix @ matrix
            times.append(time.perf_counter() - began)
        found[precision] = 2 * size**3 / min(times) / 1e9
    return found


def write_section(path: Path, name: str, markdown: str) -> None:
    """Put Markdown between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``; at the end if there is no such section.

    Raises:
        ValueError: one of the two marks is missing, or they are in the wrong order.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    section = f"{begin}\n{markdown.strip()}\n{end}"
    first, last = text.find(begin), text.find(end)
    if first < 0 and last < 0:
        text = f"{text.rstrip()}\n\n{section}\n".lstrip()
    elif 0 <= first < last:
        text = text[:first] + section + text[last + len(end) :]
    else:
        raise ValueError(f"{path}: expected {begin} followed by {end}; correct the marks")
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(sys.argv[2]))
