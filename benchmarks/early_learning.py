"""Measure how early Efficient GlobalPointer learns, with other learning rates of its label biases and other initial scores.

    python benchmarks/early_learning.py crossner cluener --data DIR --encoders DIR [--rates 1 8] [--priors 0 -4] [--seeds 1 2 3]

`crossner` is the 100 training sentences of CrossNER-AI on en-minilm for 20 epochs, `cluener` the first 1,000 of CLUENER on
zh-e5-char for 4, with 300 others as dev; both with the first 3 layers. DIR holds what is no part of this repository. A line has
F1 on dev after each quarter of the training at the threshold 0.5, and at the end at several thresholds.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from ie_cli import Extractor, read_documents, train
from ie_cli.evaluation.evaluate import score
from ie_cli.modeling.heads import efficient_global_pointer as head
from ie_cli.recipe.schema import Recipe
from ie_cli.tasks import TASKS
from ie_cli.training.events import Evaluated

LAYERS = 3
THRESHOLDS = (0.1, 0.3, 0.5)


def recipe(corpus: str, given: argparse.Namespace, work: Path, seed: int) -> Recipe:
    """Return the recipe of a run."""
    data: dict[str, Any]
    if corpus == "crossner":
        directory = given.data / "crossner_ai"
        data = {"train": str(directory / "train.txt"), "dev": str(directory / "dev.txt")}
        encoder, training = "en-minilm", {"epochs": 20, "batch_size": 8, "eval_every": 65}
    else:
        lines = (given.data / "cluener/train.json").read_text(encoding="utf-8").splitlines(keepends=True)
        data = {"format": "cluener"}
        for name, part in (("train", lines[:1000]), ("dev", lines[-300:])):
            path = work / f"{name}.json"
            path.write_text("".join(part), encoding="utf-8")
            data[name] = str(path)
        encoder, training = "zh-e5-char", {"epochs": 4, "batch_size": 16}
    return Recipe.model_validate(
        {
            "name": corpus,
            "data": data,
            "head": {"name": "efficient_global_pointer", "threshold": 0.5},
            "encoder": {
                "name": str(given.encoders / encoder),
                "layers": LAYERS,
                "max_length": 128,
                "stride": 32,
                "normalization": "nfkc",
            },
            "training": {
                **training,
                "learning_rate": 3e-4,
                "head_learning_rate": 3e-3,
                "schedule": "cosine",
                "seed": seed,
                "trackers": [],
                "precision": "float32",
            },
        }
    )


def measure(made: Recipe, work: Path) -> tuple[list[float], list[float]]:
    """Train, and return F1 on dev after each evaluation, and that of the best model by threshold."""
    curve = [event.primary for event in train(made, work / "run", overwrite=True) if isinstance(event, Evaluated)]
    extractor = Extractor.from_pretrained(work / "run/model")
    assert made.data is not None
    gold = list(read_documents(str(made.data.dev), format=made.data.format))
    engines = (extractor.engine(threshold=threshold) for threshold in THRESHOLDS)
    scores = (score(engine, gold, task=TASKS["ner"], schema=extractor.schema, ceilings={}) for engine in engines)
    return curve, [each.primary for each in scores]


def main() -> None:
    """Print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", choices=["crossner", "cluener"])
    for name in ("data", "encoders"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, head.BIAS_RATE])
    parser.add_argument("--priors", type=float, nargs="+", default=[0.0, head.SPAN_PRIOR])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    given = parser.parse_args()
    at = " | ".join(f"at {threshold:g}" for threshold in THRESHOLDS)
    print(f"| data | seed | rate of the biases | initial score | 1/4 | 2/4 | 3/4 | 4/4 | {at} |")
    print(f"|---|--:|--:|--:|--:|--:|--:|--:|{'--:|' * len(THRESHOLDS)}")
    for corpus in given.corpora:
        for seed in given.seeds:
            for rate in given.rates:
                for prior in given.priors:
                    head.SPAN_PRIOR = prior
                    head.EfficientGlobalPointer.rate_factors = {"bias.weight": rate, "bias.bias": rate}  # type: ignore[misc]
                    with tempfile.TemporaryDirectory() as work:
                        curve, best = measure(recipe(corpus, given, Path(work), seed), Path(work))
                    cells = " | ".join(f"{f1:.3f}" for f1 in (*curve, *best))
                    print(f"| {corpus} | {seed} | {rate:g} | {prior:g} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
