"""Compare the heads of a task with the same encoder, data, batches and number of steps.

    python benchmarks/heads.py search ner --data DIR --encoders DIR --work DIR [HEAD ...]
    python benchmarks/heads.py train ner …        # the best rate of each head, three seeds
    python benchmarks/heads.py speed ner …        # on a quiet machine
    python benchmarks/heads.py report ner …       # Markdown tables

`relation` in place of `ner` compares the relation heads. DIR holds cluener/ and duie2/, and zh-e5-char/ for the encoders; neither
is part of this repository. Learning rates are searched on a part of the training sentences and chosen, like the best epoch of a
run, on 500 other training sentences; the scores are those of the corpus's dev set. A run whose result is in WORK is not repeated,
a stopped one is resumed, and several processes may share the work.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trials import ie, result_at, spread, train_once, write_lines

from ie_cli.document import Document
from ie_cli.formats import read_documents
from ie_cli.triples import Triple, triples_of

RATES = (1.0, 2.0, 4.0)
"""Factors of the learning rates of `BASE`."""
BASE = (2e-4, 2e-3)
"""Learning rates of the encoder and of the head."""
SEEDS = (1, 2, 3)
SELECT = 500
"""The number of training sentences that choose the rate and the epoch, and that are not trained on."""
COMMON = ["encoder.layers=3", "encoder.normalization=nfkc", "training.schedule=cosine"]
COMMON += ["training.trackers=[]", "training.checkpoints=1"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """How the heads of a task are compared.

    Attributes:
        heads: the names of the heads; the first one is the baseline of speeds.
        train: files of training sentences.
        dev: the file that is scored.
        settings: fields of the recipe.
    """

    heads: tuple[str, ...]
    train: tuple[str, ...]
    dev: str
    settings: tuple[str, ...]


CORPORA = {
    "ner": Corpus(
        heads=("crf", "softmax", "global_pointer", "efficient_global_pointer", "biaffine"),
        train=("cluener/train.json",),
        dev="cluener/dev.json",
        settings=("task=ner", "data.format=cluener", "encoder.max_length=64", "encoder.stride=40"),
    ),
    "relation": Corpus(
        heads=("casrel", "gplinker", "tplinker"),
        train=("duie2/train_a.json", "duie2/train_b.json"),
        dev="duie2/dev.json",
        settings=(
            "task=relation",
            "data.format=duie",
            "data.schema_file={data}/duie2/schema.json",
            "encoder.max_length=256",
            "encoder.stride=64",
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    task: str
    data: Path
    encoders: Path
    work: Path
    heads: tuple[str, ...]
    sentences: int
    epochs: int
    batch_size: int
    search_sentences: int
    search_epochs: int
    speed_sentences: int

    @property
    def corpus(self) -> Corpus:
        """The corpus of the task."""
        return CORPORA[self.task]


@dataclass(frozen=True, slots=True)
class Job:
    """One training."""

    phase: str
    head: str
    rate: float
    seed: int

    def name(self, options: Options) -> str:
        """The name of its files."""
        size = options.sentences if self.phase == "train" else options.search_sentences
        return f"{options.task}-{self.phase}-{size}-{self.head}-{self.rate:g}-{self.seed}"


def split(options: Options, count: int) -> tuple[Path, Path]:
    """Return files with the first `count` training sentences, and with the last `SELECT` of them all."""
    lines = [
        line
        for name in options.corpus.train
        for line in (options.data / name).read_text(encoding="utf-8").splitlines(keepends=True)
    ]
    if count > len(lines) - SELECT:
        raise SystemExit(f"--sentences: got {count}, but there are {len(lines) - SELECT}")
    train, select = (options.work / "data" / f"{options.task}-{name}.json" for name in (count, "select"))
    write_lines(train, lines[:count])
    write_lines(select, lines[-SELECT:])
    return train, select


def settings(options: Options, job: Job) -> list[str]:
    """Return the fields of the recipe of a training."""
    final = job.phase == "train"
    train, select = split(options, options.sentences if final else options.search_sentences)
    made = [text.format(data=options.data) for text in options.corpus.settings]
    made += [f"data.train={train}", f"data.dev={select}", f"encoder.name={options.encoders}/zh-e5-char", *COMMON]
    made += [f"head.name={job.head}", f"training.seed={job.seed}"]
    made += [f"training.epochs={options.epochs if final else options.search_epochs}"]
    made += [f"training.batch_size={options.batch_size}"]
    made += [f"training.learning_rate={BASE[0] * job.rate:g}", f"training.head_learning_rate={BASE[1] * job.rate:g}"]
    return [*made, f"data.test={options.data / options.corpus.dev}"] if final else made


def run(options: Options, job: Job) -> None:
    """Train, and write the result, unless it exists or another process does it."""
    final, dev = job.phase == "train", options.data / options.corpus.dev

    def measure(model: Path) -> dict[str, Any]:
        if not final:
            return {}
        predictions = options.work / "predictions" / f"{job.name(options)}.jsonl"
        predictions.parent.mkdir(exist_ok=True)
        ie("predict", dev, "--model", model, "--output", predictions)
        if options.task != "relation":
            return {}
        return {"official": json.loads(ie("eval", model, dev, "--scorer", "duie", "--json", "--from", "duie"))}

    train_once(
        options.work,
        job.name(options),
        settings(options, job),
        measure,
        show=lambda metrics: f"F1 {metrics['test' if final else 'dev']['f1']:.4f}",
    )


def result_of(options: Options, job: Job) -> dict[str, Any] | None:
    """Return the stored result of a training."""
    return result_at(options.work, job.name(options))


def searched(options: Options, head: str) -> dict[float, float]:
    """Return the F1 of each rate that was searched, on the sentences that choose."""
    results = {rate: result_of(options, Job("search", head, rate, 1)) for rate in RATES}
    return {rate: result["metrics"]["dev"]["f1"] for rate, result in results.items() if result is not None}


def jobs(options: Options, phase: str) -> Iterator[Job]:
    """Yield the trainings of a phase: seed by seed, so that an unfinished comparison has all heads."""
    if phase == "search":
        yield from (Job("search", head, rate, 1) for rate in RATES for head in options.heads)
        return
    for seed in SEEDS:
        for head in options.heads:
            scores = searched(options, head)
            if len(scores) < len(RATES):
                print(f"{head}: {len(scores)} of {len(RATES)} rates searched: run the search first", flush=True)
                continue
            yield Job("train", head, max(scores, key=lambda rate: scores[rate]), seed)


# Kinds of sentences


def overlap_of(triples: set[Triple]) -> str:
    """Return the kind of overlap: a pair of entities in several triples, else an entity in several, else none."""
    pairs = Counter(frozenset((subject, object_)) for subject, _, object_ in triples)
    if max(pairs.values(), default=0) > 1:
        return "same pair"
    mentions = Counter(mention for subject, _, object_ in triples for mention in {subject, object_})
    return "same entity" if max(mentions.values(), default=0) > 1 else "no overlap"


def kinds_of(document: Document) -> Iterator[str]:
    """Yield the kinds of a sentence: its number of triples, and its overlap."""
    triples = set(triples_of(document))
    if triples:
        yield f"{len(triples)} triples" if 1 < len(triples) < 5 else "1 triple" if len(triples) == 1 else "5 or more"
        yield overlap_of(triples)


KINDS = ("1 triple", "2 triples", "3 triples", "4 triples", "5 or more", "no overlap", "same entity", "same pair")


def by_kind(gold: Sequence[Document], predicted: Sequence[Document]) -> dict[str, float]:
    """Return F1 by text for each kind of sentence."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for one, other in zip(gold, predicted, strict=True):
        expected, found = set(triples_of(one)), set(triples_of(other))
        for kind in kinds_of(one):
            counts[kind] += Counter(gold=len(expected), found=len(found), correct=len(expected & found))
    return {kind: 2 * n["correct"] / max(1, n["gold"] + n["found"]) for kind, n in counts.items()}


# Report


def report(options: Options) -> None:
    """Print the tables of what has been measured."""
    print("| head | rates (encoder, head) | F1 of the search by rate | seeds | P | R | F1 |")
    print("|---|---|---|--:|--:|--:|--:|")
    kinds: dict[str, list[dict[str, float]]] = {}
    gold: list[Document] = []
    for head in options.heads:
        scores = searched(options, head)
        if not scores:
            continue
        rate = max(scores, key=lambda rate: scores[rate])
        done = {seed: result for seed in SEEDS if (result := result_of(options, Job("train", head, rate, seed)))}
        search = " / ".join(f"{scores.get(each, float('nan')):.3f}" for each in RATES)
        edge = " (at the edge of the search)" if rate in {RATES[0], RATES[-1]} else ""
        rates = f"{BASE[0] * rate:g}, {BASE[1] * rate:g}{edge}"
        tests = [result.get("official", result["metrics"]["test"]) for result in done.values()]
        tests = [test.get("official", test) for test in tests]
        figures = [spread([test[name] for test in tests]) if tests else "–" for name in ("precision", "recall", "f1")]
        print(f"| {head} | {rates} | {search} | {len(tests)} | {' | '.join(figures)} |")
        if options.task == "relation":
            gold = gold or list(read_documents(str(options.data / options.corpus.dev), format="duie"))
            for seed in done:
                path = options.work / "predictions" / f"{Job('train', head, rate, seed).name(options)}.jsonl"
                kinds.setdefault(head, []).append(by_kind(gold, list(read_documents(str(path)))))
    if kinds:
        share = Counter(kind for document in gold for kind in kinds_of(document))
        print(f"\n| sentences | number | {' | '.join(kinds)} |\n|---|--:|{'--:|' * len(kinds)}")
        for kind in KINDS:
            cells = [spread([each[kind] for each in scores]) for scores in kinds.values()]
            print(f"| {kind} | {share[kind]} | {' | '.join(cells)} |")


def main() -> None:
    """Run a phase."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", choices=["search", "train", "speed", "report"])
    parser.add_argument("task", choices=list(CORPORA))
    parser.add_argument("heads", nargs="*", help="all by default")
    for name in ("data", "encoders", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--search-sentences", type=int, default=800)
    parser.add_argument("--search-epochs", type=int, default=4)
    parser.add_argument("--speed-sentences", type=int, default=400, help="the number of training sentences of a round")
    given = vars(parser.parse_args())
    phase = given.pop("phase")
    given["heads"] = tuple(given["heads"]) or CORPORA[given["task"]].heads
    paths = {name: given[name].resolve() for name in ("data", "encoders", "work")}
    options = Options(**given | paths)
    if phase == "report":
        report(options)
    elif phase == "speed":
        from heads_speed import measure

        measure(options)
    else:
        for job in jobs(options, phase):
            run(options, job)


if __name__ == "__main__":
    main()
