"""Compare the balancing methods on several tasks with one encoder, and with a model for each task.

    python benchmarks/several_tasks.py train zh --data DIR --encoders DIR --work DIR [METHOD ...]
    python benchmarks/several_tasks.py report zh …

`zh` trains CLUENER and DuIE 2.0 on zh-e5-char, `en` CoNLL04, CrossNER and STS-B on en-minilm. Each task has up to 2,000
training examples; the epoch is chosen on others, and the scores are those of the dev or test sets. A method is `alone` (a model
for each task), or a value of `training.balance`. A run whose result is in WORK is not repeated, and several processes may share
the work.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trials import result_at, spread, train_once, write_lines

SEEDS = (1, 2, 3)
ALONE = "alone"
COUNT, HELD = 2000, 300
METHODS: dict[str, dict[str, Any]] = {
    "sum": {"name": "sum"},
    "initial_loss": {"name": "initial_loss"},
    "prior": {"name": "prior"},
    "log": {"name": "log"},
    "generalised_mean": {"name": "generalised_mean"},
    "grad_norm": {"name": "grad_norm"},
    "min_norm": {"name": "min_norm"},
    "min_norm-normalised": {"name": "min_norm", "normalise": True},
    "main_auxiliary": {"name": "main_auxiliary"},
    "upgrad": {"name": "upgrad"},
    "pcgrad": {"name": "pcgrad"},
    "cagrad": {"name": "cagrad"},
    "aligned_mtl": {"name": "aligned_mtl"},
    "imtl": {"name": "imtl"},
    "gradvac": {"name": "gradvac"},
}


@dataclass(frozen=True, slots=True)
class Part:
    """A task: its section of the recipe, its files and its score; without `dev`, the last training lines choose the epoch."""

    section: Mapping[str, Any]
    train: str
    test: str
    score: str
    dev: str | None = None


def _section(task: str, head: str, **data: Any) -> dict[str, Any]:
    return {"task": task, "data": data, "head": {"name": head}}


SETTINGS: dict[str, tuple[str, int, dict[str, Part]]] = {
    "zh": (
        "zh-e5-char",
        128,
        {
            "ner": Part(
                _section("ner", "efficient_global_pointer", format="cluener"),
                "cluener/train.json",
                "cluener/dev.json",
                "f1",
            ),
            "relations": Part(
                _section("relation", "gplinker", format="duie", schema_file="{data}/duie2/schema.json"),
                "duie2/train_a.json",
                "duie2/dev.json",
                "f1",
            ),
        },
    ),
    "en": (
        "en-minilm",
        128,
        {
            "relations": Part(
                _section("relation", "gplinker"),
                "conll04/conll04_train.json",
                "conll04/conll04_test.json",
                "f1",
                dev="conll04/conll04_dev.json",
            ),
            "ner": Part(
                _section("ner", "efficient_global_pointer"),
                "crossner_ai/train.txt",
                "crossner_ai/test.txt",
                "f1",
                dev="crossner_ai/dev.txt",
            ),
            "pairs": Part(
                _section("match", "cosent"),
                "pairs/stsb_en/stsb-en-train.csv",
                "pairs/stsb_en/stsb-en-test.csv",
                "spearman",
            ),
        },
    ),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    setting: str
    data: Path
    encoders: Path
    work: Path
    methods: tuple[str, ...]
    epochs: int
    count: int
    held: int
    seeds: tuple[int, ...]

    @property
    def parts(self) -> dict[str, Part]:
        """The tasks."""
        return SETTINGS[self.setting][2]

    def files(self, name: str) -> tuple[Path, Path]:
        """Return the files for training and for choosing the epoch."""
        part = self.parts[name]
        path = self.data / part.train
        train, dev = (self.work / "data" / f"{self.setting}-{name}-{use}{path.suffix}" for use in ("train", "dev"))
        examples = _examples(path)
        write_lines(train, _joined(examples[: self.count], path))
        held = examples[-self.held :] if part.dev is None else _examples(self.data / part.dev)[: self.held]
        write_lines(dev, _joined(held, path))
        return train, dev


def _examples(path: Path) -> list[str]:
    """Return the examples of a file: the elements of an array, tokens up to an empty line, or lines."""
    text = path.read_text(encoding="utf-8")
    if text.startswith("["):
        return [json.dumps(example, ensure_ascii=False) for example in json.loads(text)]
    return text.strip("\n").split("\n\n" if path.suffix == ".txt" else "\n")


def _joined(examples: list[str], path: Path) -> list[str]:
    """Return a file in the layout of `path`, as pieces to be written."""
    if path.read_text(encoding="utf-8").startswith("["):
        return [f"[{', '.join(examples)}]"]
    end = "\n\n" if path.suffix == ".txt" else "\n"
    return [f"{example}{end}" for example in examples]


def settings(options: Options, method: str, tasks: list[str], seed: int) -> list[str]:
    """Return the fields of the recipe of a training."""
    encoder, length, _ = SETTINGS[options.setting]
    sections = {}
    for name in tasks:
        part, (train, dev) = options.parts[name], options.files(name)
        data = {key: value.format(data=options.data) for key, value in part.section["data"].items()}
        data |= {"train": str(train), "dev": str(dev), "test": str(options.data / part.test)}
        sections[name] = {**part.section, "data": data}
    made = [f"tasks={json.dumps(sections)}", f"encoder.name={options.encoders / encoder}", "encoder.layers=3"]
    made += [f"encoder.max_length={length}", "encoder.stride=32", "encoder.normalization=nfkc", f"training.seed={seed}"]
    made += [f"training.epochs={options.epochs}", "training.learning_rate=3e-4", "training.head_learning_rate=3e-3"]
    made += ["training.schedule=cosine", "training.trackers=[]", "training.checkpoints=1"]
    if method == ALONE:
        return made
    balance = METHODS[method] | ({"main": next(iter(options.parts))} if method == "main_auxiliary" else {})
    return [*made, "training.sampling=together", f"training.balance={json.dumps(balance)}"]


def groups(options: Options, method: str) -> dict[str, list[str]]:
    """Return the tasks of each model of a method, by the suffix of its name."""
    return {f"-{name}": [name] for name in options.parts} if method == ALONE else {"": list(options.parts)}


def shown(metrics: Mapping[str, Any]) -> str:
    """Return the scores of the test sets in short."""
    test = metrics["test"]
    tests = [test] if {"f1", "spearman"} & test.keys() else [part for part in test.values() if isinstance(part, dict)]
    return ", ".join(f"{part.get('spearman', part.get('f1', 0)):.4f}" for part in tests)


def run(options: Options, method: str, seed: int) -> None:
    """Train the models of a method."""
    for suffix, tasks in groups(options, method).items():
        name = f"{options.setting}-{method}{suffix}-{seed}"
        train_once(options.work, name, settings(options, method, tasks, seed), lambda model: {}, show=shown)


def report(options: Options) -> None:
    """Print a table of what has been measured."""
    names = list(options.parts)
    print(f"| method | seeds | {' | '.join(names)} | mean | time of training against `sum` | peak memory, MB |")
    print(f"|---|--:|{'--:|' * len(names)}--:|--:|--:|")
    base: float | None = None
    for method in (ALONE, *METHODS):
        found: list[dict[str, float]] = []
        costs: list[tuple[float, float]] = []
        for seed in options.seeds:
            models = groups(options, method)
            results = {
                suffix: result_at(options.work, f"{options.setting}-{method}{suffix}-{seed}") for suffix in models
            }
            if all(results.values()):
                tests = {
                    task: (result["metrics"]["test"] if len(models[suffix]) == 1 else result["metrics"]["test"][task])
                    for suffix, result in results.items()
                    if result is not None
                    for task in models[suffix]
                }
                found.append({task: tests[task][options.parts[task].score] for task in names})
                every = [result for result in results.values() if result is not None]
                costs.append((sum(each["seconds"] for each in every), max(each["rss_mb"] for each in every)))
        if not found:
            continue
        cells = [spread([scores[task] for scores in found]) for task in names]
        means = spread([statistics.mean(scores.values()) for scores in found])
        seconds, memory = (statistics.median(column) for column in zip(*costs, strict=True))
        base = seconds if method == "sum" else base
        time = f"{seconds / base:.2f}" if base is not None else f"{seconds:.0f} s"
        print(f"| {method} | {len(found)} | {' | '.join(cells)} | {means} | {time} | {memory:,.0f} |")


def main() -> None:
    """Run a phase."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", choices=["train", "report"])
    parser.add_argument("setting", choices=list(SETTINGS))
    parser.add_argument("methods", nargs="*", help="all by default")
    for name in ("data", "encoders", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--count", type=int, default=COUNT, help="the training examples of a task")
    parser.add_argument("--held", type=int, default=HELD, help="the examples of a task that choose the epoch")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    given = vars(parser.parse_args())
    phase = given.pop("phase")
    given["seeds"] = tuple(given["seeds"])
    given["methods"] = tuple(given["methods"]) or (ALONE, *METHODS)
    options = Options(**given | {name: given[name].resolve() for name in ("data", "encoders", "work")})
    if phase == "report":
        report(options)
        return
    for seed in options.seeds:
        for method in options.methods:
            run(options, method, seed)


if __name__ == "__main__":
    main()
