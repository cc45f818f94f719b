"""What the commands do: read arguments, call the engine, talk."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ie_cli.analysis import KINDS, Analysis
from ie_cli.console import TrainingView, counting, say, show_scores, warn
from ie_cli.errors import DataError, IEError, ModelError
from ie_cli.example import Example
from ie_cli.formats import BadLine, Reading, find_format, read_examples, read_records
from ie_cli.formats.jsonl import dump
from ie_cli.textio import open_input, open_output

if TYPE_CHECKING:
    from ie_cli.extractor import Extractor
    from ie_cli.metrics import EntityScores
    from ie_cli.predict import Engine
    from ie_cli.recipe import Recipe

IDLE_SECONDS = 0.5
"""On a pipe: what has been read is answered after so long without input."""


def _recipe(name: str, overrides: Sequence[str]) -> Recipe:
    """A recipe by its file, or by the name of a shipped one."""
    from ie_cli.recipe_file import load_recipe
    from ie_cli.shipped import find_recipe

    shipped = None if os.path.exists(name) else find_recipe(name)
    return load_recipe(shipped.path if shipped else name, overrides)


@dataclass(frozen=True, slots=True)
class Input:
    """Data that a command reads; what is not given is detected, or taken from the model's recipe."""

    path: str
    format: str | None = None
    text_column: int | None = None
    label_columns: Sequence[int] | None = None

    def reading(self, *, quiet: bool = False, recipe: Recipe | None = None) -> Reading:
        """How to read it; columns as in the data that the model was trained on, where nothing else is said."""
        from ie_cli.corpus import reading_of

        reading = reading_of(recipe.data) if recipe is not None else Reading()
        if self.text_column is not None:
            reading = replace(reading, text_column=self.text_column)
        if self.label_columns is not None:
            reading = replace(reading, label_columns=tuple(self.label_columns))
        return reading if quiet else replace(reading, report=say)

    def must_exist(self) -> None:
        """Tell a wrong file name before seconds are spent on loading a model."""
        if self.path != "-" and ":" not in self.path and not os.path.exists(self.path):
            with open_input(self.path):  # raises, with a suggestion
                pass

    def examples(self, reading: Reading) -> Iterator[Example]:
        """Its examples."""
        return read_examples(self.path, format=self.format, reading=reading)


def run_init(data: Input, *, encoder: str | None) -> None:
    """`ie init`: a recipe on stdout."""
    from ie_cli.init import propose_recipe

    with open_output("-") as out:
        out.write(propose_recipe(data.path, format=data.format, encoder=encoder, reading=data.reading()))


def run_show(name: str, overrides: Sequence[str], *, help_fields: bool) -> None:
    """`ie show`: the recipe in full on stdout."""
    from ie_cli.recipe_file import dump_recipe

    recipe = _recipe(name, overrides)
    with open_output("-") as out:
        out.write(dump_recipe(recipe, explain=help_fields))


def run_check(name: str, overrides: Sequence[str]) -> None:
    """`ie check`: findings on stderr; an error where one of them is."""
    from ie_cli.check import check

    recipe = _recipe(name, overrides)
    errors = 0
    for finding in check(recipe):
        (warn if finding.kind == "warning" else say)(
            f"error: {finding.text}" if finding.kind == "error" else finding.text
        )
        errors += finding.kind == "error"
    if errors:
        raise DataError(f"{errors} error{'s' if errors > 1 else ''} in recipe or data", hint="see the lines above.")


def run_train(name: str, output: Path | None, overrides: Sequence[str], *, overwrite: bool, quiet: bool) -> None:
    """`ie train`: a live table, then the scores of the model as it was stored."""
    recipe = _recipe(name, overrides)
    from ie_cli.train import train

    folder = output or Path("runs") / recipe.name
    view = TrainingView(quiet=quiet)
    view.follow(train(recipe, folder, overwrite=overwrite))
    if quiet or view.finished is None:
        return
    for split, scores in view.finished.scores.items():
        show_scores(scores, split)
    model = view.finished.model
    say(f"model: {model}\nnext:  ie predict FILE --model {model}    or    ie eval {model} DATA")


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model, and how it is run."""

    path: str | None
    threshold: float | None = None
    flat: bool | None = None
    batch_size: int | None = None
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Literal["auto", "cpu"] = "auto"
    quiet: bool = False

    def load(self) -> Extractor:
        """Load it; without a path the newest under runs/, saying which."""
        path = self.path
        if path is None:
            path = str(newest_model(Path("runs")))
            if not self.quiet:
                say(f"model: {path}")
        from ie_cli.extractor import Extractor

        return Extractor.from_pretrained(path, device=self.device, precision=self.precision)

    def engine(self) -> tuple[Engine, Recipe]:
        """What predicts, and the recipe it was trained by."""
        extractor = self.load()
        engine = extractor.engine(batch_size=self.batch_size, threshold=self.threshold, flat=self.flat)
        return engine, extractor.recipe


def newest_model(runs: Path) -> Path:
    """The model folder under runs/ that was written last.

    Raises:
        ModelError: there is none.
    """
    found = sorted(runs.glob("*/model/ie.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ModelError(
            f"no model under {runs.absolute()}",
            hint="train one (`ie train quickstart`), or name one: --model FOLDER, or the variable IE_MODEL.",
        )
    return found[-1].parent


@dataclass(frozen=True, slots=True)
class Report:
    """How scores are shown."""

    as_json: bool
    errors: int
    train_data: str | None
    quiet: bool

    def seen(self, data: Input, reading: Reading) -> set[tuple[str, str]] | None:
        """(label, mention) of the training data, where they were given; they are read as the gold data are."""
        if self.train_data is None:
            return None
        from ie_cli.evaluate import mentions

        return mentions(replace(data, path=self.train_data).examples(reading))

    def show(self, scores: EntityScores, title: str, analysis: Analysis) -> None:
        """Print scores: a table, or one JSON object on stdout."""
        if self.as_json:
            fields = scores.to_dict() | {"errors": {kind: analysis.counts[kind] for kind in KINDS}}
            sys.stdout.write(json.dumps(fields, ensure_ascii=False) + "\n")
            return
        show_scores(scores, title)
        say("errors: " + ", ".join(f"{analysis.counts[kind]} {_KIND_NAMES[kind]}" for kind in KINDS))
        for kind in KINDS if self.errors else ():
            for slip in analysis.samples.get(kind, []):
                say(f"  {_KIND_NAMES[kind]}: {slip.describe()}")


_KIND_NAMES = {
    "label": "wrong label",
    "boundary": "wrong border",
    "both": "wrong border and label",
    "missed": "missed",
    "invented": "invented",
}


def run_eval(model: ModelChoice, data: Input, report: Report) -> None:
    """`ie eval MODEL DATA`."""
    from ie_cli.evaluate import score

    data.must_exist()
    engine, recipe = model.engine()
    analysis = Analysis(keep=report.errors)
    reading = data.reading(quiet=report.quiet, recipe=recipe)
    with counting("evaluating", quiet=report.quiet) as count:

        def each(gold: Example, predicted: Example) -> None:
            analysis.add(gold, predicted)
            count()

        scores = score(engine, data.examples(reading), each=each, seen=report.seen(data, reading))
    _warn_capped(engine)
    _need_gold(scores, data)
    report.show(scores, f"{model.path} on {data.path}", analysis)


def run_eval_predictions(predictions: str, data: Input, report: Report) -> None:
    """`ie eval --predictions FILE DATA`."""
    from ie_cli.metrics import EntityScorer
    from ie_cli.pairing import pair_examples

    reading = data.reading(quiet=report.quiet)
    scorer = EntityScorer(seen=report.seen(data, reading))
    analysis = Analysis(keep=report.errors)
    guesses = read_examples(predictions, reading=Reading(report=reading.report))
    for truth, guess in pair_examples(data.examples(reading), guesses):
        scorer.add(truth, guess)
        analysis.add(truth, guess)
    scores = scorer.scores()
    _need_gold(scores, data)
    report.show(scores, f"{predictions} on {data.path}", analysis)


def _need_gold(scores: EntityScores, data: Input) -> None:
    if not scores.micro.gold:
        raise DataError(f"{data.path}: no entity in it: nothing to score", hint="give data with gold annotation.")


def _warn_capped(engine: Engine) -> None:
    if engine.counts.capped:
        warn(
            f"in {engine.counts.capped} of {engine.counts.windows} windows more was found than is kept; the best are: "
            "the model is untrained, or the threshold far too low"
        )


@dataclass(slots=True)
class _Tally:
    written: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    bad: list[BadLine] = field(default_factory=list)
    bad_count: int = 0

    def note(self, bad: BadLine) -> None:
        self.bad_count += 1
        if len(self.bad) < 3:
            self.bad.append(bad)


def run_predict(
    choice: ModelChoice,
    source: Input,
    output: str,
    *,
    output_format: str,
    on_error: Literal["stop", "keep", "skip"],
    quiet: bool,
) -> None:
    """`ie predict`: examples in, examples out, in order, line by line."""
    target = find_format(output_format)
    write = target.write
    if write is None:
        raise DataError(f"format '{output_format}' cannot be written", hint="formats to write: jsonl, cluener, conll.")
    if on_error == "keep" and output_format != "jsonl":
        raise DataError(
            f"--on-error keep needs --format jsonl, got {output_format}",
            hint="a bad line has no place in it; use skip.",
        )
    source.must_exist()
    if output != "-" and os.path.isfile(source.path) and os.path.realpath(source.path) == os.path.realpath(output):
        raise DataError(f"{output}: is the input too", hint="give another file with --output.")
    engine, recipe = choice.engine()
    from ie_cli.predict import extract

    # What tags there are is of no account here, and the columns of the training data need not be there.
    reading = replace(source.reading(quiet=quiet, recipe=recipe), label_columns=None, annotation=False)
    records = read_records(source.path, format=source.format, reading=reading)
    live = source.path == "-" or not Path(source.path).is_file()
    tally = _Tally()
    stream = extract(engine, _handled(records, on_error, tally), idle=IDLE_SECONDS if live else None)
    with open_output(output) as out, counting("predicting", quiet=quiet) as count:
        for item in stream:
            if isinstance(item, BadLine):
                out.write(dump({"error": item.error.message, "line": item.raw}))
            else:
                tally.lost.update(target.lost(item))
                out.write(write(item))
            if live:
                out.flush()
            tally.written += 1
            count()
    _tell_left_out(tally, on_error)
    _warn_capped(engine)


def _handled(
    records: Iterator[Example | BadLine], on_error: Literal["stop", "keep", "skip"], tally: _Tally
) -> Iterator[Example | BadLine]:
    for record in records:
        if isinstance(record, BadLine):
            if on_error == "stop":
                raise DataError(record.error.message, hint=_on_error_hint(record.error))
            tally.note(record)
            if on_error == "skip":
                continue
        yield record


def _on_error_hint(error: IEError) -> str:
    return f"{error.hint or ''} `--on-error skip` leaves such lines out, `keep` marks them.".strip()


def _tell_left_out(tally: _Tally, on_error: str) -> None:
    for what, count in tally.lost.items():
        if count:
            warn(f"{count} {what}")
    if tally.bad_count:
        kept = "kept with an `error` field" if on_error == "keep" else "left out"
        warn(f"{tally.bad_count} bad lines {kept}; the first: {tally.bad[0].error.message}")


def run_recipes() -> None:
    """`ie recipes`: names and descriptions on stdout."""
    from ie_cli.shipped import list_recipes

    recipes = list_recipes()
    width = max((len(recipe.name) for recipe in recipes), default=0)
    with open_output("-") as out:
        for recipe in recipes:
            out.write(f"{recipe.name.ljust(width)}  {recipe.description}\n")


def run_copy(name: str, destination: Path | None, *, force: bool) -> None:
    """`ie recipes copy`."""
    from ie_cli.shipped import copy_recipe

    path = copy_recipe(name, destination or Path(os.curdir), force=force)
    say(f"wrote {path}; its data are, or belong, in {path.parent / 'data'}")
