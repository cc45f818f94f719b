"""Define the command-line interface; each command imports what it needs, so torch is loaded only by those that use it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ie_cli import __version__
from ie_cli.commands.arguments import (
    Alias,
    Backend,
    BatchSize,
    Debug,
    Device,
    Flat,
    FromFormat,
    FullBatches,
    InputFormat,
    LabelColumns,
    Match,
    OnError,
    OnErrorOrDefault,
    Overrides,
    Precision,
    PrintSchema,
    Quiet,
    RecipeArgument,
    RecipesArgument,
    Save,
    Scorer,
    TaskName,
    TextColumn,
    Threshold,
    Timing,
    ToFormat,
    Yes,
)
from ie_cli.commands.completion import complete_output_format, prepare_completion
from ie_cli.commands.exit_codes import Commands, exiting
from ie_cli.commands.recipes import recipes_app
from ie_cli.errors import counted
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
    data: Annotated[str, typer.Argument(help="Training data: a file, `-` for stdin, or a URL.")],
    encoder: Annotated[str | None, typer.Option(help="Encoder: a Hub id, a directory, or `tiny`.")] = None,
    input_format: InputFormat = None,
    text_column: TextColumn = None,
    label_columns: LabelColumns = None,
    debug: Debug = False,
) -> None:
    """Inspect training data and write a suitable recipe to stdout."""
    from ie_cli.commands.init import run_init
    from ie_cli.commands.inputs import Input

    run_init(Input(data, format=input_format, text_column=text_column, label_columns=label_columns), encoder=encoder)


@app.command()
def show(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    help_fields: Annotated[bool, typer.Option("--help-fields", help="Explain each field in a comment.")] = False,
    schema: PrintSchema = False,
    debug: Debug = False,
) -> None:
    """Print a recipe with all defaults filled in."""
    from ie_cli.commands.show import run_show

    run_show(recipe, overrides or [], help_fields=help_fields)


@app.command()
def check(recipe: RecipesArgument, overrides: Overrides = None, time: Timing = True, debug: Debug = False) -> None:
    """Check recipes and their data for problems before training."""
    from ie_cli.commands.check import run_check

    run_check(recipe, overrides or [], time=time)


@app.command()
def train(
    recipe: RecipeArgument,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Run directory; runs/NAME if omitted.")] = None,
    overrides: Overrides = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run in the directory; other files are kept.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume an earlier run from its last checkpoint, if there is one.")
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a model; the best one is stored in runs/NAME/model.

    Encoded data are cached for the next run in the directory $IE_CACHE, else $XDG_CACHE_HOME/ie, else ~/.cache/ie.
    """
    from ie_cli.commands.train import run_train
    from ie_cli.system.memory import keep_freed_memory

    if overwrite and resume:
        raise typer.BadParameter("--overwrite and --resume contradict each other.")
    keep_freed_memory()
    run_train(recipe, output, overrides or [], overwrite=overwrite, resume=resume, quiet=quiet)


@app.command("eval")
def evaluate(
    paths: Annotated[list[str], typer.Argument(metavar="[MODEL] DATA", help="Model directory and gold data.")],
    predictions: Annotated[
        str | None, typer.Option("--predictions", help="Score this file of predictions; give only DATA then.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout, unrounded.")] = False,
    train_data: Annotated[
        str | None, typer.Option("--train", help="Training data; also reports recall on items not seen in it.")
    ] = None,
    task: TaskName = None,
    errors: Annotated[int, typer.Option("--errors", min=0, help="Number of examples to print per kind of error.")] = 0,
    match: Match = None,
    scorer: Scorer = None,
    alias: Alias = None,
    save: Save = None,
    input_format: InputFormat = None,
    text_column: TextColumn = None,
    label_columns: LabelColumns = None,
    threshold: Threshold = None,
    flat: Flat = None,
    batch_size: BatchSize = None,
    precision: Precision = "auto",
    device: Device = "auto",
    backend: Backend = "auto",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Score a model or a file of predictions on gold data."""
    from ie_cli.commands import evaluate as command
    from ie_cli.commands.inputs import Input, ModelChoice

    if len(paths) != (1 if predictions is not None else 2):
        expected = "only DATA, because --predictions is given" if predictions is not None else "MODEL and DATA"
        raise typer.BadParameter(f"expected {expected}; got {counted(len(paths), 'path')}.")
    if alias is not None and scorer != "duie":
        raise typer.BadParameter("--alias requires --scorer duie.")
    report = command.Report(
        task=task,
        as_json=as_json,
        errors=errors,
        train_data=train_data,
        quiet=quiet,
        match=match,
        scorer=scorer,
        alias=alias,
        save=tuple(save or ()),
    )
    gold = Input(paths[-1], format=input_format, text_column=text_column, label_columns=label_columns)
    if predictions is not None:
        command.run_eval_predictions(predictions, gold, report)
        return
    choice = ModelChoice(
        paths[0],
        threshold=threshold,
        flat=flat,
        batch_size=batch_size,
        precision=precision,
        device=device,
        backend=backend,
    )
    command.run_eval(choice, gold, report)


@app.command()
def predict(
    source: Annotated[str, typer.Argument(metavar="FILE", help="Input; `-` is stdin.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", envvar="IE_MODEL", help="Model directory; the newest one under runs/ if omitted."
        ),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="Output; `-` is stdout.")] = "-",
    text: Annotated[bool, typer.Option("--text", help="Read plain text, one document per line.")] = False,
    input_format: InputFormat = None,
    text_column: TextColumn = None,
    output_format: Annotated[
        str, typer.Option("--format", help="Format of the output.", autocompletion=complete_output_format)
    ] = "jsonl",
    on_error: OnErrorOrDefault = None,
    rejects: Annotated[
        str | None,
        typer.Option("--rejects", help="File for bad lines with location and error; implies --on-error skip."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume an interrupted job; start a new one if there is none.")
    ] = False,
    threshold: Threshold = None,
    flat: Flat = None,
    batch_size: BatchSize = None,
    full_batches: FullBatches = False,
    precision: Precision = "auto",
    device: Device = "auto",
    backend: Backend = "auto",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Annotate a file and write JSON Lines or another format."""
    from ie_cli.commands.inputs import Input, ModelChoice
    from ie_cli.commands.predict import run_predict
    from ie_cli.commands.records import Output

    if text and input_format not in (None, "text"):
        raise typer.BadParameter("--text and --input-format contradict each other.")
    if rejects is not None and on_error == "stop":
        raise typer.BadParameter("--rejects and --on-error stop contradict each other.")
    choice = ModelChoice(
        model,
        threshold=threshold,
        flat=flat,
        batch_size=batch_size,
        precision=precision,
        device=device,
        backend=backend,
        quiet=quiet,
    )
    data = Input(source, format="text" if text else input_format, text_column=text_column)
    out = Output(output, on_error=on_error or ("stop" if rejects is None else "skip"), rejects=rejects, resume=resume)
    run_predict(choice, data, out, output_format=output_format, full_batches=full_batches, quiet=quiet)


@app.command()
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model directory written by `ie train`.")],
    output: Annotated[
        Path | None,
        typer.Argument(metavar="[DIRECTORY]", help="Directory to write; MODEL-onnx or MODEL-onnx-int8 if omitted."),
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write an ONNX graph; the default.")] = True,
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantize the encoder's matrices to int8: about twice as fast as bfloat16.")
    ] = False,
    data: Annotated[
        str | None, typer.Option("--data", help="Gold data for the comparison; the recipe's dev data if omitted.")
    ] = None,
    input_format: InputFormat = None,
    text_column: TextColumn = None,
    label_columns: LabelColumns = None,
    max_loss: Annotated[float, typer.Option("--max-loss", min=0.0, max=1.0, help="Maximum loss in F1.")] = 0.005,
    force: Annotated[bool, typer.Option("--force", help="Write the model even if it exceeds --max-loss.")] = False,
    yes: Yes = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Export a model that predicts without torch, and compare it with the original."""
    from ie_cli.commands.export import run_export
    from ie_cli.commands.inputs import Input

    gold = (
        Input(data, format=input_format, text_column=text_column, label_columns=label_columns)
        if data is not None
        else None
    )
    run_export(model, output, gold, int8=int8, max_loss=max_loss, force=force, yes=yes, quiet=quiet)


@app.command()
def serve(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]", envvar="IE_MODEL", help="Model directory; the newest one under runs/ if omitted."
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; any but loopback requires a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 picks a free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option("--token", envvar="IE_TOKEN", help="Secret that requests must send; `ps` shows it to all users."),
    ] = None,
    max_body: Annotated[int, typer.Option("--max-body", min=1, help="Maximum bytes in a request.")] = 2**20,
    max_texts: Annotated[int, typer.Option("--max-texts", min=1, help="Maximum texts in a request.")] = 256,
    max_text: Annotated[int, typer.Option("--max-text", min=1, help="Maximum characters in a text.")] = 100_000,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, help="Maximum requests running or queued; further ones get 503.")
    ] = 256,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.001, help="Seconds to wait for the body, and again for the answer.")
    ] = 30.0,
    threshold: Threshold = None,
    flat: Flat = None,
    batch_size: BatchSize = None,
    precision: Precision = "auto",
    device: Device = "auto",
    backend: Backend = "auto",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Serve a model as a web page and an HTTP API that takes texts and returns JSON."""
    from ie_cli.commands.inputs import ModelChoice
    from ie_cli.commands.serve import run_serve
    from ie_cli.serving.limits import Limits

    choice = ModelChoice(
        model,
        threshold=threshold,
        flat=flat,
        batch_size=batch_size,
        precision=precision,
        device=device,
        backend=backend,
        quiet=quiet,
    )
    limits = Limits(max_body=max_body, max_texts=max_texts, max_text=max_text, concurrency=concurrency, timeout=timeout)
    run_serve(choice, host, port, token, limits, quiet=quiet)


@app.command()
def push(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model directory, trained or exported.")],
    repo: Annotated[str, typer.Argument(metavar="REPO", help="Repository on the Hugging Face Hub: USER/NAME.")],
    private: Annotated[
        bool, typer.Option("--private", help="Create a private repository; refuse a public one.")
    ] = False,
    revision: Annotated[str | None, typer.Option("--revision", help="Branch; created if it does not exist.")] = None,
    message: Annotated[str | None, typer.Option("--message", help="Message of the commit.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the files with their sizes, and upload nothing.")
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Upload a model to the Hugging Face Hub."""
    from ie_cli.commands.push import run_push

    run_push(model, repo, private=private, revision=revision, message=message, dry_run=dry_run, quiet=quiet)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="Input; `-` is stdin.")],
    output: Annotated[str, typer.Argument(metavar="OUT", help="Output; `-` is stdout.")],
    input_format: FromFormat = None,
    output_format: ToFormat = None,
    text_column: TextColumn = None,
    label_columns: LabelColumns = None,
    on_error: OnError = "stop",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Convert annotated data to another format, and report what it cannot express."""
    from ie_cli.commands.convert import run_convert
    from ie_cli.commands.inputs import Input
    from ie_cli.commands.records import Output

    data = Input(source, format=input_format, text_column=text_column, label_columns=label_columns)
    run_convert(data, Output(output, on_error=on_error), output_format=output_format, quiet=quiet)


def main() -> None:
    """Run the command line."""
    share_cores()
    name = prepare_completion()
    with exiting():
        app(prog_name=name)
