"""Train the shipped recipes on real corpora with real encoders and print one Markdown row per run.

    python benchmarks/quality.py --data DIR --encoders DIR --work DIR [NAME ...]

DIR holds cluener/, conll04/, crossner_ai/, duie2/, germeval2014/, and zh-e5-char/, en-minilm/ for encoders. Neither is part of
this repository. A run that exists in WORK is not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

ZH = ["encoder.name={encoders}/zh-e5-char", "encoder.normalization=nfkc", "training.learning_rate=2e-4"]
ZH += ["training.head_learning_rate=2e-3", "data.train={data}/cluener/train.json", "data.dev={data}/cluener/dev.json"]
SHORT = [*ZH, "training.epochs=1", "head.flat=true"]
DUIE2 = ["encoder.name={encoders}/zh-e5-char", "data.schema_file={data}/duie2/schema.json"]
DUIE2 += ["data.train=['{data}/duie2/train_a.json', '{data}/duie2/train_b.json']", "data.dev={data}/duie2/dev.json"]
EN = ["encoder.name={encoders}/en-minilm", "training.learning_rate=3e-4", "training.head_learning_rate=2e-3"]
RUNS: dict[str, tuple[str, list[str]]] = {
    "cluener-egp-1": ("ner-cluener-egp", SHORT),
    "cluener-egp-1-no-rope": ("ner-cluener-egp", [*SHORT, "head.rope=false"]),
    "cluener-gp-1": ("ner-cluener-gp", SHORT),
    "cluener-gp-1-no-rope": ("ner-cluener-gp", [*SHORT, "head.rope=false"]),
    "cluener-egp-3": ("ner-cluener-egp", [*ZH, "training.epochs=3", "head.flat=false"]),
    "cluener-egp-small": ("ner-cluener-egp-small", ZH),
    "conll04": (
        "ner-conll04-egp",
        [*EN, *(f"data.{split}={{work}}/columns/{split}.conll" for split in ("train", "dev", "test"))],
    ),
    "crossner-ai": (
        "ner-crossner-egp",
        [*EN, *(f"data.{split}={{data}}/crossner_ai/{split}.txt" for split in ("train", "dev", "test"))],
    ),
    "duie2": ("re-duie2-gplinker-small", DUIE2),
    "conll04-relations": (
        "re-conll04-gplinker",
        [
            *EN,
            *(f"data.{split}={{data}}/conll04/conll04_{split}.json" for split in ("train", "dev", "test")),
        ],
    ),
    "germeval": (
        "ner-germeval-egp",
        [*EN, "data.train={data}/germeval2014/dev.tsv", "data.dev=0.2", "encoder.tokenization=subword"],
    ),
}


def conll04_columns(source: Path, target: Path) -> None:
    """Write the JSON edition of CoNLL04 (tokens and BILOU tags) as columns."""
    target.mkdir(parents=True, exist_ok=True)
    for split in ("train", "dev", "test"):
        sentences = json.loads((source / f"conll04_{split}.json").read_text(encoding="utf-8"))
        lines = []
        for sentence in sentences:
            lines += [f"{token}\t{tag}\n" for token, tag in zip(sentence["tokens"], sentence["tags"], strict=True)]
            lines.append("\n")
        (target / f"{split}.conll").write_text("".join(lines), encoding="utf-8")


def main() -> None:
    """Run the named recipes, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    for name in ("data", "encoders", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    conll04_columns(arguments.data / "conll04", arguments.work / "columns")
    print("| run | dev P | dev R | dev F1 | ceiling | test F1 | seconds |", flush=True)
    print("|---|--:|--:|--:|--:|--:|--:|", flush=True)
    for name in arguments.names or RUNS:
        recipe, overrides = RUNS[name]
        places = {key: getattr(arguments, key).resolve() for key in ("data", "encoders", "work")}
        output = arguments.work / name
        began = time.monotonic()
        if not (output / "model" / "metrics.json").exists() or not (output / "seconds").exists():
            sets = [part for override in overrides for part in ("--set", override.format(**places))]
            command = [sys.executable, "-m", "ie_cli", "train", recipe, "--output", str(output), "--overwrite", *sets]
            with (arguments.work / f"{name}.log").open("w") as log:
                subprocess.run(command, check=True, stderr=log)
            (output / "seconds").write_text(f"{time.monotonic() - began:.0f}")
        scores = json.loads((output / "model" / "metrics.json").read_text())
        dev = scores["dev"]
        test = f"{scores['test']['f1']:.4f}" if "test" in scores else "–"
        row = [f"{dev[key]:.4f}" for key in ("precision", "recall", "f1")] + [f"{dev['ceiling']['recall']:.4f}", test]
        print(f"| {name} | {' | '.join(row)} | {(output / 'seconds').read_text()} |", flush=True)


if __name__ == "__main__":
    main()
