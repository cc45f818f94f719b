"""Compare the quality of systems that train on the same encoder, the same data and the same number of seen sentences.

    python benchmarks/peers_quality.py search CORPUS --data DIR --encoders DIR --work DIR --peers PYTHON [SYSTEM ...]
    python benchmarks/peers_quality.py train CORPUS …       # the best and the documented rates, all seeds
    python benchmarks/peers_quality.py report CORPUS …      # a Markdown table

CORPUS is cluener, conll04, conll04-relations, crossner, germeval or duie2, which DIR holds, like the encoders; neither is part of
this repository. PYTHON has the packages of benchmarks/peers/requirements.txt. Every system trains on the same files: --count
sentences, drawn once, and the words of the corpus, which are characters in Chinese. All load the same copy of the encoder, the
first --layers layers in float32. The batch size is the one that a system documents. Its rates are searched with seed 1 on dev,
which also chooses the epoch of every run; test is scored here, with the scorers of `ie`. A training whose result is in WORK is
not repeated, and several processes may share the work. The time of a training is that of its process without the prediction of
test: with its start, its tokenisation, and a prediction of dev after each epoch.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cut_corpora import Cut, add_arguments, cut_encoder, predicted
from harness import machine
from trials import claimed, result_at, run_measured, spread, train_once, write_lines

from ie_cli.document import Document

OURS = "ie"
BATCH = 8
SCHEDULE = ("training.schedule=cosine", "training.trackers=[csv]", "training.checkpoints=1")
Rates = tuple[float, float]
"""Learning rates of the encoder and of the head; peers with one rate use the first."""
OUR_RATES: tuple[Rates, ...] = ((2e-4, 2e-3), (1e-4, 1e-3), (4e-4, 4e-3))
FINE: tuple[Rates, ...] = ((5e-5, 5e-5), (1.5e-4, 1.5e-4), (5e-4, 5e-4))
"""The rate of the Trainer of transformers, and higher ones, which small encoders need."""


@dataclass(frozen=True, slots=True)
class System:
    """A system.

    Attributes:
        package: `ie`, or the end of the name of the peer's script.
        method: its model, or our head.
        tasks: what it can do.
        rates: those that are searched; the first ones are documented.
        batch_size: the documented one.
    """

    package: str
    method: str
    tasks: tuple[str, ...]
    rates: tuple[Rates, ...]
    batch_size: int


def _bert4torch(method: str, task: str, rate: float, batch_size: int) -> System:
    rates = tuple((each, each) for each in (rate, 1e-4, 3e-4))
    return System("bert4torch", method, (task,), rates, batch_size)


SYSTEMS = {
    "ie-efficient_global_pointer": System(OURS, "efficient_global_pointer", ("ner",), OUR_RATES, BATCH),
    "ie-global_pointer": System(OURS, "global_pointer", ("ner",), OUR_RATES, BATCH),
    "ie-crf": System(OURS, "crf", ("ner",), OUR_RATES, BATCH),
    "ie-gplinker": System(OURS, "gplinker", ("relation",), OUR_RATES, BATCH),
    "ie-casrel": System(OURS, "casrel", ("relation",), OUR_RATES, BATCH),
    "bert4torch-efficient_global_pointer": _bert4torch("efficient_global_pointer", "ner", 2e-5, 16),
    "bert4torch-global_pointer": _bert4torch("global_pointer", "ner", 2e-5, 16),
    "bert4torch-gplinker": _bert4torch("gplinker", "relation", 1e-5, 32),
    "bert4torch-casrel": _bert4torch("casrel", "relation", 1e-5, 64),
    "transformers": System("transformers", "token classification", ("ner",), FINE, 8),
    "span_marker": System("span_marker", "SpanMarker", ("ner",), FINE, 8),
    "gliner": System("gliner", "GLiNER", ("ner",), ((5e-6, 1e-5), (1e-4, 5e-4), (3e-4, 1e-3)), 8),
    "gliner2": System("gliner2", "GLiNER2", ("ner",), ((1e-5, 5e-4), (1e-4, 1e-3), (3e-4, 1e-3)), 8),
    "spacy": System("spacy", "ner", ("ner",), FINE, 16),
    "edsnlp": System("edsnlp", "eds.ner_crf", ("ner",), ((5e-5, 3e-4), (1.5e-4, 1e-3), (5e-4, 3e-3)), 16),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    cut: Cut
    encoders: Path
    work: Path
    peers: str
    systems: tuple[str, ...]
    layers: int
    epochs: int
    seeds: tuple[int, ...]
    precision: str

    @property
    def encoder(self) -> Path:
        """The encoder of all systems."""
        return cut_encoder(self.encoders / self.cut.corpus.encoder, self.layers, self.work)


@dataclass(frozen=True, slots=True)
class Job:
    """One training."""

    system: str
    rates: Rates
    seed: int

    def name(self, options: Options) -> str:
        """The name of its files."""
        size = f"{options.cut.key}-{options.layers}-{options.epochs}"
        return f"{size}-{self.system}-{self.rates[0]:g}-{self.rates[1]:g}-{self.seed}"


def run(options: Options, job: Job) -> None:
    """Train and score, unless the result exists or another process works on it."""
    options.cut.write()
    if SYSTEMS[job.system].package == OURS:
        run_ours(options, job)
    else:
        run_peer(options, job)


# This project


def run_ours(options: Options, job: Job) -> None:
    """Train with `ie train`."""
    system = SYSTEMS[job.system]
    made = [*options.cut.recipe(options.encoder), *SCHEDULE, f"head.name={system.method}", f"training.seed={job.seed}"]
    made += [f"training.epochs={options.epochs}", f"training.batch_size={system.batch_size}"]
    made += [f"training.learning_rate={job.rates[0]:g}", f"training.head_learning_rate={job.rates[1]:g}"]
    made = [field for field in made if not field.startswith("data.test=")]  # scored here, as for the peers
    made.append(f"training.precision={options.precision}")

    def measure(model: Path) -> dict[str, Any]:
        from ie_cli import Extractor

        extractor = Extractor.from_pretrained(model, precision=options.precision)
        documents = [Document(document.text) for document in options.cut.documents("test")]
        began = time.perf_counter()
        found = list(extractor.extract(documents))
        seconds = time.perf_counter() - began
        return {"test": options.cut.score(found), "per_second": len(documents) / seconds}

    train_once(
        options.work, job.name(options), made, measure, show=lambda metrics: f"dev F1 {metrics['dev']['f1']:.4f}"
    )


# Peers


def types_of(documents: list[Document]) -> dict[str, tuple[str, str]]:
    """Return the most frequent types of subject and object of each predicate of the training data."""
    counts: dict[str, Counter[tuple[str, str]]] = {}
    for document in documents:
        for relation in document.relations:
            types = relation.subject.label, relation.object.label
            counts.setdefault(relation.predicate, Counter())[types] += 1
    return {predicate: count.most_common(1)[0][0] for predicate, count in counts.items()}


def peer_options(options: Options, job: Job, work: Path) -> dict[str, Any]:
    """Return what the script of a peer is asked to do."""
    corpus, system = options.cut.corpus, SYSTEMS[job.system]
    files = {split: str(options.cut.peer_path(split)) for split in ("train", "dev")}
    return {
        **files,
        "method": system.method,
        "predict": str(options.cut.peer_path("test")),
        "output": str(work / "predictions"),
        "encoder": str(options.encoder),
        "work": str(work / "files"),
        "rate": job.rates[0],
        "rate_head": job.rates[1],
        "seed": job.seed,
        "epochs": options.epochs,
        "batch_size": system.batch_size,
        "max_length": corpus.length,
        "nested": corpus.nested,
        "characters": corpus.characters,
    }


def run_peer(options: Options, job: Job) -> None:
    """Train with the script of a peer, and score what it predicts."""
    name = job.name(options)
    with claimed(options.work / "claims" / name) as free:
        if not free or result_at(options.work, name) is not None:
            return
        work = options.work / "runs" / name
        shutil.rmtree(work, ignore_errors=True)
        (work / "files").mkdir(parents=True)
        script = Path(__file__).parent / "peers" / f"train_{SYSTEMS[job.system].package}.py"
        done = run_measured([options.peers, str(script), json.dumps(peer_options(options, job, work))])
        shutil.rmtree(work / "files")
        if done.failed:
            print(f"{name}: {done.errors[-2000:]}", flush=True)
            return
        reply = json.loads(done.output.splitlines()[-1])
        types = types_of(options.cut.documents("train"))
        lines = (work / "predictions").read_text(encoding="utf-8").splitlines()
        gold = options.cut.documents("test")
        found = [predicted(document, json.loads(line), types) for document, line in zip(gold, lines, strict=True)]
        result = {
            "seconds": done.seconds - reply["prediction_seconds"],
            "rss_mb": done.rss_mb,
            "metrics": {"dev": {"f1": max(reply["curve"])}},
            "curve": reply["curve"],
            "test": options.cut.score(found),
            "per_second": reply["sentences"] / reply["prediction_seconds"],
        }
        write_lines(options.work / "results" / f"{name}.json", [json.dumps(result)])
        print(f"{name}: dev F1 {result['metrics']['dev']['f1']:.4f}, {done.seconds:.0f} s", flush=True)


# The order of the work, and the table


def searched(options: Options, system: str) -> dict[Rates, float]:
    """Return the F1 on dev of each pair of rates that was searched."""
    found = {rates: result_at(options.work, Job(system, rates, 1).name(options)) for rates in SYSTEMS[system].rates}
    return {rates: result["metrics"]["dev"]["f1"] for rates, result in found.items() if result is not None}


def jobs(options: Options, phase: str) -> Iterator[Job]:
    """Yield the trainings of a phase: seed by seed, so that an unfinished comparison has all systems."""
    if phase == "search":
        grid = max(len(SYSTEMS[system].rates) for system in options.systems)
        for number in range(grid):
            for system in options.systems:
                yield from (Job(system, rates, 1) for rates in SYSTEMS[system].rates[number : number + 1])
        return
    for documented in (False, True):
        for seed in options.seeds:
            for system in options.systems:
                scores = searched(options, system)
                if len(scores) < len(SYSTEMS[system].rates):
                    print(
                        f"{system}: {len(scores)} of {len(SYSTEMS[system].rates)} rates searched: run the search first"
                    )
                    continue
                yield Job(system, SYSTEMS[system].rates[0] if documented else max(scores, key=scores.__getitem__), seed)


def rows(options: Options, system: str) -> Iterator[str]:
    """Yield the rows of a system: with the best rates, and with the documented ones if they are others."""
    scores, rates = searched(options, system), SYSTEMS[system].rates
    if not scores:
        return
    search = " / ".join(f"{scores[each]:.3f}" if each in scores else "–" for each in rates)
    best = max(scores, key=scores.__getitem__)
    for chosen in dict.fromkeys((best, rates[0])):
        found = [result_at(options.work, Job(system, chosen, seed).name(options)) for seed in options.seeds]
        results = [result for result in found if result is not None]
        if not results:
            continue
        kinds = [kind for kind, each in (("best", best), ("documented", rates[0])) if each == chosen]
        edge = ", at the edge" if chosen == best and chosen in {min(rates), max(rates)} else ""
        two = f", {chosen[1]:g}" if chosen[0] != chosen[1] else ""
        cells = [spread([result["test"][name] for result in results]) for name in ("precision", "recall", "f1")]
        seconds = statistics.median(result["seconds"] for result in results)
        speed = statistics.median(result["per_second"] for result in results)
        yield (
            f"| {system} | {chosen[0]:g}{two} ({' and '.join(kinds)}{edge}) | {search} | {len(results)} "
            f"| {' | '.join(cells)} | {early(results)} | {seconds:,.0f} | {speed:,.0f} |"
        )


def early(results: list[dict[str, Any]]) -> str:
    """Return the mean F1 on dev after 1, 2 and 4 epochs, at the threshold that each system would choose."""
    curves = [result["curve"] for result in results if result.get("curve")]
    if not curves:
        return "–"
    means = (statistics.mean(curve[epoch - 1] for curve in curves) for epoch in (1, 2, 4) if len(curves[0]) >= epoch)
    return ", ".join(f"{mean:.3f}" for mean in means)


def report(options: Options) -> None:
    """Print the table of a corpus."""
    cut = options.cut
    print(f"{cut.name}: {cut.count:,} training sentences, {options.layers} layers, {options.epochs} epochs.\n")
    print("\n".join(machine({"ie": sys.executable, "peers": options.peers})) + "\n")
    print(
        "| system | rates (encoder, head) | F1 on dev by rate, documented first | seeds | P | R | F1 "
        "| F1 on dev after 1, 2, 4 epochs | training, s | sentences/s |"
    )
    print("|---|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for system in options.systems:
        for row in rows(options, system):
            print(row)


def parse() -> tuple[str, Options]:
    """Return the phase and its options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", choices=["search", "train", "report"])
    add_arguments(parser)
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=f"all by default: {', '.join(SYSTEMS)}")
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="of the peers' environment")
    parser.add_argument("--precision", default="auto", help="of `ie`; the peers use float32")
    given = parser.parse_intermixed_args()
    if unknown := set(given.systems) - set(SYSTEMS):
        parser.error(f"unknown systems: {', '.join(sorted(unknown))}; use {', '.join(SYSTEMS)}")
    cut = Cut.of(given)
    systems = [name for name in given.systems or SYSTEMS if cut.corpus.task in SYSTEMS[name].tasks]
    return given.phase, Options(
        cut,
        given.encoders.resolve(),
        cut.work,
        given.peers,
        tuple(systems),
        given.layers,
        given.epochs or cut.corpus.epochs,
        tuple(given.seeds),
        given.precision,
    )


def main() -> None:
    """Run a phase."""
    phase, options = parse()
    if phase == "report":
        report(options)
        return
    for job in jobs(options, phase):
        run(options, job)


if __name__ == "__main__":
    main()
