"""Compare one and two processes on this machine: how fast they train and predict, and whether they find the same.

    python benchmarks/processes.py [train] [predict] [divided] [--rounds 3] [--layers 12] [--hidden 384] [--sentences 768]
        [--lines 20000]

train    `ie train`: one process with batches of 16, and `--processes 2` with batches of 8 each, so that both take the same steps;
         float32, without dropout. Speed is the median of the readings of log.csv after the first two.
predict  `ie predict 'IN/*' -o OUT/` on 16 files: `--workers 1` and `--workers 2`, with the start of the processes.
divided  two processes, each with all weights, and with a part of them (`training.shard_weights`): the bytes of the weights, their
         gradients and the state of the optimizer in a process, and the speed, whose first reading is left out.

Every process has one thread, so two have twice the cores of one. Rounds alternate. The encoder is a BERT with random weights, or
that of --encoder, and the sentences are those of the quickstart. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import corpus

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data" / "quickstart"
STEP = 16
"""The number of sentences in a step."""
FILES = 16


def environment() -> dict[str, str]:
    """Return the environment of a process with one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "IE_MODEL": ""}


def run(*words: str) -> float:
    """Run a command of `ie` with one thread for each process, and return its seconds."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "ie_cli", *words, "--quiet"], cwd=ROOT, env=environment(), check=True)
    return time.perf_counter() - began


def recipe(encoder: Path, train: Path, epochs: int) -> dict[str, Any]:
    """Return the recipe without the size of its batches."""
    return {
        "name": "processes",
        "encoder": {"name": str(encoder), "max_length": 64, "stride": 16, "dropout": 0.0, "attention_dropout": 0.0},
        "data": {"train": str(train), "dev": str(DATA / "dev.json"), "format": "cluener"},
        "head": {"name": "efficient_global_pointer", "threshold": 0.5},
        "training": {"epochs": epochs, "learning_rate": 1e-4, "precision": "float32", "device": "cpu"},
    }


def train(here: Path, processes: int) -> tuple[float, list[tuple[int, float]], float]:
    """Train, and return the sentences per second, the mean loss of each epoch, and the F1 on dev."""
    output = here / f"run-{processes}"
    batch = f"training.batch_size={STEP // processes}"
    words = ["train", str(here / "recipe.yaml"), "--output", str(output), "--overwrite", "--set", batch]
    run(*words, "--processes", str(processes))
    with (output / "log.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    evaluated = [row for row in rows if row["f1"]]
    readings = [row for row in rows if not row["f1"]][2:] or evaluated
    speeds = [float(row["sentences_per_second"]) for row in readings if row["sentences_per_second"]]
    losses = [(int(row["step"]), float(row["loss"])) for row in evaluated]
    return statistics.median(speeds), losses, float(evaluated[-1]["f1"])


def train_divided(here: Path, fields: dict[str, Any], *, divided: bool) -> dict[str, Any]:
    """Train in two processes, and return what `worker_divided.py` prints."""
    training = fields["training"] | {"batch_size": STEP // 2, "shard_weights": divided}
    path = here / f"divided-{divided}.json"
    path.write_text(json.dumps(fields | {"training": training}), encoding="utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [*launcher, str(ROOT / "benchmarks" / "worker_divided.py"), str(path), str(path.with_suffix(""))]
    printed = subprocess.run(words, cwd=ROOT, env=environment(), check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def show_divided(here: Path, fields: dict[str, Any], rounds: int) -> None:
    """Print a table of what a process has of the model."""
    print("| two processes, each with | weights | gradients | state of AdamW | sentences/s |\n|---|--:|--:|--:|--:|")
    pairs = [[train_divided(here, fields, divided=divided) for divided in (False, True)] for _ in range(rounds)]
    for name, some in zip(("all weights", "a part of each"), zip(*pairs, strict=True), strict=True):
        cells = [f"{some[0]['bytes'][what] / 1e6:.1f} MB" for what in ("weights", "gradients", "state")]
        print(f"| {name} | {' | '.join(cells)} | {summary([one['speed'] for one in some])} |", flush=True)
    whole, parts = pairs[0]
    gap = max(abs(a - b) / a for a, b in zip(whole["losses"], parts["losses"], strict=True))
    print(
        f"\nLosses of the epochs differ by {gap:.1e} of their values at most; F1 {whole['f1']:.4f} and {parts['f1']:.4f}."
    )


def checksums(directory: Path) -> dict[str, str]:
    """Return the hashes of the files in a directory."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(directory.glob("*.jsonl"))}


def predict(here: Path, workers: int, number: int) -> tuple[float, dict[str, str]]:
    """Predict all files, and return the seconds and the hashes of the outputs."""
    output = here / f"out-{workers}-{number}"
    words = [f"{here}/in/*.jsonl", "--model", str(here / "run-1" / "model"), "--output", f"{output}/"]
    return run("predict", *words, "--precision", "float32", "--workers", str(workers)), checksums(output)


def write_lines(here: Path, texts: Sequence[str], lines: int) -> None:
    """Write texts to the files that are predicted, each with an id."""
    (here / "in").mkdir()
    for part in range(FILES):
        rows = ({"id": number, "text": texts[number % len(texts)]} for number in range(part, lines, FILES))
        corpus.write_lines(here / "in" / f"part-{part:02}.jsonl", rows)


def summary(some: Sequence[float]) -> str:
    """Return the median of some numbers, with the smallest and the largest in brackets."""
    return f"{statistics.median(some):.1f} ({min(some):.1f}–{max(some):.1f})"


def show(what: str, one: Sequence[float], two: Sequence[float], remark: str) -> None:
    """Print a row: medians with the smallest and the largest in brackets, and the median of the rounds' ratios."""
    ratios = [b / a for a, b in zip(one, two, strict=True)]
    print(f"| {what} | {summary(one)} | {summary(two)} | {statistics.median(ratios) / 2:.0%} | {remark} |", flush=True)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["train", "predict"], help="train, predict, divided")
    for name, default in (("rounds", 3), ("layers", 12), ("hidden", 384), ("sentences", 768), ("epochs", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--encoder", type=Path, help="a directory with an encoder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ie-processes-") as name:
        here = Path(name)
        sizes = corpus.Sizes(options.layers, options.hidden)
        material = corpus.make(
            here, DATA / "train.json", sizes, sentences=options.sentences, relation_sentences=corpus.PREDICATES
        )
        fields = recipe(options.encoder or material.encoder, material.entities, options.epochs)
        (here / "recipe.yaml").write_text(json.dumps(fields), encoding="utf-8")
        if "divided" in options.what:
            show_divided(here, fields, options.rounds)
        if {"train", "predict"}.isdisjoint(options.what):
            return
        print(
            "| work | one process, sentences/s | two processes, sentences/s | efficiency | results |\n|---|--:|--:|--:|---|"
        )
        both = [
            [train(here, count) for count in (1, 2)] for _ in range(options.rounds if "train" in options.what else 1)
        ]
        if "train" in options.what:
            (_, losses, f1), (_, other, other_f1) = both[0]
            gap = max(abs(a - b) / a for (_, a), (_, b) in zip(losses, other, strict=True))
            same = f"losses of the epochs differ by {gap:.1e} of their values at most; F1 {f1:.4f} and {other_f1:.4f}"
            show("training", [one for (one, *_), _ in both], [two for _, (two, *_) in both], same)
        if "predict" in options.what:
            write_lines(here, corpus.read_texts(material.texts), options.lines)
            pairs = [[predict(here, count, number) for count in (1, 2)] for number in range(options.rounds)]
            equal = all(found == pairs[0][0][1] for pair in pairs for _, found in pair)
            speeds = [[options.lines / seconds for seconds, _ in each] for each in zip(*pairs, strict=True)]
            show("prediction", *speeds, "identical files" if equal else "the files differ")


if __name__ == "__main__":
    main()
