"""Compare the entities of CoNLL04 with what a token classifier and spaCy find, trained on the same sentences.

    python benchmarks/quality_peers.py --data DIR --encoders DIR --work DIR --spacy PYTHON [--only NAME ...]

The token classifier is `AutoModelForTokenClassification` on the same encoder: BIO tags at the first token of a word, AdamW with
linear decay, as many epochs as ours, the learning rate and the epoch chosen on dev. spaCy is its default pipeline for a CPU
(`spacy init config --pipeline ner`, for efficiency and for accuracy, without vectors), trained until its patience ends.
PYTHON is an interpreter with spaCy (3.8); neither the data nor the encoders belong to this repository. All predictions are
scored by `ie`'s scorer: exact boundaries and labels, against all gold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from quality import conll04_columns
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    get_linear_schedule_with_warmup,
)

from ie_cli import Document, read_documents
from ie_cli.metrics.entities import EntityScorer

EPOCHS, BATCH, RATES = 20, 8, (1e-4, 3e-4, 6e-4)


def words_of(document: Document) -> tuple[list[str], list[tuple[int, int]], list[str]]:
    """The words of a sentence whose tokens are joined by spaces, their offsets, and their BIO tags."""
    words, spans, start = document.text.split(" "), [], 0
    for word in words:
        spans.append((start, start + len(word)))
        start += len(word) + 1
    tags = ["O"] * len(words)
    for entity in document.entities or ():
        inside = [n for n, (first, last) in enumerate(spans) if entity.start <= first and last <= entity.end]
        for n in inside:
            tags[n] = f"{'B' if n == inside[0] else 'I'}-{entity.label}"
    return words, spans, tags


def entities_of(spans: list[tuple[int, int]], tags: Iterable[str]) -> list[dict[str, Any]]:
    """Entities of BIO tags; an I after another label begins a new entity."""
    found: list[dict[str, Any]] = []
    previous = "O"
    for (start, end), tag in zip(spans, tags, strict=True):
        if tag != "O":
            if tag.startswith("I") and previous != "O" and previous[2:] == tag[2:]:
                found[-1]["end"] = end
            else:
                found.append({"start": start, "end": end, "label": tag[2:]})
        previous = tag
    return found


def write(documents: Iterable[Document], entities: Iterable[list[dict[str, Any]]], target: Path) -> None:
    """Write predictions as JSON Lines."""
    pairs = zip(documents, entities, strict=True)
    lines = [json.dumps({"text": document.text, "entities": found}, ensure_ascii=False) for document, found in pairs]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def classifier(encoder: Path, splits: Mapping[str, list[Document]], work: Path, rate: float) -> None:
    """Train a token classifier; write the predictions of the epoch that is best on dev."""
    torch.manual_seed(0)
    names = sorted({tag for document in splits["train"] for tag in words_of(document)[2]})
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    model = AutoModelForTokenClassification.from_pretrained(encoder, num_labels=len(names))
    rows = []
    for document in splits["train"]:
        words, _, tags = words_of(document)
        row = tokenizer(words, is_split_into_words=True, truncation=True)
        owners = row.word_ids()
        first = [n is not None and n not in owners[:place] for place, n in enumerate(owners)]
        labels = [names.index(tags[n]) if start else -100 for n, start in zip(owners, first, strict=True)]
        rows.append({"input_ids": row["input_ids"], "attention_mask": row["attention_mask"], "labels": labels})
    loader = DataLoader(rows, BATCH, shuffle=True, collate_fn=DataCollatorForTokenClassification(tokenizer))
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    steps = len(loader) * EPOCHS
    schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    best = -1.0
    for _ in range(EPOCHS):
        model.train()
        for batch in loader:
            model(**batch).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        model.eval()
        for split in ("dev", "test"):
            found = [entities_of(words_of(d)[1], tagged(model, tokenizer, d, names)) for d in splits[split]]
            write(splits[split], found, work / f"{split}.new.jsonl")
        score = scored(work / "dev.new.jsonl", work.parent / "dev.jsonl")["f1"]
        if score > best:
            best = score
            for split in ("dev", "test"):
                (work / f"{split}.new.jsonl").replace(work / f"{split}.jsonl")


@torch.no_grad()
def tagged(model: Any, tokenizer: Any, document: Document, names: list[str]) -> list[str]:
    """The tag of every word of a sentence."""
    words = document.text.split(" ")
    row = tokenizer(words, is_split_into_words=True, truncation=True, return_tensors="pt")
    best = np.asarray(model(**row).logits[0].argmax(-1))
    owners = row.word_ids()
    return [names[best[owners.index(n)]] if n in owners else "O" for n in range(len(words))]


def spacy(python: str, optimize: str, splits: Mapping[str, list[Document]], work: Path) -> None:
    """Train spaCy's pipeline in its own interpreter and write its predictions."""
    subprocess.run(
        [python, str(Path(__file__).with_name("worker_spacy.py")), optimize, str(work.parent), str(work)], check=True
    )
    for split in ("dev", "test"):
        found = [json.loads(line) for line in (work / f"{split}.found.jsonl").read_text(encoding="utf-8").splitlines()]
        write(splits[split], found, work / f"{split}.jsonl")


def ours(encoders: Path, data: Path, work: Path) -> None:
    """Train the recipe as `quality.py` does and write the predictions of its best model."""
    here = Path(__file__).with_name("quality.py")
    places = ["--data", str(data), "--encoders", str(encoders), "--work", str(work.parent / "quality")]
    subprocess.run([sys.executable, str(here), *places, "conll04"], check=True)
    model = work.parent / "quality" / "conll04" / "model"
    for split in ("dev", "test"):
        command = [
            "predict",
            str(work.parent / f"{split}.jsonl"),
            "--model",
            str(model),
            "-o",
            str(work / f"{split}.jsonl"),
        ]
        subprocess.run([sys.executable, "-m", "ie_cli", *command, "--overwrite"], check=True)


def scored(predictions: Path, gold: Path) -> Mapping[str, float]:
    """Precision, recall and F1 of a file of predictions, by exact boundaries and labels against all gold."""
    scorer = EntityScorer()
    for expected, found in zip(read_documents(str(gold)), read_documents(str(predictions)), strict=True):
        scorer.add(expected, found)
    return scorer.scores().values()


def main() -> None:
    """Train, predict and print one row for each system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "encoders", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--spacy", help="an interpreter that has spaCy")
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    work: Path = arguments.work
    conll04_columns(arguments.data / "conll04", work / "quality" / "columns")
    splits = {}
    for split in ("train", "dev", "test"):
        splits[split] = list(read_documents(str(work / "quality" / "columns" / f"{split}.conll")))
        write(splits[split], [[vars_of(e) for e in d.entities or ()] for d in splits[split]], work / f"{split}.jsonl")
    encoder = arguments.encoders / "en-minilm"
    systems: dict[str, Callable[[Path], None]] = {"ours": lambda to: ours(arguments.encoders, arguments.data, to)}
    for rate in RATES:
        systems[f"classifier-{rate:g}"] = lambda to, rate=rate: classifier(encoder, splits, to, rate)  # type: ignore[misc]
    if arguments.spacy:
        for optimize in ("efficiency", "accuracy"):
            systems[f"spacy-{optimize}"] = lambda to, how=optimize: spacy(arguments.spacy, how, splits, to)  # type: ignore[misc]
    print("| system | dev P | dev R | dev F1 | test P | test R | test F1 | seconds |", flush=True)
    print("|---|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    for name in arguments.only or systems:
        to = work / name
        to.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        if not (to / "seconds").exists():
            systems[name](to)
            (to / "seconds").write_text(f"{time.monotonic() - began:.0f}")
        cells = [scored(to / f"{split}.jsonl", work / f"{split}.jsonl") for split in ("dev", "test")]
        row = " | ".join(f"{found[key]:.4f}" for found in cells for key in ("precision", "recall", "f1"))
        print(f"| {name} | {row} | {(to / 'seconds').read_text()} |", flush=True)


def vars_of(entity: Any) -> dict[str, Any]:
    """The fields of an entity that JSON Lines have."""
    return {"start": entity.start, "end": entity.end, "label": entity.label}


if __name__ == "__main__":
    main()
