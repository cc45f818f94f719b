"""Compare the speed with other projects on one machine: training steps, an epoch, prediction from file to file.

    python benchmarks/speed.py [train-relations] [train-ner] [predict] --corpus CLUENER/train.json --peers .peers/bin/python

Run it with the Python that has `ie_cli`; --peers is a Python with benchmarks/peers.txt installed. Every system is a separate
process with a BERT of the same sizes; they take turns, so that only one works at a time. --layers 2 --hidden 64
--sentences 48 --rounds 1 tries everything in minutes; its numbers are meaningless.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import corpus
import harness
from harness import MissingPackage, Reply, Worker, WorkerError

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).with_name("RESULTS.md")
BASELINE = "ours"
SLOW_SHARE = 20
"""SpanMarker runs its encoder on dozens of times the tokens: it gets one of so many sentences."""
HALF, FULL = {"precision": "bfloat16"}, {"precision": "float32"}


@dataclass(frozen=True, slots=True)
class System:
    """A row of a table.

    Attributes:
        name: without the precision, which the worker reports.
        peer: it runs in the peers' environment.
        share: it gets one of so many sentences.
    """

    name: str
    module: str
    options: Mapping[str, Any]
    peer: bool = True
    share: int = 1


def ours(name: str, **options: Any) -> System:
    """A row of this project."""
    return System(name, "worker_ours", options, peer=False)


def bert4torch(name: str, **options: Any) -> System:
    """A row of bert4torch, with the batches of its published examples."""
    return System(name, "worker_bert4torch", {"batch_size": 16, **options})


def gliner(name: str, precision: str, words: str) -> System:
    """A row of GLiNER."""
    return System(name, "worker_gliner", {"precision": precision, "words": words})


@dataclass(frozen=True, slots=True)
class Job:
    """A table: its systems, of which the first is the baseline; `passes` is the number of encoder passes per token."""

    title: str
    options: Mapping[str, Any]
    systems: tuple[System, ...]
    passes: int
    note: str


JOBS = {
    "train-relations": Job(
        "Training relations",
        {"job": "train", "task": "relation"},
        (
            ours(BASELINE, batch_size=16),
            ours(f"{BASELINE}, float32", batch_size=16, precision="float32"),
            bert4torch("bert4torch", head="efficient", **FULL),
            bert4torch("bert4torch, full GlobalPointer", head="full", **FULL),
            bert4torch("bert4torch, autocast", head="efficient", **HALF),
        ),
        3,
        "GPLinker with efficient heads, 49 predicates, 16 x 128 tokens per step. Ours is the loop of `ie train` from its first "
        "batch to where it would save (data loading, clipping, schedule and log included); bert4torch is the bare step "
        "(forward, loss, backward, Adam) on batches that are collated beforehand. Full GlobalPointer is the head of its "
        "published example.",
    ),
    "train-ner": Job(
        "Training entities",
        {"job": "train", "task": "ner"},
        (
            ours(BASELINE, batch_size=16),
            ours(f"{BASELINE}, float32", batch_size=16, precision="float32"),
            bert4torch("bert4torch", **FULL),
            bert4torch("bert4torch, autocast", **HALF),
            System("transformers, BIO tags", "worker_transformers", {"batch_size": 16, **FULL}),
            System("transformers, BIO tags, autocast", "worker_transformers", {"batch_size": 16, **HALF}),
        ),
        3,
        "One epoch of Efficient GlobalPointer, batch 16. Ours is the loop of `ie train` from its first batch to where it "
        "would save; bert4torch tokenises and builds dense labels in the loop, as its published example does; transformers "
        "is a token classifier (another, smaller task) on texts tokenised beforehand, shuffled and padded to the longest. "
        "What is encoded before the loop is in the last column.",
    ),
    "predict": Job(
        "Prediction",
        {"job": "predict", "task": "ner"},
        (
            ours(BASELINE, model={"precision": "auto"}),
            ours(f"{BASELINE}, float32", model={"precision": "float32"}),
            ours(f"{BASELINE}, ONNX", form="onnx", model={"backend": "onnx"}),
            ours(f"{BASELINE}, ONNX int8", form="onnx-int8", model={"backend": "onnx"}),
            ours(f"{BASELINE}, the encoder alone", job="forward", model={"precision": "auto"}),
            ours(f"{BASELINE}, float32, the encoder alone", job="forward", model={"precision": "float32"}),
            bert4torch("bert4torch", **FULL),
            bert4torch("bert4torch, bfloat16", **HALF),
            System("transformers, own script", "worker_transformers", {"batch_size": 32, **FULL}),
            System("transformers, own script, bfloat16", "worker_transformers", {"batch_size": 32, **HALF}),
            gliner("GLiNER, its words", "float32", "default"),
            gliner("GLiNER, characters as words", "float32", "characters"),
            gliner("GLiNER, characters as words, bfloat16", "bfloat16", "characters"),
            System("SpanMarker", "worker_span_marker", {}, share=SLOW_SHARE),
        ),
        1,
        "JSON Lines in, JSON Lines with entities and offsets out; the model is loaded beforehand. Ours is all that "
        "`ie predict` does after loading. bert4torch (batches of 16) and the script with transformers (32) take texts in the "
        "file's order and find spans in dense scores; GLiNER and SpanMarker are their own batched prediction with its "
        "default batch size, SpanMarker on the first twentieth of the sentences. By default, GLiNER splits words at white"
        "space and punctuation, so that a word is a whole clause in Chinese. "
        "Weights are random: the heads of ours, bert4torch and the script are set to find about as many spans as the gold "
        "data have.",
    ),
}


@dataclass(slots=True)
class Row:
    """A system with its worker, or with its error."""

    system: System
    worker: Worker | None = None
    error: WorkerError | None = None

    @property
    def trouble(self) -> WorkerError | None:
        """Why there are no results."""
        return self.error or (self.worker.error if self.worker is not None else None)


@dataclass(frozen=True, slots=True)
class Measured:
    """The results of one job."""

    rows: list[Row]
    replies: Mapping[str, list[Reply]]
    peaks: tuple[dict[str, float], dict[str, float]]


def measure(job: Job, material: corpus.Material, pythons: Mapping[bool, str], rounds: int) -> Measured:
    """Start all systems of a job, let them take turns, and multiply matrices before and after."""
    directory = {"directory": str(material.directory)}
    before = harness.gemm_peak()
    with ExitStack() as stack:
        rows = []
        for system in job.systems:
            options = {**directory, **job.options, **system.options}
            if system.share > 1:
                options["sentences"] = max(4, len(corpus.read_texts(material.texts)) // system.share)
            try:
                worker = stack.enter_context(Worker(system.name, pythons[system.peer], system.module, options))
            except WorkerError as error:
                tell(str(error))
                rows.append(Row(system, error=error))
                continue
            tell(f"{system.name}: ready")
            rows.append(Row(system, worker))
        workers = [row.worker for row in rows if row.worker is not None]
        replies = harness.alternate(workers, rounds, tell)
    return Measured(rows, replies, (before, harness.gemm_peak()))


def tell(text: str) -> None:
    """Report the progress on stderr."""
    print(text, file=sys.stderr, flush=True)


HEADER = (
    "| system | precision | sentences | seconds | sentences/s | tokens/s | tokens run | GFLOP/s, share of peak | peak MB "
    "| ours is … times as fast | in the same precision | |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|"
)


def table(job: Job, measured: Measured, sizes: corpus.Sizes) -> str:
    """The rows of a job as Markdown."""
    peak = {precision: max(each[precision] for each in measured.peaks) for precision in measured.peaks[0]}
    baselines = baselines_of(measured)
    lines = [HEADER]
    for row in measured.rows:
        if row.trouble is not None or row.worker is None:
            missing = isinstance(row.trouble, MissingPackage)
            why = "not installed" if missing else f"failed: {row.trouble.brief() if row.trouble else 'never ran'}"
            lines.append(f"| {row.system.name} |{' |' * 10} {why} |")
            continue
        replies = measured.replies[row.system.name]
        precision = row.worker.facts["precision"]
        cells = [row.system.name, precision, *rates(replies, sizes, job.passes, peak.get(precision))]
        cells += [ratio(replies, baselines.get(which)) for which in ("", precision)]
        lines.append(f"| {' | '.join([*cells, remarks(replies, row.worker.facts)])} |")
    return "\n".join(lines)


def baselines_of(measured: Measured) -> dict[str, list[Reply]]:
    """The rounds of this project: the default under "", and by precision."""
    found: dict[str, list[Reply]] = {}
    for row in measured.rows[:2]:
        if row.trouble is None and row.worker is not None:
            replies = measured.replies[row.system.name]
            found.setdefault(row.worker.facts["precision"], replies)
            if row.system.name == BASELINE:
                found[""] = replies
    return found


def rates(replies: Sequence[Reply], sizes: corpus.Sizes, passes: int, peak: float | None) -> list[str]:
    """The cells from sentences to memory."""
    spent = harness.seconds(replies)
    last = replies[-1]
    median = f"{spent.median:.2f} ({spent.low:.2f}–{spent.high:.2f})"
    if "steps" in last:
        median += f", {spent.median / last['steps']:.3f} per step"
    tokens = f"{last['tokens'] / spent.median:,.0f}" if "tokens" in last else "–"
    flops = passes * sizes.flops(last["padded_tokens"]) / spent.median / 1e9
    share = f"{flops:,.0f}, {flops / peak:.0%}" if peak else f"{flops:,.0f}"
    memory = max(reply["rss_mb"] for reply in replies)
    counts = [f"{last['items']}", median, f"{last['items'] / spent.median:,.1f}", tokens]
    return [*counts, f"{last['padded_tokens']:,}", share, f"{memory:,.0f}"]


def ratio(replies: Sequence[Reply], baseline: Sequence[Reply] | None) -> str:
    """How many times as fast a baseline is: the median of the pairs of rounds, their range, the ratio of the medians."""
    if baseline is None:
        return "–"
    found = harness.compare(replies, baseline)
    pairs = found.pairs
    return f"{pairs.median:.2f} ({pairs.low:.2f}–{pairs.high:.2f}), medians {found.of_medians:.2f}"


def remarks(replies: Sequence[Reply], facts: Mapping[str, Any]) -> str:
    """Other facts that a worker reported."""
    found = []
    if "load_seconds" in facts:
        found.append(f"loaded in {facts['load_seconds']:.1f} s")
    if "spans" in replies[-1]:
        found.append(f"{replies[-1]['spans']:,} spans")
    if "encode_seconds" in replies[-1]:
        found.append(f"encoded in {harness.Spread.of([r['encode_seconds'] for r in replies]).median:.2f} s")
    return ", ".join(found)


def section(name: str, job: Job, measured: Measured, given: argparse.Namespace, facts: Sequence[str]) -> str:
    """Return the section of the results about a job."""
    sizes = corpus.Sizes(given.layers, given.hidden)
    command = f"python benchmarks/speed.py {name} --corpus {given.corpus.name} --rounds {given.rounds} --peers PYTHON"
    if given.sentences is not None:
        command += f" --sentences {given.sentences}"
    if sizes != corpus.Sizes(12, 768):
        command += f" --layers {sizes.layers} --hidden {sizes.hidden}"
    peaks = [", ".join(f"{precision} {rate:,.0f}" for precision, rate in each.items()) for each in measured.peaks]
    gold = sum(len(s.spans) for s in corpus.read_sentences(corpus.Material(given.work).entities))
    return "\n".join(
        [
            f"### {job.title}\n",
            f"    {command}\n",
            *(f"- {line}" for line in facts),
            f"- GFLOP/s of a product of 2048 x 2048 matrices, before: {peaks[0]}; after: {peaks[1]}.\n",
            f"BERT of {sizes.layers} layers of {sizes.hidden}, random weights. {job.note} Medians of {given.rounds} rounds "
            "in turn (smallest–largest), after one to warm up; torch's threads wait as each project has them. Tokens per second "
            "are real ones, special tokens included; "
            "tokens run are those of the encoder, padding, prompts and markers included; GFLOP/s are those of its products "
            f"with weight matrices{', forward and backward' if job.passes > 1 else ''}. Peak memory is the resident set of "
            "the system's process. The ratios are of sentences per second, median of the rounds pair by pair."
            + (f" The gold data have {gold:,} spans." if name == "predict" else "")
            + "\n",
            table(job, measured, sizes),
        ]
    )


def arguments() -> argparse.Namespace:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"{', '.join(JOBS)}; default: all")
    quickstart = ROOT / "data" / "quickstart" / "train.json"
    parser.add_argument("--corpus", type=Path, default=quickstart, help="sentences in CLUENER's format")
    parser.add_argument("--sentences", type=int, help="default: 640, and 160 for train-relations")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="of the peers' environment")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep the input there; default: a temporary directory")
    parser.add_argument("--write", action="store_true", help=f"also write the tables to {RESULTS.name}")
    given = parser.parse_args()
    if unknown := set(given.jobs) - JOBS.keys():
        parser.error(f"no job {', '.join(sorted(unknown))}; there are {', '.join(JOBS)}")
    if not given.corpus.is_file():
        parser.error(f"no file {given.corpus}")
    if given.rounds < 1 or (given.sentences is not None and given.sentences < 13):
        parser.error("--rounds must be at least 1, --sentences at least 13")
    if given.hidden % 64:
        parser.error(f"--hidden must be a multiple of 64, got {given.hidden}")
    return given


def main() -> int:
    """Create the input, measure and print; return 1 if a system failed."""
    given = arguments()
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        given.work = (given.work or Path(temporary)).resolve()
        sizes = corpus.Sizes(given.layers, given.hidden)
        sentences, relation_sentences = given.sentences or 640, given.sentences or 160
        tell(f"creating the input for {sentences} sentences")
        material = corpus.make(
            given.work, given.corpus, sizes, sentences=sentences, relation_sentences=relation_sentences
        )
        pythons = {False: sys.executable, True: given.peers}
        peers = {"peers": given.peers} if given.peers != sys.executable else {}
        facts = harness.machine({"ours": sys.executable, **peers})
        for name in given.jobs or JOBS:
            job = JOBS[name]
            if name == "predict":
                options = {"job": "model", "task": "ner", "directory": str(given.work), "batch_size": 16}
                with Worker("our model", sys.executable, "worker_ours", options) as worker:
                    worker.request({})
            measured = measure(job, material, pythons, given.rounds)
            text = section(name, job, measured, given, facts)
            print(text, flush=True)
            if given.write:
                harness.write_section(RESULTS, f"speed-{name}", text)
            failed |= any(row.trouble and not isinstance(row.trouble, MissingPackage) for row in measured.rows)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
