"""Compare the heads of sentence pairs with the same encoder, data, batches and number of steps.

    python benchmarks/pairs.py search stsb --data DIR --encoders DIR --work DIR [HEAD ...] [--pairs N] [--rates RATE ...]
    python benchmarks/pairs.py train stsb …           # the best rate of each head, three seeds
    python benchmarks/pairs.py peers stsb … --peers PYTHON     # CoSENTLoss of sentence-transformers, with the rate of cosent
    python benchmarks/pairs.py speed stsb … --peers PYTHON     # pairs per second in prediction, of models that are trained
    python benchmarks/pairs.py report stsb …

`afqmc` in place of `stsb` compares on Chinese questions. DIR holds pairs/, and en-minilm/ and zh-e5-char/, which are no part of
this repository. The rate and the epoch are chosen on dev (afqmc: the last 500 training pairs), also for sentence-transformers;
the scores are those of test (afqmc: dev). A run whose result is in WORK is not repeated.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trials import result_at, spread, train_once, write_lines

from ie_cli import Extractor, read_documents

RATES = (2e-5, 5e-5, 1e-4)
"""Learning rates of the encoder; that of the head is 20 times as high."""
SEEDS = (1, 2, 3)
TIMES = 3
PEER = "sentence-transformers"
HEADS: dict[str, tuple[str, ...]] = {
    "cosent": ("head.name=cosent",),
    "sbert": ("head.name=sbert",),
    "infersent": ("head.name=infersent",),
    "cross_encoder": ("head.name=cross_encoder",),
    "cross_encoder-cosent": ("head.name=cross_encoder", "head.loss=cosent"),
}
COMMON = ("task=match", "training.schedule=linear", "training.trackers=[]", "training.checkpoints=1")
SHOWN = ("spearman", "pearson", "accuracy", "f1")


@dataclass(frozen=True, slots=True)
class Corpus:
    """The files of a corpus: training, choosing and scoring; `held` of the training lines choose if there is no file for it."""

    train: str
    dev: str | None
    test: str
    encoder: str
    length: int
    held: int = 0


CORPORA = {
    "stsb": Corpus(
        "pairs/stsb_en/stsb-en-train.csv",
        "pairs/stsb_en/stsb-en-dev.csv",
        "pairs/stsb_en/stsb-en-test.csv",
        encoder="en-minilm",
        length=64,
    ),
    "afqmc": Corpus("pairs/afqmc/train.txt", None, "pairs/afqmc/dev.txt", encoder="zh-e5-char", length=64, held=500),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    corpus: str
    data: Path
    encoders: Path
    work: Path
    heads: tuple[str, ...]
    epochs: int
    batch_size: int
    layers: int
    pairs: int | None
    rates: tuple[float, ...]
    peers: str

    @property
    def files(self) -> tuple[Path, Path, Path]:
        """The files for training, choosing and scoring."""
        corpus = CORPORA[self.corpus]
        train, test = self.data / corpus.train, self.data / corpus.test
        lines = train.read_text(encoding="utf-8").splitlines(keepends=True)
        used, dev = (self.work / "data" / f"{self.corpus}-{use}{train.suffix}" for use in ("train", "dev"))
        held = lines[len(lines) - corpus.held :]
        lines = lines[: len(lines) - corpus.held]
        if self.pairs is not None:
            lines = random.Random(0).sample(lines, self.pairs)
        write_lines(used, lines)
        if corpus.dev is not None:
            return used, self.data / corpus.dev, test
        write_lines(dev, held)
        return used, dev, test

    def name(self, phase: str, head: str, rate: float, seed: int) -> str:
        """Return the name of a run."""
        return f"{self.corpus}-{phase}-{head}-{rate:g}-{seed}"


def run(options: Options, phase: str, head: str, rate: float, seed: int) -> None:
    """Train a head."""
    corpus = CORPORA[options.corpus]
    train, dev, test = options.files
    settings = [*COMMON, *HEADS[head], f"data.train={train}", f"data.dev={dev}", f"training.seed={seed}"]
    settings += [f"encoder.name={options.encoders / corpus.encoder}", f"encoder.max_length={corpus.length}"]
    settings += ["encoder.stride=0", f"encoder.layers={options.layers}"]
    settings += [f"training.epochs={options.epochs}", f"training.batch_size={options.batch_size}"]
    settings += [f"training.learning_rate={rate:g}", f"training.head_learning_rate={20 * rate:g}"]
    settings += [f"data.test={test}"] if phase == "train" else []
    split = "test" if phase == "train" else "dev"
    train_once(
        options.work,
        options.name(phase, head, rate, seed),
        settings,
        lambda model: {},
        show=lambda metrics: f"Spearman {metrics[split]['spearman']:.4f}",
    )


def searched(options: Options, head: str) -> dict[float, float]:
    """Return Spearman on dev by rate."""
    results = {rate: result_at(options.work, options.name("search", head, rate, 1)) for rate in options.rates}
    return {rate: result["metrics"]["dev"]["spearman"] for rate, result in results.items() if result is not None}


def best_rate(options: Options, head: str) -> float | None:
    """Return the best rate of a head, or None if not all are searched; a single rate needs no search."""
    if len(options.rates) == 1:
        return options.rates[0]
    scores = searched(options, head)
    return max(scores, key=lambda rate: scores[rate]) if len(scores) == len(options.rates) else None


def trainings(options: Options) -> Iterator[tuple[str, float, int]]:
    """Yield head, rate and seed of all trainings, seed by seed."""
    for seed in SEEDS:
        for head in options.heads:
            if (rate := best_rate(options, head)) is None:
                print(f"{head}: run the search first", flush=True)
            else:
                yield head, rate, seed


def run_peers(options: Options) -> None:
    """Train with sentence-transformers."""
    rate = best_rate(options, "cosent")
    if rate is None:
        raise SystemExit("cosent: run the search first")
    for seed in SEEDS:
        path = options.work / "results" / f"{options.name('train', PEER, rate, seed)}.json"
        if path.exists():
            continue
        result = _ask_peer(options, rate, seed, epochs=options.epochs)
        write_lines(path, [json.dumps(result)])
        print(f"{path.stem}: {result}", flush=True)


def _ask_peer(options: Options, rate: float, seed: int, *, epochs: int) -> dict[str, Any]:
    """Run sentence-transformers in its own environment."""
    corpus, (train, dev, test) = CORPORA[options.corpus], options.files
    given: dict[str, Any] = {"train": str(train), "dev": str(dev), "test": str(test), "seed": seed, "rate": rate}
    given |= {"encoder": str(options.encoders / corpus.encoder), "length": corpus.length, "layers": options.layers}
    given |= {"epochs": epochs, "batch_size": options.batch_size}
    script = Path(__file__).with_name("train_sentence_transformers.py")
    command = [options.peers, script, json.dumps(given)]
    done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure_speed(options: Options) -> None:
    """Store the pairs per second of each head, best of three, and of sentence-transformers with the same encoder."""
    documents = list(read_documents(options.files[2]))
    for head in options.heads:
        rate = best_rate(options, head)
        model = None if rate is None else options.work / "runs" / options.name("train", head, rate, SEEDS[0]) / "model"
        if model is None or not model.is_dir():
            print(f"{head}: train it first", flush=True)
            continue
        extractor, seconds = Extractor.from_pretrained(model), []
        for _ in range(TIMES):
            began = time.perf_counter()
            for _ in extractor.extract(documents):
                pass
            seconds.append(time.perf_counter() - began)
        _store_speed(options, head, len(documents) / min(seconds))
    _store_speed(options, PEER, _ask_peer(options, RATES[0], SEEDS[0], epochs=0)["pairs_per_second"])


def _store_speed(options: Options, head: str, pairs_per_second: float) -> None:
    path = options.work / "results" / f"{options.corpus}-speed-{head}.json"
    path.write_text(json.dumps({"pairs_per_second": pairs_per_second}), encoding="utf-8")
    print(f"{path.stem}: {pairs_per_second:.0f} pairs/s", flush=True)


def report(options: Options) -> None:
    """Print a table of what has been measured."""
    print(f"| head | Spearman of the search | rate | seeds | {' | '.join(SHOWN)} | training, s | pairs/s |")
    print(f"|---|---|--:|--:|{'--:|' * len(SHOWN)}--:|--:|")
    for head in (*options.heads, PEER):
        scores, rate = searched(options, head), best_rate(options, "cosent" if head == PEER else head)
        if rate is None:
            continue
        found = [result_at(options.work, options.name("train", head, rate, seed)) for seed in SEEDS]
        results = [result for result in found if result is not None]
        tests = [result["metrics"]["test"] for result in results]
        cells = [spread([test[name] for test in tests]) if tests and name in tests[0] else "–" for name in SHOWN]
        search = " / ".join(f"{scores[each]:.3f}" for each in options.rates if each in scores) or "–"
        seconds = spread([result["seconds"] for result in results]) if results else "–"
        timed = result_at(options.work, f"{options.corpus}-speed-{head}")
        speed = "–" if timed is None else f"{timed['pairs_per_second']:,.0f}"
        print(f"| {head} | {search} | {rate:g} | {len(results)} | {' | '.join(cells)} | {seconds} | {speed} |")


def main() -> None:
    """Run a phase."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", choices=["search", "train", "peers", "speed", "report"])
    parser.add_argument("corpus", choices=list(CORPORA))
    parser.add_argument("heads", nargs="*", help="all by default")
    for name in ("data", "encoders", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--pairs", type=int, help="so many of the training pairs, drawn once; all by default")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="has sentence-transformers")
    given = vars(parser.parse_args())
    phase = given.pop("phase")
    given["rates"] = tuple(given["rates"])
    given["heads"] = tuple(given["heads"]) or tuple(HEADS)
    options = Options(**given | {name: given[name].resolve() for name in ("data", "encoders", "work")})
    if phase == "report":
        report(options)
    elif phase == "peers":
        run_peers(options)
    elif phase == "speed":
        measure_speed(options)
    elif phase == "search":
        for rate in options.rates:
            for head in options.heads:
                run(options, phase, head, rate, 1)
    else:
        for head, rate, seed in trainings(options):
            run(options, phase, head, rate, seed)


if __name__ == "__main__":
    main()
