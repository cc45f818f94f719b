"""Measure what each technique of training changes, one at a time, with the same encoder, data and number of seen sentences.

    python benchmarks/techniques.py train CORPUS --data DIR --encoders DIR --work DIR [TECHNIQUE ...]
    python benchmarks/techniques.py report CORPUS …      # a Markdown table

CORPUS is conll04-relations, duie2, crossner, cluener, conll04 or germeval, which DIR holds, like the encoders; neither is part of
this repository. A training has --count sentences, drawn once, and the first --layers layers of the encoder; the epoch is chosen
on dev, and the score is that of test. The baseline and the rows with texts joined in training (`context`) also have F1 between 3
neighbours on each side, as `ie eval --context 3` measures it. Differences are those of the same seeds. How the losses of the
labels are combined is no option, so no row changes it; the priors are constants of the heads, which their rows replace. A
training whose result is in WORK is not repeated, a stopped one is resumed, and several processes may share the work.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cut_corpora import Cut, add_arguments
from trials import ie, result_at, spread, train_once

BASELINE = "baseline"
NEIGHBOURS = 3
RATES = (2e-4, 2e-3)
"""Learning rates of the encoder and of the head in the baseline."""
HEADS = {"ner": "efficient_global_pointer", "relation": "gplinker"}
BATCH = 8


def _always(cut: Cut) -> bool:
    return True


def _of_relations(cut: Cut) -> bool:
    return cut.corpus.task == "relation"


def _of_triples(cut: Cut) -> bool:
    return cut.corpus.lines == "duie"


@dataclass(frozen=True, slots=True, kw_only=True)
class Technique:
    """What differs from the baseline.

    Attributes:
        settings: fields of the recipe.
        constants: numbers of modules that are no fields of the recipe, as MODULE:NAME.
        rates: factors of the two learning rates.
        applies: whether it can be used with a corpus.
        context: whether it is also scored between neighbours.
    """

    settings: tuple[str, ...] = ()
    constants: Mapping[str, float] = field(default_factory=dict)
    rates: tuple[float, float] = (1.0, 1.0)
    applies: Callable[[Cut], bool] = _always
    context: bool = False


def _set(*settings: str, applies: Callable[[Cut], bool] = _always, context: bool = False) -> Technique:
    return Technique(settings=settings, applies=applies, context=context)


def _link_prior(prior: float) -> Technique:
    return Technique(constants={"ie_cli.modeling.heads.gplinker:LINK_PRIOR": prior}, applies=_of_relations)


def _span_prior(prior: float) -> Technique:
    name = "ie_cli.modeling.heads.efficient_global_pointer:SPAN_PRIOR"
    return Technique(constants={name: prior}, applies=lambda cut: cut.corpus.task == "ner")


TECHNIQUES = {
    BASELINE: Technique(context=True),
    "rates x 1/2": Technique(rates=(0.5, 0.5)),
    "rates x 2": Technique(rates=(2.0, 2.0)),
    "rate of the encoder x 1/2": Technique(rates=(0.5, 1.0)),
    "rate of the encoder x 2": Technique(rates=(2.0, 1.0)),
    "rate of the head x 2": Technique(rates=(1.0, 2.0)),
    "no warm-up": _set("training.warmup=0"),
    "warm-up 0.2": _set("training.warmup=0.2"),
    "schedule: linear": _set("training.schedule=linear"),
    "schedule: constant": _set("training.schedule=constant"),
    "weight decay 0": _set("training.weight_decay=0"),
    "weight decay 0.1": _set("training.weight_decay=0.1"),
    "layer decay 0.9": _set("training.layer_decay=0.9"),
    "layer decay 0.8": _set("training.layer_decay=0.8"),
    "batches of 16": _set("training.batch_size=16"),
    "input dropout 0.1": _set("head.input_dropout=0.1"),
    "input dropout 0.3": _set("head.input_dropout=0.3"),
    "head size 32": _set("head.head_size=32"),
    "head size 128": _set("head.head_size=128"),
    "link prior 0": _link_prior(0.0),
    "link prior -10": _link_prior(-10.0),
    "span prior 0": _span_prior(0.0),
    "span prior -7": _span_prior(-7.0),
    "entity scorer: efficient": _set("head.entity_scorer=efficient_global_pointer", applies=_of_relations),
    "ema 0.99": _set("training.ema=0.99"),
    "ema 0.999": _set("training.ema=0.999"),
    "r_drop 1": _set("training.r_drop=1"),
    "r_drop 4": _set("training.r_drop=4"),
    "adversarial: fgm 0.5": _set("training.adversarial=0.5"),
    "adversarial: fgm 1": _set("training.adversarial=1.0"),
    "label smoothing 0.05": _set("training.label_smoothing=0.05"),
    "label smoothing 0.1": _set("training.label_smoothing=0.1"),
    "negative sampling 1": _set("training.negative_sampling=1"),
    "negative sampling 10": _set("training.negative_sampling=10"),
    "mentions: all": _set("data.mentions=all", applies=_of_triples),
    "mentions: first": _set("data.mentions=first", applies=_of_triples),
    "context: 3 texts": _set("data.context=3", context=True),
    "context: 3 texts, share 0.8": _set('data.context={"texts": 3, "share": 0.8}', context=True),
    "context: 5 texts": _set("data.context=5", context=True),
    "context: 3 random texts": _set('data.context={"texts": 3, "order": "random"}', context=True),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    cut: Cut
    encoders: Path
    work: Path
    techniques: tuple[str, ...]
    layers: int
    epochs: int
    seeds: tuple[int, ...]

    def name(self, technique: str, seed: int) -> str:
        """Return the name of the files of a training."""
        words = "".join(character if character.isalnum() or character in ".-" else "_" for character in technique)
        return f"{self.cut.key}-{self.layers}-{self.epochs}-{words}-{seed}"


def settings(options: Options, technique: Technique, seed: int) -> list[str]:
    """Return the fields of the recipe of a training; those of the technique are last."""
    cut = options.cut
    made = cut.recipe(options.encoders / cut.corpus.encoder)
    made += [f"encoder.layers={options.layers}", f"head.name={HEADS[cut.corpus.task]}", f"training.seed={seed}"]
    made += [f"training.epochs={options.epochs}", f"training.batch_size={BATCH}", "training.schedule=cosine"]
    made += ["training.trackers=[]", "training.checkpoints=1"]
    pairs = zip(("learning_rate", "head_learning_rate"), RATES, technique.rates, strict=True)
    made += [f"training.{name}={rate * factor:g}" for name, rate, factor in pairs]
    return [*made, *technique.settings]


def program(technique: Technique) -> tuple[str, ...]:
    """Return what Python runs as `ie`: the command, after the constants are set."""
    if not technique.constants:
        return "-m", "ie_cli"
    lines = ["import importlib", "from ie_cli.__main__ import main"]
    for place, number in technique.constants.items():
        module, _, name = place.partition(":")
        lines.append(f"setattr(importlib.import_module({module!r}), {name!r}, {number!r})")
    return "-c", "\n".join([*lines, "main()"])


def score(options: Options, technique: Technique, model: Path) -> dict[str, Any]:
    """Return the scores of a model on test."""
    command: list[Any] = ["eval", model, options.cut.path("test"), "--json"]
    if options.cut.corpus.lines:
        command += ["--from", options.cut.corpus.lines]
    if options.cut.corpus.lines == "duie":
        command += ["--scorer", "duie"]
    if technique.context:
        command += ["--context", NEIGHBOURS]
    found = json.loads(ie(*command))
    scores = found.get("official") or found
    context = {"context": found["context"]["between"]} if technique.context else {}
    return {"test": {name: scores[name] for name in ("precision", "recall", "f1")}, **context}


def run(options: Options, name: str, seed: int) -> None:
    """Train and score, unless the result exists or another process works on it."""
    options.cut.write()
    technique = TECHNIQUES[name]
    train_once(
        options.work,
        options.name(name, seed),
        settings(options, technique, seed),
        lambda model: score(options, technique, model),
        show=lambda metrics: f"dev F1 {metrics['dev']['f1']:.4f}",
        program=program(technique),
    )


def results_of(options: Options, technique: str) -> dict[int, dict[str, Any]]:
    """Return the stored results of a technique by seed."""
    found = {seed: result_at(options.work, options.name(technique, seed)) for seed in options.seeds}
    return {seed: result for seed, result in found.items() if result is not None}


def difference(results: Mapping[int, Mapping[str, Any]], base: Mapping[int, Mapping[str, Any]]) -> str:
    """Return the mean difference of F1 of the same seeds, ± its standard deviation."""
    pairs = [results[seed]["test"]["f1"] - base[seed]["test"]["f1"] for seed in results if seed in base]
    if not pairs:
        return "–"
    deviation = f" ± {statistics.stdev(pairs):.4f}" if len(pairs) > 1 else ""
    return f"{statistics.mean(pairs):+.4f}{deviation}"


def report(options: Options) -> None:
    """Print the table of a corpus."""
    cut, base = options.cut, results_of(options, BASELINE)
    print(f"{cut.name}: {cut.count:,} training sentences, {options.layers} layers, {options.epochs} epochs.\n")
    print("| technique | seeds | dev F1 | F1 | difference | F1 between 3 neighbours | time against the baseline |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name in options.techniques:
        results = results_of(options, name)
        if not results:
            continue
        shared = [seed for seed in results if seed in base]
        times = [results[seed]["seconds"] / base[seed]["seconds"] for seed in shared]
        time = f"{statistics.median(times):.2f}" if times else "–"
        between = [result["context"] for result in results.values() if "context" in result]
        cells = [
            spread([result["metrics"]["dev"]["f1"] for result in results.values()]),
            spread([result["test"]["f1"] for result in results.values()]),
            "–" if name == BASELINE else difference(results, base),
            spread(between) if between else "–",
            time,
        ]
        print(f"| {name} | {len(results)} | {' | '.join(cells)} |")


def parse(arguments: list[str] | None = None) -> tuple[str, Options]:
    """Return the phase and its options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", choices=["train", "report"])
    add_arguments(parser)
    parser.add_argument("techniques", nargs="*", metavar="TECHNIQUE", help="all that apply by default")
    given = parser.parse_intermixed_args(arguments)
    if unknown := set(given.techniques) - set(TECHNIQUES):
        parser.error(f"unknown techniques: {', '.join(sorted(unknown))}; use {', '.join(TECHNIQUES)}")
    cut = Cut.of(given)
    chosen = [name for name in given.techniques or TECHNIQUES if TECHNIQUES[name].applies(cut)]
    if given.techniques and BASELINE not in chosen:
        chosen.insert(0, BASELINE)
    options = Options(
        cut,
        given.encoders.resolve(),
        cut.work,
        tuple(chosen),
        given.layers,
        given.epochs or cut.corpus.epochs,
        tuple(given.seeds),
    )
    return given.phase, options


def main() -> None:
    """Run a phase."""
    phase, options = parse()
    if phase == "report":
        report(options)
        return
    for seed in options.seeds:
        for name in options.techniques:
            run(options, name, seed)


if __name__ == "__main__":
    main()
