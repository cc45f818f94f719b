"""Measure documents per second and the peak memory of `ie convert` on synthetic documents.

    python benchmarks/conversion.py [--documents 10000 100000 400000] [--work DIR] [--profile]

The documents are like those of CLUENER (40 characters, 2 entities) and of CoNLL04 (29 words, 4 entities, 1 relation). Every
conversion is a separate process. Rates are per second of CPU time (user and system, all threads) and per second of wall time;
both exclude the start-up, which is the time of converting a file with one document. The memory is the peak of the process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LABELS = ("address", "book", "company", "game", "government", "movie", "name", "organization", "position", "scene")
TYPES = ("Loc", "Org", "Other", "Peop")
Span = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Sample:
    """A synthetic document: its tokens, what joins them, its entities by tokens (end exclusive), its relations by entities."""

    tokens: tuple[str, ...]
    joiner: str
    entities: tuple[Span, ...]
    relations: tuple[tuple[int, str, int], ...] = ()

    @property
    def text(self) -> str:
        """The text."""
        return self.joiner.join(self.tokens)

    def characters(self, span: Span) -> dict[str, Any]:
        """Return a span as an entity of native JSON."""
        first, last, label = span
        start = len(self.joiner.join([*self.tokens[:first], ""])) if first else 0
        mention = self.joiner.join(self.tokens[first:last])
        return {"start": start, "end": start + len(mention), "label": label, "text": mention}


def cluener_like(numbers: random.Random) -> Sample:
    """Return a sentence of Chinese characters with two entities."""
    length = numbers.randint(30, 50)
    tokens = tuple(chr(numbers.randint(0x4E00, 0x9000)) for _ in range(length))
    first, second = numbers.randint(0, 10), numbers.randint(15, 24)
    spans = ((first, first + 4, numbers.choice(LABELS)), (second, second + 3, numbers.choice(LABELS)))
    return Sample(tokens, "", spans)


def conll04_like(numbers: random.Random) -> Sample:
    """Return a sentence of words with four entities and a relation."""
    tokens = tuple(
        "".join(numbers.choices("abcdefghijklmnoprstuvw", k=numbers.randint(2, 8)))
        for _ in range(numbers.randint(24, 34))
    )
    spans = tuple((at, at + numbers.randint(1, 3), numbers.choice(TYPES)) for at in (0, 6, 12, 18))
    return Sample(tokens, " ", spans, ((0, "Live_In", 1),))


def native(sample: Sample) -> str:
    """Return a line of native JSON."""
    entities = [sample.characters(span) for span in sample.entities]
    fields: dict[str, Any] = {"text": sample.text, "entities": entities}
    if sample.relations:
        fields["relations"] = [
            {"subject": entities[subject], "predicate": name, "object": entities[object_]}
            for subject, name, object_ in sample.relations
        ]
    return json.dumps(fields, ensure_ascii=False) + "\n"


def cluener(sample: Sample) -> str:
    """Return a line of CLUENER."""
    label: dict[str, dict[str, list[list[int]]]] = {}
    for entity in map(sample.characters, sample.entities):
        mentions = label.setdefault(entity["label"], {})
        mentions.setdefault(entity["text"], []).append([entity["start"], entity["end"] - 1])
    return json.dumps({"text": sample.text, "label": label}, ensure_ascii=False) + "\n"


def doccano(sample: Sample) -> str:
    """Return a line of doccano."""
    found = [[one["start"], one["end"], one["label"]] for one in map(sample.characters, sample.entities)]
    return json.dumps({"id": 1, "text": sample.text, "label": found, "Comments": []}, ensure_ascii=False) + "\n"


def conll(sample: Sample) -> str:
    """Return the lines of a sentence in columns."""
    tags = ["O"] * len(sample.tokens)
    for first, last, label in sample.entities:
        tags[first:last] = [f"B-{label}", *[f"I-{label}"] * (last - first - 1)]
    return "".join(f"{token}\t{tag}\n" for token, tag in zip(sample.tokens, tags, strict=True)) + "\n"


@dataclass(frozen=True, slots=True)
class Conversion:
    """A conversion: what makes a document, how it is stored, and the format of the output."""

    make: Callable[[random.Random], Sample]
    source: str
    target: str


STORE = {"jsonl": native, "cluener": cluener, "doccano": doccano, "conll": conll, "label_studio": native}
CONVERSIONS = [
    Conversion(make, source, target)
    for make in (cluener_like, conll04_like)
    for source, target in (
        ("jsonl", "jsonl"),
        ("doccano", "jsonl"),
        ("jsonl", "label_studio"),
        ("label_studio", "jsonl"),
        ("cluener", "jsonl"),
        ("conll", "jsonl"),
    )
]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process used: CPU time and wall time in seconds, and the peak of its memory in MB."""

    cpu: float
    wall: float
    memory: float


def run(arguments: list[str]) -> Cost:
    """Run `ie` with arguments in a process and return its cost.

    Raises:
        RuntimeError: it failed.
    """
    began = time.perf_counter()
    process = os.posix_spawn(sys.executable, [sys.executable, "-m", "ie_cli", *arguments], os.environ)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise RuntimeError(f"ie {' '.join(arguments)} failed")
    return Cost(usage.ru_utime + usage.ru_stime, time.perf_counter() - began, usage.ru_maxrss / 1024)


def rate(count: int, seconds: float) -> str:
    """Return documents per second, or a dash if they took no longer than the start-up, as on a machine with other work."""
    return f"{count / seconds:,.0f}" if seconds > 0 else "–"


def write_source(conversion: Conversion, count: int, work: Path) -> Path:
    """Write a source of synthetic documents, the same for the same arguments, and return its path."""
    path = work / f"{conversion.make.__name__}-{conversion.source}-{count}"
    if not path.exists():
        numbers = random.Random(0)
        with path.with_suffix(".new").open("w", encoding="utf-8") as file:
            file.writelines(STORE[conversion.source](conversion.make(numbers)) for _ in range(count))
        path.with_suffix(".new").rename(path)
        if conversion.source == "label_studio":
            run(["convert", str(path), str(work / "array.json"), "--from", "jsonl", "--to", "label_studio", "--quiet"])
            (work / "array.json").rename(path)
    return path


def arguments_of(conversion: Conversion, count: int, work: Path) -> list[str]:
    """Return the arguments of a conversion."""
    source = write_source(conversion, count, work)
    return ["convert", str(source), str(work / "output"), "--to", conversion.target, "--quiet"]


def profile(conversion: Conversion, count: int, work: Path) -> None:
    """Print the functions that take most of the time of a conversion."""
    import cProfile
    import pstats

    from ie_cli.cli import main as ie

    arguments = arguments_of(conversion, count, work)
    profiler = cProfile.Profile()
    sys.argv = ["ie", *arguments]
    with contextlib.suppress(SystemExit):
        profiler.runcall(ie)
    print(conversion)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(18)


def main() -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000, 100_000, 400_000])
    parser.add_argument("--work", type=Path, help="keep the sources in this directory")
    parser.add_argument("--only", default="", help="only conversions whose row contains this text")
    parser.add_argument(
        "--profile", action="store_true", help="print where the time goes, for the first number of documents"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        if not options.profile:
            print("| documents like | from | to | documents | per second of CPU time | per second | peak memory, MB |")
            print("|---|---|---|--:|--:|--:|--:|", flush=True)
        for conversion in CONVERSIONS:
            head = f"| {conversion.make.__name__.removesuffix('_like')} | {conversion.source} | {conversion.target} |"
            if options.only not in head:
                continue
            if options.profile:
                profile(conversion, options.documents[0], work)
                continue
            starts = [run(arguments_of(conversion, 1, work)) for _ in range(3)]
            cpu, wall = min(start.cpu for start in starts), min(start.wall for start in starts)
            for count in options.documents:
                cost = run(arguments_of(conversion, count, work))
                rates = f"{rate(count, cost.cpu - cpu)} | {rate(count, cost.wall - wall)}"
                print(f"{head} {count:,} | {rates} | {cost.memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
