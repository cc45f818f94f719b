"""Compare encoders that are built from scratch with spaCy's `ner` from nothing, on the same few examples.

    python benchmarks/from_scratch.py train SET … --data DIR --work DIR [--counts 20 all] [--seeds 1 2 3] [--models hash_cnn …]
    python benchmarks/from_scratch.py report SET … --work DIR

A set is `conll04`, `crossner`, `wnut` (in DIR, which is no part of this repository), `quickstart-en` or `quickstart`. A model is
`fgm` (`hash_cnn` with adversarial training, which makes two passes in each step), `hash_cnn`, `tiny` or `spacy`. All models are
trained for the same number of epochs (`EPOCHS`), are evaluated on dev four times, and the best of these is scored on test.
spaCy runs in the environment of the interpreter `--spacy` (pip install spacy), with the settings of
`spacy init config --lang en --pipeline ner`: batches that grow from 100 to 1,000 words, dropout 0.1, Adam at 0.001, averaged
weights. A training whose result is in WORK is not repeated, and several processes may share the work.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trials import claimed, ie, result_at, spread, train_once, write_lines

from ie_cli import read_documents

HERE = Path(__file__).parent
SETS: dict[str, tuple[str, tuple[str, str, str]]] = {
    "conll04": ("conll04", ("conll04/conll04_train.json", "conll04/conll04_dev.json", "conll04/conll04_test.json")),
    "crossner": ("conll", ("crossner_ai/train.txt", "crossner_ai/dev.txt", "crossner_ai/test.txt")),
    "wnut": ("conll", ("wnut17/wnut17train.conll", "wnut17/emerging.dev.conll", "wnut17/emerging.test.annotated")),
    "quickstart-en": ("jsonl", ("train.jsonl", "dev.jsonl", "test.jsonl")),
    "quickstart": ("cluener", ("train.json", "dev.json", "test.json")),
}
"""Format and files."""
SPLITS = ("train", "dev", "test")
COUNTS = ("20", "50", "100", "200", "all")
FEW = 500
"""Fewer examples are trained in batches of 2, as `ie init` proposes for `hash_cnn` (and with `fgm`), others in batches of 8."""
EPOCHS = {"20": 60, "50": 40, "100": 20, "200": 10, "all": 10}
MODELS = ("fgm", "hash_cnn", "tiny", "spacy")
ENCODERS: dict[str, dict[str, Any]] = {
    "fgm": {"name": "hash_cnn"},
    "hash_cnn": {"name": "hash_cnn"},
    "tiny": {"name": "tiny", "vocabulary": "words", "dropout": 0.2},
}


def prepare(name: str, count: str, given: argparse.Namespace) -> tuple[Path, Path, Path]:
    """Write the examples of a set as JSON Lines, those of train in a random order; return the three files."""
    form, files = SETS[name]
    root = HERE.parent / "data" / name if name.startswith("quickstart") else given.data
    directory = given.work / "data" / name
    for split, file in zip(SPLITS, files, strict=True):
        documents = list(read_documents(str(root / file), format=form))
        if split == "train":
            random.Random(0).shuffle(documents)
        found = [
            {"text": one.text, "entities": [{"start": e.start, "end": e.end, "label": e.label} for e in one.entities]}
            for one in documents
        ]
        write_lines(directory / f"{split}.jsonl", (json.dumps(fields) + "\n" for fields in found))
        if split == "train" and count != "all":
            part = (json.dumps(fields) + "\n" for fields in found[: int(count)])
            write_lines(directory / f"train-{count}.jsonl", part)
    train = "train" if count == "all" else f"train-{count}"
    return directory / f"{train}.jsonl", directory / "dev.jsonl", directory / "test.jsonl"


def _words(file: Path) -> int:
    lines = file.read_text(encoding="utf-8").splitlines()
    return sum(len(json.loads(line)["text"].split()) for line in lines)


def train_ours(name: str, model: str, count: str, seed: int, given: argparse.Namespace) -> None:
    """Train a model of `ie`; its prediction is timed once, without the start of the process."""
    train, dev, test = prepare(name, count, given)
    examples = sum(1 for _ in train.open(encoding="utf-8"))
    batch_size = 2 if examples < FEW else 8
    steps = EPOCHS[count] * -(-examples // batch_size)
    further: dict[str, dict[str, Any]] = {"fgm": {"adversarial": "fgm"}, "tiny": {"learning_rate": 1.5e-3}}
    recipe = {
        "encoder": {**ENCODERS[model], "max_length": 192, "stride": 48},
        "data": {"format": "jsonl", "train": str(train), "dev": str(dev), "test": str(test)},
        "head": {"name": "efficient_global_pointer", "flat": True},
        "training": {
            "epochs": EPOCHS[count],
            "batch_size": batch_size,
            "head_learning_rate": 2e-3,
            "eval_every": -(-steps // 4),
            "precision": "float32",
            "trackers": [],
            "seed": seed,
            **further.get(model, {}),
        },
    }

    def measure(directory: Path) -> dict[str, Any]:
        from ie_cli import Extractor

        extractor = Extractor.from_pretrained(directory, device="cpu", precision="float32")
        texts = [document.text for document in read_documents(str(test), format="jsonl")]
        extractor.predict(texts[:8])
        began = time.perf_counter()
        extractor.predict(texts)
        took = time.perf_counter() - began
        scored = json.loads(ie("eval", directory, test, "--json", "--quiet"))
        return {"f1": scored["f1"], "words_per_second": _words(test) / took}

    settings = [f"{key}={json.dumps(value)}" for key, value in recipe.items()]
    train_once(given.work, f"{name}-{model}-{count}-{seed}", settings, measure, show=lambda metrics: "trained")


def train_spacy(name: str, count: str, seed: int, given: argparse.Namespace) -> None:
    """Train a model of spaCy in its own environment."""
    files, key = prepare(name, count, given), f"{name}-spacy-{count}-{seed}"
    with claimed(given.work / "claims" / key) as free:
        if not free or result_at(given.work, key) is not None:
            return
        language = "zh" if name == "quickstart" else "en"
        command = [
            given.spacy,
            str(HERE / "worker_spacy.py"),
            *map(str, files),
            language,
            str(EPOCHS[count]),
            str(seed),
        ]
        began = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
        found = json.loads(done.stdout) | {"seconds": time.perf_counter() - began}
        write_lines(given.work / "results" / f"{key}.json", [json.dumps(found)])
        print(f"{key}: F1 {found['f1']:.4f}, {found['seconds']:.0f} s", flush=True)


def report(names: Sequence[str], given: argparse.Namespace) -> None:
    """Print a table of the results."""
    print("| set | examples | model | F1 on test | seeds | seconds | words/s |\n|---|--:|---|--:|--:|--:|--:|")
    for name in names:
        for count in given.counts:
            for model in given.models:
                results = [result_at(given.work, f"{name}-{model}-{count}-{seed}") for seed in given.seeds]
                found = [result for result in results if result is not None]
                if not found:
                    continue
                seconds, words = (
                    statistics.median(result[key] for result in found) for key in ("seconds", "words_per_second")
                )
                scores = spread([result["f1"] for result in found])
                print(f"| {name} | {count} | {model} | {scores} | {len(found)} | {seconds:.0f} | {words:,.0f} |")


def main() -> None:
    """Train, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "report"])
    parser.add_argument("sets", nargs="+", choices=sorted(SETS))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--counts", nargs="+", choices=COUNTS, default=list(COUNTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--spacy", default=sys.executable, help="the interpreter of an environment with spaCy")
    given = parser.parse_args()
    if given.what == "report":
        report(given.sets, given)
        return
    for seed in given.seeds:
        for name in given.sets:
            for count in given.counts:
                for model in given.models:
                    if model == "spacy":
                        train_spacy(name, count, seed, given)
                    else:
                        train_ours(name, model, count, seed, given)


if __name__ == "__main__":
    main()
