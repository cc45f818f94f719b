"""Measure training on data of several sizes: start-up, memory, loader and steps.

    python benchmarks/large_data.py 10000 100000
    python benchmarks/large_data.py 1000000 10000000 --directory /mnt/large

Each size takes 190 bytes per sentence for the file and about 650 for the cache, which are removed at the end. The sentences are
synthetic and depend on the seed alone. Every start is a process of its own, with its workers; the first one reads and encodes the
data, the second one finds them in the cache. Memory is the peak of the whole process tree: "anonymous" is what the system cannot
take back without swapping, "resident" includes the pages of mapped files, which it can. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FIRST_NAMES = "Ada Grace Alan Edsger Barbara Donald Niklaus Tony Leslie Frances".split()  # noqa: SIM905
LABELS = ("person", "city")
DEV = 500
SECONDS = 6.0
"""How long the loader, and the steps, are measured."""
READINGS = 3
"""The smallest number of readings of the speed of the steps."""


def sentences(count: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Yield sentences of 6 to 24 words or names, the words by a power law, the names mostly distinct."""
    draw = random.Random(seed)
    for number in range(count):
        parts, entities, at = [], [], 0
        for _ in range(draw.randint(6, 24)):
            part = f"w{int(draw.paretovariate(1.1)) % 30_000}"
            if draw.random() < 0.12:
                part = f"{draw.choice(FIRST_NAMES)} {chr(65 + draw.randrange(26))}{draw.randrange(10_000)}son"
                entities.append({"start": at, "end": at + len(part), "label": draw.choice(LABELS)})
            parts.append(part)
            at += len(part) + 1
        yield {"id": number, "text": " ".join(parts), "entities": entities}


def write(path: Path, count: int, seed: int) -> None:
    """Write sentences to a file of JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        for sentence in sentences(count, seed):
            file.write(json.dumps(sentence) + "\n")


class Memory:
    """The peak memory of this process and its children, looked at ten times a second."""

    def __init__(self) -> None:
        self.anonymous = self.resident = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            both = [_memory(process) for process in _tree(os.getpid())]
            self.anonymous = max(self.anonymous, sum(anonymous for anonymous, _ in both))
            self.resident = max(self.resident, sum(resident for _, resident in both))
            time.sleep(0.1)

    def restart(self) -> dict[str, float]:
        """Return the peaks so far in MB, and begin again."""
        found = {"anonymous": self.anonymous / 1024, "resident": self.resident / 1024}
        self.anonymous = self.resident = 0
        return found


def _tree(process: int) -> list[int]:
    found = [process]
    try:
        for task in os.listdir(f"/proc/{process}/task"):
            children = Path(f"/proc/{process}/task/{task}/children").read_text(encoding="ascii").split()
            found += [inner for child in children for inner in _tree(int(child))]
    except OSError:  # it has ended
        pass
    return found


def _memory(process: int) -> tuple[int, int]:
    """Return the anonymous and the resident memory of a process in kB."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0, 0
    fields = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if "kB" in rest}
    return fields.get("RssAnon", 0), fields.get("VmRSS", 0)


def recipe_of(directory: Path) -> Any:
    """Return the recipe: the smallest encoder, so that the data are what is measured."""
    from ie_cli.recipe.schema import Recipe

    fields = {
        "name": "large",
        "task": "ner",
        "encoder": {"name": "hash_cnn"},
        "data": {"train": str(directory / "train.jsonl"), "dev": str(directory / "dev.jsonl")},
        "head": {"name": "efficient_global_pointer"},
        "training": {"epochs": 1, "batch_size": 16, "device": "cpu"},
    }
    return Recipe.model_validate(fields)


def start(directory: Path) -> dict[str, Any]:
    """Start a run and train it for some seconds, then read batches without a model; in a process of its own."""
    memory, began = Memory(), time.perf_counter()
    from ie_cli.training.events import Progress
    from ie_cli.training.run import train
    from ie_cli.training.sampling import Steps, build_steps
    from ie_cli.training.setup import prepare
    from ie_cli.training.shares import SharedSteps

    found: dict[str, Any] = {"imports": time.perf_counter() - began}
    began = time.perf_counter()
    recipe, rates = recipe_of(directory), list[float]()
    events = train(recipe, directory / "run", overwrite=True)
    next(events)
    found |= {"start": time.perf_counter() - began, "start_memory": memory.restart()}
    began = time.perf_counter()
    for event in events:
        if isinstance(event, Progress):
            rates.append(event.rate)
        if len(rates) > READINGS and time.perf_counter() - began > SECONDS:
            break
    events.close()
    # The first reading includes what precedes the first step.
    found |= {"steps": statistics.median(rates[1:] or [0.0]), "steps_memory": memory.restart()}
    mixture, sampler = build_steps(prepare(recipe), recipe)
    steps = Steps(mixture)
    began, examples = time.perf_counter(), 0
    for shares in SharedSteps(sampler, mixture.first):
        examples += sum(map(len, steps.__getitems__(shares)))
        if time.perf_counter() - began > SECONDS:
            break
    return found | {"loader": examples / (time.perf_counter() - began)}


def measure(directory: Path) -> dict[str, Any]:
    """Start a run in another process."""
    environment = {**os.environ, "IE_CACHE": str(directory / "cache"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--start", str(directory)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def row(count: int, parent: Path | None) -> str:
    """Return the row of a size."""
    with tempfile.TemporaryDirectory(dir=parent) as name:
        directory = Path(name)
        write(directory / "train.jsonl", count, seed=1)
        write(directory / "dev.jsonl", DEV, seed=2)
        first, second = measure(directory), measure(directory)
        cached = sum(path.stat().st_size for path in (directory / "cache").rglob("*") if path.is_file())
        size = (directory / "train.jsonl").stat().st_size
    peaks = [first["start_memory"], second["start_memory"], second["steps_memory"]]
    cells = [
        f"{count:,}",
        f"{size / 2**20:,.0f}",
        f"{cached / 2**20:,.0f}",
        f"{first['start']:.1f}",
        f"{second['start']:.1f}",
        *(f"{peak['anonymous']:,.0f} / {peak['resident']:,.0f}" for peak in peaks),
        f"{second['loader']:,.0f}",
        f"{second['steps']:,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print a table with a row for each size, or measure one start in a child process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="*", help="numbers of sentences")
    parser.add_argument("--directory", type=Path, help="where the files are written (default: the temporary directory)")
    parser.add_argument("--start", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.start is not None:
        print(json.dumps(start(given.start)))
        return
    columns = [
        "sentences",
        "file, MB",
        "cache, MB",
        "first start, s",
        "second start, s",
        "memory of the first start, MB (anonymous / resident)",
        "of the second",
        "of training",
        "loader, sentences/s",
        "training, sentences/s",
    ]
    print(f"| {' | '.join(columns)} |\n|{'--:|' * len(columns)}", flush=True)
    for count in given.sizes or (10_000, 100_000):
        print(row(count, given.directory), flush=True)


if __name__ == "__main__":
    main()
