"""Measure how the time of each part grows, in one record and in many: readers, writers, metrics, error analyses, checks.

`python benchmarks/growth.py parts` prints the table; tests/benchmarks/test_growth_parts.py checks every row. The input of a part
is prepared beforehand, and only the part itself is timed, in CPU time, so that other processes do not count.
"""

from __future__ import annotations

import gc
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from exports import EXPORTS

from ie_cli.data.label_schema import LabelSchema
from ie_cli.doctor.overlaps import overlap
from ie_cli.doctor.repetitions import RepeatedIds, RepeatedTexts
from ie_cli.doctor.spans import SpanCounts
from ie_cli.document import Document, Entity, Relation
from ie_cli.encoding.alignment import align, without_overlaps
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.evaluation.environment import describe_environment
from ie_cli.evaluation.result import ErrorSummary, EvaluationResult
from ie_cli.formats import FORMATS, Reading
from ie_cli.formats.common.base import read_no_lines
from ie_cli.formats.common.detect import detect, peek
from ie_cli.formats.conll_writer import longest_non_overlapping
from ie_cli.metrics.duie import OfficialScorer, spos_of
from ie_cli.metrics.entities import EntityScorer
from ie_cli.metrics.entity_errors import EntityErrors
from ie_cli.metrics.relation_errors import RelationErrors
from ie_cli.metrics.relations import RelationScorer
from ie_cli.reports.html import html_page
from ie_cli.triples import Spo, locate, to_spos

Work = Callable[[], Any]
A_RECORD = 20  # the number of items in a record, if there are many records
LABELS = 7
ROUNDS = 3  # the fastest of them is used


@dataclass(frozen=True, slots=True)
class Part:
    """A part to time.

    Attributes:
        make: turns numbers of records and of items in each into work.
        one, many: whether one large record, or many records, make sense for it.
    """

    name: str
    make: Callable[[int, int], Work]
    one: bool = True
    many: bool = True


def gold_documents(records: int, items: int, *, labels: int = LABELS) -> list[Document]:
    """Make texts of words; every other word is an entity that has a relation with the next one."""
    made = []
    for number in range(records):
        words = [f"w{n}" for n in range(2 * items)]
        starts = [0]
        for word in words:
            starts.append(starts[-1] + len(word) + 1)
        entities = [Entity(starts[2 * n], starts[2 * n] + len(words[2 * n]), f"L{n % labels}") for n in range(items)]
        relations = [
            Relation(a, f"P{n % LABELS}", b) for n, (a, b) in enumerate(zip(entities, entities[1:], strict=False))
        ]
        made.append(Document(" ".join(words), entities, relations, number))
    return made


def predicted_documents(gold: Sequence[Document]) -> list[Document]:
    """Make the same texts with all kinds of errors: every second entity is correct, others end early or have another label."""
    made = []
    for document in gold:
        changed = {}
        for n, entity in enumerate(document.entities):
            changed[entity] = (
                entity
                if n % 2
                else replace(entity, end=entity.end - 1)
                if n % 4
                else replace(entity, label=entity.label + "x")
            )
        relations = [Relation(changed[r.subject], r.predicate, changed[r.object]) for r in document.relations]
        made.append(replace(document, entities=list(changed.values()), relations=relations))
    return made


def exhaust(stream: Iterator[Any]) -> None:
    """Consume a stream and keep nothing."""
    deque(stream, maxlen=0)


def reader(name: str, records: int, items: int) -> Work:
    """Reading the output of the format's writer, or a tool's export."""
    form = FORMATS[name]
    if name in EXPORTS:
        text = EXPORTS[name](gold_documents(records, items))
    elif form.write is None:  # a line is a document without annotation
        text = "a line of text\n" * records
    else:
        written = [form.write(document) for document in gold_documents(records, items)]
        text = form.frame[0] + form.frame[1].join(written) + form.frame[2]
    lines = list(enumerate(text.splitlines(keepends=True) if name in EXPORTS else text.split("\n"), 1))
    return lambda: exhaust(form.read(lines, "x", Reading()))


def array_on_one_line(records: int, items: int) -> Work:
    """An array of objects without a line break, by the reader that finds records by their brackets."""
    form = FORMATS["triples"]
    text = " " * items + "[" + ", ".join(form.write(document) for document in gold_documents(records, items)) + "]"
    return lambda: exhaust(form.read([(1, text)], "x", Reading()))


def detector(records: int, items: int) -> Work:
    """Detecting the format."""
    lines = [(n, FORMATS["jsonl"].write(d)) for n, d in enumerate(gold_documents(records, items), 1)]
    return lambda: detect(peek(iter(lines)), "x")


def writer(name: str, records: int, items: int) -> Work:
    """Writing, and counting what the format cannot express."""
    form, documents = FORMATS[name], gold_documents(records, items)
    return lambda: [(form.write(document), form.count_losses(document)) for document in documents]


def container(name: str, records: int, items: int, *, equal_ids: bool = False) -> Work:
    """Writing and reading a directory or a binary file."""
    found = FORMATS[name].container
    documents = gold_documents(records, items)
    for document in documents if equal_ids else ():
        document.id = "same"

    def work() -> None:
        with TemporaryDirectory() as directory:
            path = f"{directory}/x"
            with found.save(path) as store:
                for document in documents:
                    store(document)
            exhaust(found.read(path, Reading()))

    return work


def scored(make: Callable[[], Any], records: int, items: int, *, labels: int = LABELS) -> Work:
    """A scorer or an error analysis, from the first document to the scores."""
    gold = gold_documents(records, items, labels=labels)
    pairs = list(zip(gold, predicted_documents(gold), strict=True))

    def work() -> None:
        found = make()
        for truth, guess in pairs:
            found.add(truth, guess)
        if hasattr(found, "scores"):
            found.scores().to_dict()

    return work


def by_texts(records: int, items: int) -> Work:
    """Errors of relations whose arguments are texts."""
    gold = gold_documents(records, items)
    sides = [
        [
            replace(d, spos=[Spo(s.subject, f"{s.predicate}{n}", s.object) for n, s in enumerate(spos_of(d))])
            for d in side
        ]
        for side in (gold, predicted_documents(gold))
    ]

    def work() -> None:
        found = RelationErrors()
        for truth, guess in zip(*sides, strict=True):
            found.add(truth, guess)

    return work


def duie(alias: dict[str, set[str]] | None, records: int, items: int) -> Work:
    """The published scorer of DuIE."""
    gold = gold_documents(records, items)
    rows = [(g.text, spos_of(g), spos_of(p)) for g, p in zip(gold, predicted_documents(gold), strict=True)]

    def work() -> None:
        found = OfficialScorer(alias)
        for row in rows:
            found.add(*row)
        found.counts()

    return work


def mentions(way: Any, records: int, items: int) -> Work:
    """Triples of two mentions that occur repeatedly, in texts with as many words as there are items."""
    text = "a b " * items
    spos = [Spo("a", f"P{n}", "b") for n in range(LABELS)]
    return lambda: [locate(text, spos, way) for _ in range(records)]


def put_together(records: int, items: int) -> Work:
    """Triples of relations, complex objects included."""
    documents = []
    for document in gold_documents(records, items):
        slots = [Relation(r.subject, f"P0.s{n % 3}", r.object) for n, r in enumerate(document.relations)]
        documents.append((document.text, [*document.relations, *slots]))
    return lambda: [to_spos(*row) for row in documents]


def crossing(records: int, items: int) -> list[list[Entity]]:
    """Entities that each cross their neighbours."""
    return [
        [Entity(2 * n, 2 * n + 3 + n % 5, f"L{n % LABELS}", (n * 7919 % 1000) / 1000) for n in range(items)]
        for _ in range(records)
    ]


def each(function: Callable[[Any], Any], records: int, items: int) -> Work:
    """A function of the entities of a record, which cross."""
    given = crossing(records, items)
    return lambda: [function(some) for some in given]


def aligned(records: int, items: int) -> Work:
    """Gold entities on tokens, half of which are unreachable."""
    text = "abcd" * items
    starts = np.arange(0, len(text), 2, dtype=np.int32)
    tokens = Tokens(np.zeros_like(starts), starts, starts + 2)
    entities = [Entity(n, n + 2, "x") for n in range(0, len(text) - 2, 2)] + [
        Entity(n, n + 3, "x") for n in range(items)
    ]
    plan = WindowPlan(254, 64)
    return lambda: [align(text, entities, tokens, plan, {"x": 0}) for _ in range(records)]


def checks(records: int, items: int) -> Work:
    """The counts of `ie check` for a document, without tokens."""
    documents = [replace(d, text=d.text.replace("w", "\u00e9")) for d in gold_documents(records, items)]

    def work() -> None:
        spans, texts, ids = SpanCounts(), RepeatedTexts(), RepeatedIds()
        for document in documents:
            spans.add(document, document.entities)
            texts.add(document, sorted(document.entities))
            ids.add(document)
        spans.offsets.verdict()

    return work


def page(records: int, items: int) -> Work:
    """An evaluation as a page, with as many error examples as there are items."""
    gold = gold_documents(records, items)
    scorer, errors = EntityScorer(), EntityErrors(keep=records * items)
    for truth, guess in zip(gold, predicted_documents(gold), strict=True):
        scorer.add(truth, guess)
        errors.add(truth, guess)

    def work() -> None:
        summary = ErrorSummary.of(errors)
        html_page(
            EvaluationResult(
                task="ner",
                model="m",
                data="d",
                scores=scorer.scores(),
                errors=summary,
                environment=describe_environment(),
            )
        )

    return work


def many_labels(records: int, items: int) -> Work:
    """Scores of entities with distinct labels."""
    names = [f"L{n}" for n in range(items)]
    return scored(lambda: EntityScorer(LabelSchema(tuple(names)).labels), records, items, labels=items)


ALIASES = {f"w{n}": {f"w{n}", f"W{n}"} for n in range(0, 100_000, 3)}
REPEATING = ("csv", "tsv", "uie")
"""Formats that repeat the text of a document for each of its items, so that one large document takes the square of its size."""
BY_LINES = [name for name, form in FORMATS.items() if form.read is not read_no_lines and name != "html"]
"""The formats that are read as lines, not from a directory or a binary file."""
PARTS = [
    *(
        Part(
            f"reader {name}",
            partial(reader, name),
            one=name not in ("text", *REPEATING),
            many=name not in REPEATING[:2],
        )
        for name in BY_LINES
    ),
    Part("reader of an array on one line", array_on_one_line),
    Part("detection of the format", detector, many=False),
    *(
        Part(f"writer {name}", partial(writer, name), one=name not in REPEATING)
        for name, form in FORMATS.items()
        if form.write
    ),
    Part("container brat", partial(container, "brat")),
    Part("container brat, equal ids", partial(container, "brat", equal_ids=True), one=False),
    Part("container parquet", partial(container, "parquet"), one=False),  # it repeats the text of a document like csv
    *([Part("container spacy", partial(container, "spacy"))] if find_spec("spacy") else []),
    Part("metric entities", partial(scored, EntityScorer)),
    Part("metric entities, a label each", many_labels),
    Part("metric relations", partial(scored, RelationScorer)),
    Part("metric seqeval", partial(scored, lambda: EntityScorer(seqeval=True))),
    Part("metric duie", partial(duie, None)),
    Part("metric duie, aliases", partial(duie, ALIASES)),
    Part("errors of entities", partial(scored, EntityErrors)),
    Part("errors of relations", partial(scored, RelationErrors)),
    Part("errors of relations, texts", by_texts),
    Part("page of an evaluation", page),
    Part("mentions: nearest", partial(mentions, "nearest")),
    Part("mentions: first", partial(mentions, "first")),
    Part("mentions: all", partial(mentions, "all"), many=False),
    Part("triples assembled", put_together),
    Part("flat: without overlaps", partial(each, without_overlaps)),
    Part("flat: the longest", partial(each, longest_non_overlapping)),
    Part("overlaps", partial(each, overlap)),
    Part("alignment", aligned),
    Part("checks", checks),
]


def seconds(work: Work, rounds: int = ROUNDS) -> float:
    """Return the CPU time of the fastest round."""
    best = math.inf
    for _ in range(rounds):
        gc.disable()  # a garbage collection would count objects of other parts
        try:
            began = time.process_time()
            work()
            best = min(best, time.process_time() - began)
        finally:
            gc.enable()
    return best


def shapes(part: Part) -> list[tuple[str, Callable[[int], Work]]]:
    """In one record, and in many."""
    found: list[tuple[str, Callable[[int], Work]]] = []
    if part.one:
        found.append(("one record", lambda size: part.make(1, size)))
    if part.many:
        found.append(("many records", lambda size: part.make(max(1, size // A_RECORD), A_RECORD)))
    return found


def base_size(make: Callable[[int], Work], least: float, start: int = 125) -> int:
    """Double the size until it takes that many seconds."""
    size = start
    while size < 128_000 and seconds(make(size), 1) < least:
        size *= 2
    return size


def exponent(sizes: Sequence[int], times: Sequence[float]) -> float:
    """Slope of the straight line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def table(least: float, doublings: int) -> Iterator[str]:
    """Yield rows of Markdown, each as soon as it is measured.

    Args:
        least: the seconds of the smallest point. doublings: the number of points after it.
    """
    yield "| part | shape | items | seconds | items | seconds | exponent |"
    yield "|---|---|--:|--:|--:|--:|--:|"
    for part in PARTS:
        for shape, make in shapes(part):
            first = base_size(make, least)
            sizes = [first * 2**n for n in range(doublings + 1)]
            times = [seconds(make(size)) for size in sizes]
            ends = " | ".join(f"{sizes[n]:,} | {times[n]:.3f}" for n in (0, -1))
            yield f"| {part.name} | {shape} | {ends} | {exponent(sizes, times):.2f} |"


def main(*, quick: bool) -> None:
    """Print the table; `quick` uses sizes whose exponents say little."""
    for row in table(0.002 if quick else 0.01, 1 if quick else 4):
        print(row, flush=True)
