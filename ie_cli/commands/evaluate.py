"""`ie eval`: score a model or a file of predictions."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import typer

from ie_cli.commands.console import say, show_scores, warn
from ie_cli.commands.input_options import require_options_to_apply
from ie_cli.commands.inputs import MODEL_VARIABLE, Input, ModelChoice, warn_truncated
from ie_cli.commands.lengths import report_long_texts
from ie_cli.commands.progress import counting
from ie_cli.document import Document
from ie_cli.document.relabelling import NO_RELATION, Relabelling
from ie_cli.errors import DataError, counted
from ie_cli.formats import Reading
from ie_cli.system.places import Identity, identity
from ie_cli.system.streams import is_replaceable, open_output, require_writable

if TYPE_CHECKING:
    from ie_cli.evaluation.result import EvaluationResult
    from ie_cli.metrics.relations import Match
    from ie_cli.tasks import ScoringOptions

ScorerName = Literal["duie", "seqeval"]
SAVED_CASES = 10
"""Default number of examples per kind of error in a saved result."""

_OF_PREDICTIONS = {"text_column": "--predicted-text-column", "label_columns": "--predicted-label-column"}
"""The options for the columns of a file of predictions, by their names in `Reading`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What to score, and how to report it.

    Attributes:
        task: name of a task in the model's recipe; not needed if the model has only one.
        errors: number of examples to print per kind of error.
        match: what makes a relation correct; None means text if offsets are guessed, else strict.
        scorer: an additional scorer: `duie` with the aliases in the file `alias`, or `seqeval`.
        save: files for the result, written as JSON or as a web page by their suffix.
        context: number of neighbours on each side between which each text is also annotated; 0 for none.
    """

    task: str | None = None
    as_json: bool = False
    errors: int = 0
    train_data: str | None = None
    quiet: bool = False
    match: Match | None = None
    scorer: ScorerName | None = None
    alias: str | None = None
    save: tuple[str, ...] = ()
    context: int = 0

    @property
    def keep(self) -> int:
        """Number of examples to keep per kind of error."""
        return self.errors or (SAVED_CASES if self.save else 0)

    def options(self) -> ScoringOptions:
        """Return the scoring options, without the items seen in training."""
        from ie_cli.metrics.duie import OfficialScorer, read_aliases
        from ie_cli.tasks import ScoringOptions

        aliases = read_aliases(self.alias) if self.alias is not None else None
        return ScoringOptions(
            match=self.match,
            official=OfficialScorer(aliases) if self.scorer == "duie" else None,
            seqeval=self.scorer == "seqeval",
            documents=bool(self.save),
        )

    def training_documents(self, data: Input, reading: Reading) -> Iterator[Document] | None:
        """Read the training data like the gold data; return None if none are given."""
        if self.train_data is None:
            return None
        return replace(data, path=self.train_data).documents(replace(reading, report=lambda text: None))

    def validate_save_path(self, *inputs: str) -> None:
        """Check that the result can be saved, before the model runs.

        Raises:
            DataError: a file to save is also an input, or cannot be written.
        """
        files = [path for path in (*inputs, self.train_data, self.alias) if path is not None and os.path.exists(path)]
        taken: dict[Identity | None, str] = {identity(path, reading=True): "an input" for path in files}
        for path in self.save:
            key = identity(path)
            if key is not None and key in taken:
                raise DataError(f"{path}: this file is also {taken[key]}", hint="use another file for --save.")
            taken[key] = "the file of another --save"
            if is_replaceable(path):
                require_writable(path)

    def show(self, result: EvaluationResult) -> None:
        """Print a result as tables, or as one JSON object on stdout even if saving fails, and save it."""
        errors = result.errors
        if not self.as_json:
            show_scores(result.scores, result.title)
            if (context := result.context_line()) is not None:
                say(f"context: {context}")
            say(f"errors: {errors.line()}")
            for case in errors.cases if self.errors else ():
                say(f"  {errors.kinds[case.kind]}: {case.line}")
        try:
            for path in self.save:
                save(result, path)
                if not self.quiet:
                    say(f"result: {path}")
        finally:
            if self.as_json:
                fields = result.scores.to_dict() | {"errors": errors.counts} | result.context_fields()
                with open_output("-") as out:
                    out.write(json.dumps(fields, ensure_ascii=False) + "\n")


def model_and_data(paths: Sequence[str], option: str | None, predictions: str | None) -> tuple[str | None, str]:
    """Return the model and the gold data that a command line names; the model is None if it is to be the newest one.

    Args:
        paths: the positional arguments: MODEL and DATA, or only DATA.
        option: the value of --model, or of its variable.
        predictions: the file of predictions, which take the place of a model.

    Raises:
        BadParameter: the arguments do not fit together.
    """
    from ie_cli.inference.model_directory import FACTS
    from ie_cli.inference.model_paths import RUN_MODEL

    explicit = option if option != os.environ.get(MODEL_VARIABLE) else None
    if len(paths) > (2 if predictions is None else 1):
        expected = (
            "MODEL and DATA, or only DATA" if predictions is None else "only DATA, because --predictions is given"
        )
        raise typer.BadParameter(f"expected {expected}; got {counted(len(paths), 'path')}.")
    if explicit is not None and (len(paths) > 1 or predictions is not None):
        other = "MODEL" if predictions is None else "--predictions"
        raise typer.BadParameter(f"{other} and --model contradict each other.")
    if len(paths) == 1 and any(os.path.isfile(os.path.join(paths[0], *at, FACTS)) for at in ((), (RUN_MODEL,))):
        raise typer.BadParameter(f"{paths[0]} is a model: name the gold data after it.")
    return paths[0] if len(paths) > 1 else option, paths[-1]


def run_eval(model: ModelChoice, data: Input, report: Report) -> None:
    """Score a model on gold data: `ie eval MODEL DATA`."""
    from ie_cli.evaluation.evaluate import evaluate_engine
    from ie_cli.evaluation.thresholds import describe_better, threshold_probe
    from ie_cli.tasks import TASKS

    data.require_exists()
    report.validate_save_path(data.path)
    engine, extractor = model.engine()
    name, section = extractor.task(report.task)
    model.require_applicable([section], f"task {name}")
    task, options = TASKS[section.task], replace(report.options(), cut_by=section.head.cut_by)
    task.validate_options(options)
    known = extractor.tasks[name]
    reading = data.reading(
        quiet=report.quiet, trained=section.data, tokens=known.tokens, predicates=known.schema.predicates
    )
    trained = report.training_documents(data, reading)
    probe = threshold_probe(
        *(extractor, name, engine.only(name)), task=task, options=options, threshold=model.threshold, flat=model.flat
    )
    with counting("evaluating", quiet=report.quiet, size=data.size()) as count:
        result = evaluate_engine(
            engine.only(name),
            count.follow(data.documents(replace(reading, progress=count.on_read))),
            task=task,
            options=options if trained is None else replace(options, seen=task.seen(trained)),
            model=model.directory,
            data=data.path,
            keep=report.keep,
            context=report.context,
            joiner=section.data.context_joiner,
            each=count,
            probe=None if report.quiet else probe,  # it only serves the hint below
        )
    warn_truncated(engine.counts, engine.pair_tasks)
    report_long_texts(engine.splitter, engine.counts, quiet=report.quiet)
    _require_gold(result)
    if probe is not None:
        result = replace(result, environment={**result.environment, "threshold": probe.description})
    report.show(result)
    choice = None if probe is None or report.quiet else probe.choice(result.scores)
    if probe is not None and choice is not None and choice.changed:
        better = describe_better(choice, per_label=probe.per_label)
        say(
            f"hint: on these data, {better} (--threshold {choice.threshold:g}). Choose it on dev data, not on test data."
        )


def validate_combination(predictions: str | None, *, context: int, alias: str | None, scorer: str | None) -> None:
    """Check that options are given with those that they require.

    Raises:
        BadParameter: one is not.
    """
    if context and predictions is not None:
        raise typer.BadParameter("--context requires a model, but --predictions is given.")
    if alias is not None and scorer != "duie":
        raise typer.BadParameter("--alias requires --scorer duie.")


def with_predictions(
    gold: Input, predictions: str, columns: tuple[int | None, Sequence[int] | None], joiner: str | None
) -> tuple[Input, Input]:
    """Return the inputs of predictions and gold data, with options that apply to them.

    Args:
        gold: the gold data, without the joiner.
        predictions: the file of predictions.
        columns: the columns of its tokens and of its tags.
        joiner: the text between two tokens, in both.

    Raises:
        DataError: an option does not apply: those of the columns to the predictions, the joiner to neither.
    """
    text_column, label_columns = columns
    gold = replace(gold, joiner=joiner)
    guesses = gold.beside(predictions, text_column=text_column, label_columns=label_columns or None)
    (guesses,) = require_options_to_apply([guesses], _OF_PREDICTIONS)
    if joiner is not None:
        gold, guesses = require_options_to_apply([gold, guesses], {"joiner": "--joiner"})
    return guesses, gold


def run_eval_predictions(predictions: Input, data: Input, report: Report) -> None:
    """Score a file of predictions on gold data: `ie eval --predictions FILE DATA`.

    Several columns of tags are never united here, because they may be those of gold and predictions. If both are in one file,
    the columns of one side are not detected as those of the other.
    """
    from ie_cli.evaluation.prediction_files import accepts, evaluate_predictions, pair_documents
    from ie_cli.tasks import TASKS

    if report.task is not None:
        raise DataError("--task selects a task of a model, but --predictions is given", hint="omit one of them.")
    report.validate_save_path(predictions.path, data.path)
    relabelling, same = Relabelling(no_relation=NO_RELATION), predictions.path == data.path
    reading = replace(data.reading(quiet=report.quiet), relabelling=relabelling, nested=False)
    gold = data.documents(replace(reading, other_columns=predictions.columns if same else ()))
    guesses = replace(predictions.reading(quiet=report.quiet), relabelling=relabelling, nested=False)
    predicted = predictions.documents(replace(guesses, other_columns=data.columns if same else ()))
    options = report.options()
    result = evaluate_predictions(
        pair_documents(gold, _with_own_options(predicted)),
        options=options,
        model=predictions.path,
        data=data.path,
        trained=report.training_documents(data, reading),
        keep=report.keep,
    )
    if report.scorer is not None and not accepts(TASKS[result.task], options):
        what = {"duie": "relations", "seqeval": "entities"}[report.scorer]
        warn(f"--scorer {report.scorer} is ignored: the gold data contain no {what}")
    _require_gold(result)
    report.show(result)


def _with_own_options(predicted: Iterator[Document]) -> Iterator[Document]:
    """Yield predictions; the hint of an error names the options for their columns instead of those for the gold data."""
    try:
        yield from predicted
    except DataError as error:
        hint = error.hint
        for field, option in _OF_PREDICTIONS.items():
            hint = hint and hint.replace(f"data.{field} in the recipe", option).replace(f"data.{field}", option)
        raise DataError(error.message, hint=hint) from error


def save(result: EvaluationResult, path: str) -> None:
    """Save a result as JSON, or as a web page if the name ends in `.html`."""
    from ie_cli.evaluation.result import write_result
    from ie_cli.reports.html import html_page

    if not path.endswith(".html"):
        write_result(result, path)
        return
    with open_output(path) as out:
        out.write(html_page(result))


def _require_gold(result: EvaluationResult) -> None:
    from ie_cli.tasks import TASKS

    if not result.scores.support:
        what = TASKS[result.task].words.item
        raise DataError(
            f"{result.data}: contains no {what}: there is nothing to score", hint="use data with gold annotations."
        )
