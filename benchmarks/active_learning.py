"""Simulate an annotator: F1 against sentences annotated, chosen by `ie predict --uncertain` and at random.

    python benchmarks/active_learning.py cluener conll04 --data DIR --encoders DIR --work DIR [--seeds 1 2 3] [--rounds 6]

Each curve begins with the same random sentences. In each round, a model is trained on the sentences annotated so far, from its
initial weights and with the same number of steps, and the next ones are chosen from the rest of the training data: by the model,
or at random. The annotator knows the gold annotation. F1 is that of the entities on dev, on which the best model of a
training is kept, for both curves alike. The characters of the annotated sentences say what their annotation costs. What exists in
WORK is not repeated; several processes may work on it.

DIR holds cluener/ and conll04/, and zh-e5-char/ and en-minilm/ for encoders, which are no part of this repository. With
`--encoder hash_cnn` or `tiny`, no encoder is read.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trials import ie, result_at, spread, train_once, write_lines

from ie_cli import Document, read_documents
from ie_cli.formats import jsonl

CHOOSERS = ("uncertain", "random")
FILES = {
    "cluener": ("cluener", "cluener/train.json", "cluener/dev.json", "zh-e5-char"),
    "conll04": ("conll04", "conll04/conll04_train.json", "conll04/conll04_dev.json", "en-minilm"),
}
FROM_SCRATCH = {"hash_cnn": ("1.5e-3", "2.0e-3"), "tiny": ("1.0e-3", "1.0e-3")}
"""Learning rates of encoders built from scratch, and of their heads."""
BATCH, EVALUATIONS = 16, 8


@dataclass(frozen=True)
class Plan:
    """How a curve is measured: sentences to begin with, sentences of a round, rounds, steps of a training, size of the pool."""

    start: int
    step: int
    rounds: int
    steps: int
    pool: int


def entities_only(documents: Iterable[Document]) -> list[str]:
    """Return documents as native JSON lines, with the number of each as its id and without relations."""
    return [
        jsonl.write(Document(document.text, document.entities, id=number)) for number, document in enumerate(documents)
    ]


def settings(corpus: str, train: Path, given: argparse.Namespace, seed: int, *, sentences: int) -> list[str]:
    """Return the fields of a recipe that trains for a number of steps, whatever the number of sentences is."""
    epochs = -(-given.plan.steps // -(-sentences // BATCH))
    if given.encoder in FROM_SCRATCH:
        name, rate, depth = given.encoder, FROM_SCRATCH[given.encoder], []
    else:
        name, rate = str((given.encoders / FILES[corpus][3]).resolve()), ("3.0e-4", "3.0e-3")
        depth = [f"encoder.layers={given.layers}"]
    return [
        f"data.train={train}",
        f"data.dev={given.work / 'data' / corpus / 'dev.jsonl'}",
        "data.format=jsonl",
        f"encoder.name={name}",
        *depth,
        "encoder.max_length=128",
        "encoder.stride=32",
        "encoder.normalization=nfkc",
        f"training.epochs={epochs}",
        f"training.batch_size={BATCH}",
        f"training.learning_rate={rate[0]}",
        f"training.head_learning_rate={rate[1]}",
        f"training.eval_every={-(-given.plan.steps // EVALUATIONS)}",
        f"training.seed={seed}",
        "training.precision=float32",
    ]


def chosen_next(work: Path, name: str, chooser: str, rest: Sequence[str], *, count: int, seed: int) -> list[int]:
    """Return the ids of the sentences to annotate next, which are stored so that a stopped curve is continued with them."""
    file = work / "chosen" / f"{name}.json"
    if not file.exists():
        if chooser == "random":
            ids = [
                json.loads(line)["id"] for line in random.Random(f"{name}{seed}").sample(rest, min(count, len(rest)))
            ]
        else:
            pool = work / "chosen" / f"{name}.jsonl"
            pool.parent.mkdir(parents=True, exist_ok=True)
            pool.write_text("".join(rest), encoding="utf-8")
            printed = ie("predict", pool, "--model", work / "runs" / name / "model", "--uncertain", count, "--quiet")
            ids = [json.loads(line)["id"] for line in printed.splitlines()]
            others = [json.loads(line)["id"] for line in rest]
            more = [number for number in random.Random(seed).sample(others, len(others)) if number not in ids]
            ids += more[: count - len(ids)]  # a model without doubts
        write_lines(file, [json.dumps(ids)])
    ids = json.loads(file.read_text(encoding="utf-8"))
    return list(map(int, ids))


def measure(corpus: str, chooser: str, seed: int, given: argparse.Namespace) -> dict[int, tuple[float, int]]:
    """Continue a curve as far as possible; return F1 and the number of characters annotated, by that of sentences."""
    plan, work = given.plan, given.work
    pool = (work / "data" / corpus / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[: plan.pool]
    annotated = random.Random(seed).sample(range(len(pool)), plan.start)
    curve: dict[int, tuple[float, int]] = {}
    for number in range(plan.rounds + 1):
        # The first round is shared: it does not depend on who chooses.
        name = f"{corpus}-{seed}-{number}" + (f"-{chooser}" if number else "")
        train = work / "data" / corpus / f"{name}.jsonl"
        write_lines(train, (pool[at] for at in sorted(annotated)))
        fields = settings(corpus, train.resolve(), given, seed, sentences=len(annotated))
        train_once(work, name, fields, lambda model: {}, show=lambda metrics: f"F1 {metrics['dev']['f1']:.4f}")
        found: dict[str, Any] | None = result_at(work, name)
        if found is None:  # another process works on it
            break
        characters = sum(len(json.loads(pool[at])["text"]) for at in annotated)
        curve[len(annotated)] = found["metrics"]["dev"]["f1"], characters
        if number < plan.rounds:
            known = set(annotated)
            rest = [line for at, line in enumerate(pool) if at not in known]
            if not number:  # a choice for each chooser from the same model
                link = work / "runs" / f"{name}-{chooser}"
                if not link.exists():
                    link.symlink_to((work / "runs" / name).resolve(), target_is_directory=True)
                name = link.name
            annotated = [*annotated, *chosen_next(work, name, chooser, rest, count=plan.step, seed=seed)]
    return curve


def main() -> None:
    """Measure the curves, and print a row for each number of sentences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", choices=list(FILES))
    for name, needed in (("data", True), ("encoders", False), ("work", True)):
        parser.add_argument(f"--{name}", type=Path, required=needed, default=Path())
    parser.add_argument("--encoder", choices=["pretrained", *FROM_SCRATCH], default="pretrained")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    for name, default in (("layers", 3), ("start", 100), ("step", 100), ("rounds", 6), ("steps", 400), ("pool", 4_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    given.plan = Plan(given.start, given.step, given.rounds, given.steps, given.pool)
    given.work = given.work.resolve()
    print("| data | sentences | chosen by `--uncertain` | characters | at random | characters |", flush=True)
    print("|---|--:|--:|--:|--:|--:|", flush=True)
    for corpus in given.corpora:
        format, train, dev, _ = FILES[corpus]
        for split, file in (("train", train), ("dev", dev)):
            target = given.work / "data" / corpus / f"{split}.jsonl"
            if not target.exists():
                write_lines(target, entities_only(read_documents(given.data / file, format=format)))
        curves = {chooser: [measure(corpus, chooser, seed, given) for seed in given.seeds] for chooser in CHOOSERS}
        for count in sorted({count for some in curves.values() for curve in some for count in curve}):
            values = ([curve[count] for curve in curves[chooser] if count in curve] for chooser in CHOOSERS)
            print(f"| {corpus} | {count:,} | {' | '.join(map(cell, values))} |", flush=True)


def cell(values: Sequence[tuple[float, int]]) -> str:
    """Return F1 and the mean number of characters for the seeds."""
    if not values:
        return "– | –"
    return f"{spread([f1 for f1, _ in values])} | {statistics.mean(characters for _, characters in values):,.0f}"


if __name__ == "__main__":
    main()
