"""Define the command-line interface; each command imports what it needs, so torch is loaded only by those that use it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from ie_cli import __version__
from ie_cli.commands import arguments as args
from ie_cli.commands import data_tools, importing, predicting, vectors
from ie_cli.commands.completion import prepare_completion
from ie_cli.commands.exit_codes import Commands, exiting
from ie_cli.commands.recipes import recipes_app
from ie_cli.system.cores import share_cores

app = typer.Typer(
    name="ie",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(recipes_app, name="recipes")


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"ie {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Train, evaluate and run information extraction models. Start with `ie recipes` or `ie init data.jsonl`."""


@app.command()
def init(
    data: args.InitData,
    output: args.Recipe = "-",
    force: args.Replace = False,
    encoder: Annotated[str | None, typer.Option(help="Encoder: a Hub id, a directory, `hash_cnn` or `tiny`.")] = None,
    input_format: args.FromFormat = None,
    text_column: args.TextColumn = None,
    label_columns: args.LabelColumns = None,
    joiner: args.Joiner = None,
    columns: args.Columns = None,
    debug: args.Debug = False,
) -> None:
    """Inspect training data and write a suitable recipe."""
    from ie_cli.commands.init import run_init
    from ie_cli.commands.input_options import make_inputs

    given = make_inputs(
        data, format=input_format, text_column=text_column, label_columns=label_columns, joiner=joiner, columns=columns
    )
    run_init(given, encoder=encoder, output=output, force=force)


@app.command()
def show(
    recipe: args.RecipeArgument,
    overrides: args.Overrides = None,
    help_fields: args.HelpFields = False,
    schema: args.PrintSchema = False,
    debug: args.Debug = False,
) -> None:
    """Print a recipe with all defaults filled in."""
    from ie_cli.commands.show import run_show

    run_show(recipe, overrides or [], help_fields=help_fields)


@app.command()
def check(
    recipe: args.CheckedArgument,
    overrides: args.Overrides = None,
    time: args.Timing = True,
    deep: args.Deep = False,
    as_json: args.AsJson = False,
    save: args.Save = None,
    fail_on: args.FailOn = "error",
    input_format: args.FromFormat = None,
    text_column: args.TextColumn = None,
    label_columns: args.LabelColumns = None,
    joiner: args.Joiner = None,
    columns: args.Columns = None,
    debug: args.Debug = False,
) -> None:
    """Check recipes and their data, or data alone, for problems before training."""
    from ie_cli.commands import check as command
    from ie_cli.commands.check_data import are_data, validate_options
    from ie_cli.commands.input_options import make_inputs

    reporting = command.Reporting(as_json=as_json, save=tuple(save or ()), fail_on=fail_on, deep=deep)
    given = {
        "text_column": text_column,
        "label_columns": label_columns or None,
        "joiner": joiner,
        "columns": columns or None,
    }
    alone = are_data(recipe)
    validate_options({"input_format": input_format, **given}, {"--set": overrides}, alone=alone)
    if not alone:
        command.run_check(recipe, overrides or [], reporting, time=time)
        return
    data = make_inputs(
        recipe,
        format=input_format,
        text_column=text_column,
        label_columns=label_columns,
        joiner=joiner,
        columns=columns,
    )
    command.run_check_data(data, reporting)


@app.command()
def train(
    recipe: args.RecipeArgument,
    output: args.RunDirectory = None,
    overrides: args.Overrides = None,
    overwrite: args.Overwrite = False,
    resume: args.ResumeRun = False,
    seeds: args.Seeds = None,
    folds: args.Folds = None,
    compiled: args.Compile = False,
    processes: args.Processes = 1,
    quiet: args.Quiet = False,
    debug: args.Debug = False,
) -> None:
    """Train a model; the best one is stored in runs/NAME/model.

    Encoded data are cached for the next run in the directory $IE_CACHE, else $XDG_CACHE_HOME/ie, else ~/.cache/ie.
    """
    from ie_cli.commands.train import TrainOptions, run_train
    from ie_cli.system.memory import keep_freed_memory

    if overwrite and resume:
        raise typer.BadParameter("--overwrite and --resume contradict each other.")
    if seeds and folds:
        raise typer.BadParameter(
            "--seeds and --folds exclude each other: run one after the other, with another --output."
        )
    keep_freed_memory()
    overrides = [*(overrides or []), *(["training.compile=true"] if compiled else [])]
    options = TrainOptions(overwrite=overwrite, resume=resume, quiet=quiet, seeds=seeds, folds=folds, debug=debug)
    run_train(recipe, output, overrides, options, processes=processes)


@app.command("eval")
def evaluate(
    paths: args.ModelAndData,
    model: args.ModelOption = None,
    predictions: args.Predictions = None,
    as_json: args.AsJson = False,
    train_data: args.TrainData = None,
    task: args.TaskName = None,
    errors: args.Errors = 0,
    context: args.Context = 0,
    match: args.Match = None,
    scorer: args.Scorer = None,
    alias: args.Alias = None,
    save: args.Save = None,
    input_format: args.FromFormat = None,
    text_column: args.TextColumn = None,
    label_columns: args.LabelColumns = None,
    joiner: args.Joiner = None,
    columns: args.Columns = None,
    predicted_text_column: args.PredictedTextColumn = None,
    predicted_label_columns: args.PredictedLabelColumns = None,
    threshold: args.Threshold = None,
    flat: args.Flat = None,
    split: args.SplitTexts = "auto",
    batch_size: args.BatchSize = None,
    precision: args.Precision = "auto",
    device: args.Device = "auto",
    backend: args.Backend = "auto",
    quiet: args.Quiet = False,
    debug: args.Debug = False,
) -> None:
    """Score a model or a file of predictions on gold data."""
    from ie_cli.commands import evaluate as command
    from ie_cli.commands.input_options import make_inputs
    from ie_cli.commands.inputs import ModelChoice

    chosen, data = command.model_and_data(paths, model, predictions)
    command.validate_combination(predictions, context=context, alias=alias, scorer=scorer)
    report = command.Report(task=task, as_json=as_json, errors=errors, context=context, save=tuple(save or ()))
    report = replace(report, train_data=train_data, quiet=quiet, match=match, scorer=scorer, alias=alias)
    files, common = [data, *filter(None, [train_data])], joiner if predictions is None else None
    gold, *_ = make_inputs(
        files, format=input_format, text_column=text_column, label_columns=label_columns, joiner=common, columns=columns
    )
    if predictions is not None:
        beside = (predicted_text_column, predicted_label_columns)
        command.run_eval_predictions(*command.with_predictions(gold, predictions, beside, joiner), report)
        return
    choice = ModelChoice(
        chosen,
        threshold=threshold,
        flat=flat,
        split=split,
        batch_size=batch_size,
        precision=precision,
        device=device,
        backend=backend,
        quiet=quiet,
    )
    command.run_eval(choice, gold, report)


app.command()(predicting.predict)


@app.command()
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model directory written by `ie train`.")],
    output: args.ExportDirectory = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write an ONNX graph; the default.")] = True,
    int8: args.Int8 = False,
    data: args.ComparisonData = None,
    input_format: args.FromFormat = None,
    text_column: args.TextColumn = None,
    label_columns: args.LabelColumns = None,
    joiner: args.Joiner = None,
    columns: args.Columns = None,
    max_loss: args.MaxLoss = 0.005,
    force: Annotated[bool, typer.Option("--force", help="Write the model even if it exceeds --max-loss.")] = False,
    yes: args.Yes = False,
    quiet: args.Quiet = False,
    debug: args.Debug = False,
) -> None:
    """Export a model that predicts without torch, and compare it with the original."""
    from ie_cli.commands.export import run_export
    from ie_cli.commands.input_options import make_inputs

    gold = make_inputs(
        [] if data is None else [data],
        format=input_format,
        text_column=text_column,
        label_columns=label_columns,
        joiner=joiner,
        columns=columns,
    )
    run_export(
        model, output, gold[0] if gold else None, int8=int8, max_loss=max_loss, force=force, yes=yes, quiet=quiet
    )


@app.command()
def serve(
    model: args.ServedModel = None,
    host: args.Host = "127.0.0.1",
    port: args.Port = 8000,
    token: args.Token = None,
    max_body: args.MaxBody = 2**20,
    max_texts: args.MaxTexts = 256,
    max_text: args.MaxText = 100_000,
    concurrency: args.Concurrency = 256,
    timeout: args.Timeout = 30.0,
    drain: args.Drain = 0.0,
    threshold: args.Threshold = None,
    flat: args.Flat = None,
    split: args.SplitTexts = "auto",
    batch_size: args.BatchSize = None,
    precision: args.Precision = "auto",
    device: args.Device = "auto",
    backend: args.Backend = "auto",
    quiet: args.Quiet = False,
    debug: args.Debug = False,
) -> None:
    """Serve a model as a web page and an HTTP API that takes texts and returns JSON."""
    from ie_cli.commands.inputs import ModelChoice
    from ie_cli.commands.serve import run_serve
    from ie_cli.serving.limits import Limits

    choice = ModelChoice(
        model,
        threshold=threshold,
        flat=flat,
        split=split,
        batch_size=batch_size,
        precision=precision,
        device=device,
        backend=backend,
        quiet=quiet,
    )
    sizes = {"max_body": max_body, "max_texts": max_texts, "max_text": max_text, "concurrency": concurrency}
    limits = Limits(**sizes, timeout=timeout, drain=drain)
    run_serve(choice, host, port, token, limits, quiet=quiet)


@app.command()
def push(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model directory, trained or exported.")],
    repo: Annotated[str, typer.Argument(metavar="REPO", help="Repository on the Hugging Face Hub: USER/NAME.")],
    private: args.Private = False,
    revision: args.Revision = None,
    message: args.Message = None,
    dry_run: args.DryRun = False,
    quiet: args.Quiet = False,
    debug: args.Debug = False,
) -> None:
    """Upload a model to the Hugging Face Hub."""
    from ie_cli.commands.push import run_push

    run_push(model, repo, private=private, revision=revision, message=message, dry_run=dry_run, quiet=quiet)


app.command()(data_tools.convert)
app.command()(data_tools.split)
app.command()(data_tools.merge)
app.command()(data_tools.diff)
app.command()(data_tools.stats)
app.command()(data_tools.view)
app.command()(vectors.embed)
app.command()(vectors.search)
app.command()(vectors.link)
app.command("import-predictions")(importing.import_predictions)


def main() -> None:
    """Run the command line."""
    share_cores()
    name = prepare_completion()
    with exiting():
        app(prog_name=name)
