"""Measure the cost of predicates in prediction and in training, and of a model that predicts everywhere.

    python benchmarks/relations.py predict --model RUNS/NAME/model --data FILE   # 50 and 500 predicates, same candidates
    python benchmarks/relations.py train                                        # step time and memory, 50 and 500
    python benchmarks/relations.py fresh --model RUNS/NAME/model --data FILE     # a head with fresh weights

The trained model of `predict` keeps its first 50 predicates, or gets more predicates that no pair reaches. Every measurement of
`train` is a separate process, with an encoder of 12 layers of 384 and batches of 16 x 128 tokens.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ie_cli.codecs import gplinker as codec
from ie_cli.document import Document
from ie_cli.formats import read_documents
from ie_cli.inference.extractor import Extractor
from ie_cli.modeling.batch import Batch
from ie_cli.modeling.heads.gplinker import build
from ie_cli.modeling.model import ExtractionModel
from ie_cli.tasks import TASKS

BATCH, LENGTH, ROUNDS = 16, 128, 5
ENCODER = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 1536}


@dataclass
class Clock:
    """Seconds spent in a function."""

    seconds: float = 0.0

    def timing(self, function: Any) -> Any:
        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            result = function(*arguments, **named)
            self.seconds += time.perf_counter() - began
            return result

        return timed


LINKS = ("start_links", "end_links")


def task_of(extractor: Extractor) -> str:
    """The name of the only task of a model."""
    [task] = extractor.tasks
    return task


def with_predicates(model: Path, count: int) -> Extractor:
    """Load the stored model with that many predicates: the first ones, or more that no pair reaches."""
    extractor = Extractor.from_pretrained(model)
    task = task_of(extractor)
    for link in (extractor.model.heads[task].tables[name] for name in LINKS):
        rows = link.bias.out_features // 2
        bias = torch.nn.Linear(link.bias.in_features, 2 * count)
        with torch.no_grad():
            torch.nn.init.normal_(bias.weight, std=0.02)
            torch.nn.init.constant_(bias.bias, -60.0)
            for side in (0, 1):
                kept = min(rows, count)
                bias.weight[side * count : side * count + kept] = link.bias.weight[side * rows : side * rows + kept]
                bias.bias[side * count : side * count + kept] = link.bias.bias[side * rows : side * rows + kept]
        link.bias = bias
    names = extractor.schema.predicates[:count]
    names += tuple(f"more{n}" for n in range(count - len(names)))
    trained = extractor.tasks[task]
    return replace(extractor, tasks={task: replace(trained, schema=replace(trained.schema, predicates=names))})


def predict(model: Path, data: str, counts: tuple[int, ...] = (50, 500)) -> None:
    """Time whole extractions in turn, and the decoding of links alone."""
    texts = [Document(document.text) for document in read_documents(data)]
    extractors = {count: with_predicates(model, count) for count in counts}
    seconds: dict[int, list[float]] = {count: [] for count in counts}
    found: dict[int, int] = {}
    for count, extractor in extractors.items():
        list(extractor.extract(texts[:64]))
        found[count] = sum(len(document.relations) for document in extractor.extract(texts))
    for _ in range(ROUNDS):
        for count, extractor in extractors.items():
            began = time.perf_counter()
            list(extractor.extract(texts))
            seconds[count].append(time.perf_counter() - began)
    print("| predicates | ms per sentence | links alone, ms per sentence | triples found |")
    print("|--:|--:|--:|--:|")
    for count, extractor in extractors.items():
        alone = decoding_alone(extractor, texts)
        whole = statistics.median(seconds[count]) / len(texts)
        print(f"| {count} | {1000 * whole:.2f} | {1000 * alone / len(texts):.3f} | {found[count]} |", flush=True)
    ratios = [b / a for a, b in zip(*seconds.values(), strict=True)]
    print(f"\nratio, median of {ROUNDS} pairs: {statistics.median(ratios):.3f}")


def decoding_alone(extractor: Extractor, texts: list[Document]) -> float:
    """Seconds in `decode_links` for all texts."""
    clock, decode_links = Clock(), codec.decode_links
    codec.decode_links = clock.timing(decode_links)
    try:
        list(extractor.extract(texts))
    finally:
        codec.decode_links = decode_links
    return clock.seconds


def fresh(model: Path, data: str) -> None:
    """Time an evaluation with fresh weights of the head: as initialised, and with links that are predicted everywhere."""
    from ie_cli.evaluation.evaluate import score

    gold = list(read_documents(data))
    print("| links start from | seconds | windows | windows capped | triples predicted |")
    print("|--:|--:|--:|--:|--:|")
    for prior in (-7.0, 0.0, 20.0):
        extractor = Extractor.from_pretrained(model)
        torch.manual_seed(0)
        task, schema = task_of(extractor), extractor.schema
        head = build(extractor.model.encoder.config.hidden_size, rows_of(len(schema.labels), len(schema.predicates)))
        for name in LINKS:
            torch.nn.init.constant_(head.tables[name].bias.bias, prior)
        extractor.model.heads[task] = head
        engine = extractor.engine()
        began = time.perf_counter()
        scores = score(engine, gold, task=TASKS["relation"], schema=schema)
        seconds, counts = time.perf_counter() - began, engine.counts
        print(
            f"| {prior:g} | {seconds:.1f} | {counts.windows} | {counts.truncated} | {scores.micro.predicted} |",
            flush=True,
        )


def rows_of(labels: int, predicates: int) -> dict[str, int]:
    """The rows of the tables."""
    return {"entities": labels, **dict.fromkeys(LINKS, predicates)}


def peak() -> float:
    """Largest resident set of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def step(predicates: int) -> dict[str, float]:
    """Train some steps; return the median time, and the memory that they took."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    encoder = BertModel(BertConfig(vocab_size=1000, **ENCODER), add_pooling_layer=False)
    model = ExtractionModel(encoder, {"relation": build(ENCODER["hidden_size"], rows_of(2, predicates))})
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    ids = torch.randint(1000, (BATCH, LENGTH))
    mask = torch.ones(BATCH, LENGTH, dtype=torch.bool)
    sample = torch.arange(BATCH).repeat(4)
    first, other = torch.randint(LENGTH - 8, (2, len(sample)))
    predicate = torch.randint(predicates, (len(sample),))
    spans = [
        torch.stack([sample, torch.full_like(sample, row), at, at + 3], 1) for row, at in enumerate((first, other))
    ]
    gold = {
        "entities": torch.cat(spans),
        "start_links": torch.stack([sample, predicate, first, other], 1),
        "end_links": torch.stack([sample, predicate, first + 3, other + 3], 1),
    }
    batch = Batch.build("relation", ids, mask, mask, gold, collate=model.head("relation").collate, documents=[])
    before = peak()
    times = []
    for _ in range(8):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            loss = torch.stack(list(model(batch).values())).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - began)
    return {"memory": peak() - before, "seconds": statistics.median(times[2:])}


def train(rounds: int = 3) -> None:
    """Print medians of processes that take turns."""
    rows: dict[int, list[dict[str, float]]] = {50: [], 500: []}
    for _ in range(rounds):
        for count, results in rows.items():
            run = subprocess.run([sys.executable, __file__, "step", str(count)], capture_output=True, check=True)
            results.append(json.loads(run.stdout))
    print("| predicates | memory of a step, MB | seconds per step | two dense score tensors, MB |")
    print("|--:|--:|--:|--:|")
    for count, results in rows.items():
        memory, seconds = (statistics.median(result[key] for result in results) for key in ("memory", "seconds"))
        dense = 2 * BATCH * count * LENGTH * LENGTH * 4 / 2**20
        print(f"| {count} | {memory:,.0f} | {seconds:.3f} | {dense:,.0f} |", flush=True)


def main() -> None:
    """Run the selected measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["predict", "train", "fresh", "step"])
    parser.add_argument("predicates", nargs="?", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data")
    given = parser.parse_args()
    if given.what == "step":
        print(json.dumps(step(given.predicates)))
    elif given.what == "train":
        train()
    elif given.model is None or given.data is None:
        parser.error("--model and --data are needed")
    else:
        (predict if given.what == "predict" else fresh)(given.model, given.data)


if __name__ == "__main__":
    main()
