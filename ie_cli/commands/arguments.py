"""Arguments and options of the commands, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ie_cli.commands.completion import complete_input_format, complete_output_format, complete_recipe

Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", envvar="IE_DEBUG", is_eager=True)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe field, e.g. training.epochs=1."),
]
RecipeArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="A YAML file, or a name listed by `ie recipes`.", autocompletion=complete_recipe
    ),
]
CheckedArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="RECIPE|DATA...",
        help="YAML files, or names listed by `ie recipes`; or data to check without a recipe: files, directories or patterns.",
        autocompletion=complete_recipe,
    ),
]
Deep = Annotated[
    bool,
    typer.Option(
        "--deep",
        help="Also train models on parts of the training data, and list the entities of the other parts that they contradict.",
    ),
]
FailOn = Annotated[
    Literal["error", "warning"],
    typer.Option("--fail-on", help="Exit with 1 if there is an error, or already if there is a warning."),
]


Timing = Annotated[
    bool,
    typer.Option(
        "--time/--no-time",
        help="Time a few training steps, and estimate time and memory; with several recipes, nothing is timed.",
    ),
]


def _print_schema(wanted: bool) -> None:
    if wanted:
        from ie_cli.commands.show import run_show_schema

        run_show_schema()
        raise typer.Exit


PrintSchema = Annotated[
    bool,
    typer.Option(
        "--schema",
        help="Print the JSON Schema of all recipes instead, for an editor; no RECIPE is needed.",
        is_eager=True,
        callback=_print_schema,
    ),
]
InitData = Annotated[
    list[str],
    typer.Argument(
        metavar="DATA...",
        help="Training data: a file, `-` for stdin, or a URL; or files or a directory with names like train, dev and test.",
    ),
]
Recipe = Annotated[
    str, typer.Option("--output", "-o", metavar="FILE", help="Recipe to write; `-` is stdout. An existing one is kept.")
]
Replace = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]
HelpFields = Annotated[bool, typer.Option("--help-fields", help="Explain each field in a comment.")]
RunDirectory = Annotated[Path | None, typer.Option("--output", "-o", help="Run directory; runs/NAME if omitted.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an earlier run in the directory; other files are kept.")
]
ResumeRun = Annotated[
    bool, typer.Option("--resume", help="Resume an earlier run from its last checkpoint, if there is one.")
]
Compile = Annotated[
    bool,
    typer.Option("--compile", help="Compile the encoder with torch.compile: the same as --set training.compile=true."),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        "--seeds",
        min=2,
        help="Train with this number of seeds, from training.seed, report mean and standard deviation, and store the model that "
        "is best on dev.",
    ),
]
Folds = Annotated[
    int | None,
    typer.Option(
        "--folds",
        min=2,
        help="Cross-validation: split train into this number of folds by a text hash, train without each of them and score the "
        "model on it, report mean, standard deviation and the score of all held-out predictions, and store the best model.",
    ),
]
Processes = Annotated[
    int,
    typer.Option(
        "--processes",
        min=1,
        help="Train with this number of processes on this machine, each on a GPU of its own or on a share of the cores; "
        "training.batch_size is that of each process.",
    ),
]
_NEWEST_MODEL = "Model or run directory; the newest one under runs/ if omitted."
ModelOption = Annotated[str | None, typer.Option("--model", "-m", envvar="IE_MODEL", help=_NEWEST_MODEL)]
_FILES = "Input: files, directories or patterns such as 'x/*.jsonl'; `-` is stdin."
Files = Annotated[list[str], typer.Argument(metavar="FILE...", help=_FILES)]
ConvertedFiles = Annotated[list[str], typer.Argument(metavar="IN...", help=_FILES)]
WholeFiles = Annotated[
    bool, typer.Option("--document", help="Read plain text, each file as one document with all its lines.")
]
ModelAndData = Annotated[
    list[str],
    typer.Argument(metavar="[MODEL] DATA", help="Model directory and gold data; the model may be omitted."),
]
ServedModel = Annotated[str | None, typer.Argument(metavar="[MODEL]", envvar="IE_MODEL", help=_NEWEST_MODEL)]
FromFormat = Annotated[
    str | None,
    typer.Option("--from", help="Format of the input; detected if omitted.", autocompletion=complete_input_format),
]
_OUTPUT_FORMAT = "Format of the output; if omitted, by its suffix (.jsonl, .conll, .html …), without one JSON Lines."
ToFormat = Annotated[
    str | None,
    typer.Option(
        "--to",
        help=_OUTPUT_FORMAT,
        autocompletion=complete_output_format,
    ),
]
TextColumn = Annotated[
    int | None,
    typer.Option("--text-column", help="For column data: column of the token, from 0; negative counts from the right."),
]
LabelColumns = Annotated[
    list[int] | None,
    typer.Option("--label-column", help="For column data: column of the tag; repeat it for nested entities."),
]
Joiner = Annotated[
    str | None,
    typer.Option(
        "--joiner",
        help="For data of tokens: text between two tokens, '' for none; if omitted, as in the model's training data, "
        "otherwise a space between words and nothing between single characters.",
    ),
]


def _validate_columns(given: list[str] | None) -> list[str] | None:
    from ie_cli.formats.common.table_columns import ROLES

    for one in given or ():
        part, equals, name = one.partition("=")
        if part not in ROLES or not equals or not name:
            raise typer.BadParameter(f"expected PART=NAME with a PART of {', '.join(ROLES)}, got {one}.")
    return given


Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="PART=NAME",
        help="For tables: name of the column of text, start, end, label, …; the usual names are known.",
        callback=_validate_columns,
    ),
]
PredictedTextColumn = Annotated[
    int | None,
    typer.Option("--predicted-text-column", help="--text-column of the file of predictions."),
]
PredictedLabelColumns = Annotated[
    list[int] | None,
    typer.Option("--predicted-label-column", help="--label-column of the file of predictions; detected if omitted."),
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"], typer.Option("--precision", help="Precision of the encoder.")
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda|cuda:N",
        help="Device to run on: `auto` uses a GPU if there is one, `cpu` none, `cuda:1` the second.",
    ),
]
Backend = Annotated[
    Literal["auto", "torch", "onnx"],
    typer.Option("--backend", help="Runtime for the model; auto uses the form in its directory."),
]
BatchSize = Annotated[int | None, typer.Option("--batch-size", min=1, help="Windows per forward pass.")]
FullBatches = Annotated[
    bool,
    typer.Option(
        "--full-batches",
        help="For a pipe: wait for full batches as with a file, so that the output is identical to the last bit. By "
        "default, `ie` answers after half a second without input, and scores may differ in their last digits.",
    ),
]
_ON_ERROR = typer.Option(
    "--on-error", help="For a bad line: stop, keep it with an `error` field, or skip it; both are counted."
)
OnError = Annotated[Literal["stop", "keep", "skip"], _ON_ERROR]
OnErrorOrDefault = Annotated[Literal["stop", "keep", "skip"] | None, _ON_ERROR]
Rejects = Annotated[
    str | None,
    typer.Option("--rejects", help="File for bad lines with location and error; implies --on-error skip."),
]
PredictedOutput = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        help="Output; `-` is stdout. A name that ends with `/` is a directory, with one output for each input.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Number of processes, each with a model; they share the cores and GPUs."),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="NUMBER/OF",
        help="Predict only this part of the inputs, e.g. 1/8 to 8/8 in eight jobs with the same output directory.",
    ),
]
EngineOption = Annotated[
    Literal["ray"] | None,
    typer.Option("--engine", help="Predict on a Ray cluster; without --address, on this machine."),
]
Address = Annotated[
    str | None, typer.Option("--address", help="Address of the Ray cluster: `auto`, HOST:PORT or ray://HOST:PORT.")
]
Actors = Annotated[
    int | None,
    typer.Option("--actors", min=1, help="Number of models on the Ray cluster; by default, one per GPU or machine."),
]
GpusPerActor = Annotated[
    float | None, typer.Option("--gpus-per-actor", min=0.0, help="GPUs of each model on the Ray cluster; may be 0.5.")
]
ResumeJob = Annotated[
    bool, typer.Option("--resume", help="Resume an interrupted job; start a new one if there is none.")
]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", min=0.0, max=1.0, help="Minimum score of an item; the model's own if omitted."),
]
Below = Annotated[
    float | None,
    typer.Option(
        "--below",
        metavar="SCORE",
        min=0.0,
        max=1.0,
        help="Write only documents with an item in doubt: one with a lower score, or a rejected one as near to its threshold.",
    ),
]
Uncertain = Annotated[
    int | None,
    typer.Option(
        "--uncertain",
        metavar="N",
        min=1,
        help="Write the N documents that people should annotate first: those most in doubt, and unlike each other.",
    ),
]
Flat = Annotated[bool | None, typer.Option("--flat/--nested", help="Drop or keep overlapping entities.")]
SplitTexts = Annotated[
    Literal["auto", "sentences", "never"],
    typer.Option(
        "--split",
        help="Annotate each sentence separately; with `auto`, only cut texts with more sentences than nearly all of the model's "
        "training texts, into groups of their usual size.",
    ),
]


def _validate_suffixes(paths: list[str] | None) -> list[str] | None:
    for path in paths or ():
        if not path.endswith((".json", ".html")):
            raise typer.BadParameter(f"the name must end in .json or .html, got {path}.")
    return paths


Predictions = Annotated[
    str | None, typer.Option("--predictions", help="Score this file of predictions; give only DATA then.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout, unrounded.")]
TrainData = Annotated[
    str | None, typer.Option("--train", help="Training data; also reports recall on items not seen in it.")
]
Errors = Annotated[int, typer.Option("--errors", min=0, help="Number of examples to print per kind of error.")]
Context = Annotated[
    int,
    typer.Option(
        "--context",
        min=0,
        max=100,
        metavar="N",
        help="Also annotate each text between its N neighbours on each side in the file, and report what that changes.",
    ),
]
Match = Annotated[
    Literal["strict", "boundaries", "text"] | None,
    typer.Option("--match", help="How to match relations: by spans and types, by spans only, or by texts."),
]
Scorer = Annotated[
    Literal["duie", "seqeval"] | None,
    typer.Option("--scorer", help="Also score relations by DuIE's published rules, or flat entities with seqeval."),
]
Alias = Annotated[
    str | None,
    typer.Option("--alias", help="Alias file for --scorer duie: tab-separated, one entity per line."),
]
Save = Annotated[
    list[str] | None,
    typer.Option(
        "--save",
        metavar="FILE",
        help="Save the result as JSON, or as a web page if FILE ends in .html.",
        callback=_validate_suffixes,
    ),
]
TaskName = Annotated[
    str | None,
    typer.Option("--task", help="Task to score if the model has several, by its name in the recipe."),
]
PredictedTask = Annotated[
    str | None,
    typer.Option("--task", help="Predict only this task of a model with several, by its name in the recipe."),
]
Trim = Annotated[bool, typer.Option("--trim", help="Remove whitespace from both ends of each span.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Read the data named in the model's recipe without asking.")]

ExportDirectory = Annotated[
    Path | None,
    typer.Argument(metavar="[DIRECTORY]", help="Directory to write; MODEL-onnx or MODEL-onnx-int8 if omitted."),
]
Int8 = Annotated[
    bool, typer.Option("--int8", help="Quantize the encoder's matrices to int8: about twice as fast as bfloat16.")
]
ComparisonData = Annotated[
    str | None, typer.Option("--data", help="Gold data for the comparison; the recipe's dev data if omitted.")
]
MaxLoss = Annotated[
    float, typer.Option("--max-loss", min=0.0, max=1.0, help="Maximum loss in F1, or for pairs in Spearman.")
]

Host = Annotated[str, typer.Option("--host", help="Address to listen on; any but loopback requires a token.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 picks a free one.")]
Token = Annotated[
    str | None,
    typer.Option("--token", envvar="IE_TOKEN", help="Secret that requests must send; `ps` shows it to all users."),
]
MaxBody = Annotated[int, typer.Option("--max-body", min=1, help="Maximum bytes in a request.")]
MaxTexts = Annotated[int, typer.Option("--max-texts", min=1, help="Maximum texts in a request.")]
MaxText = Annotated[int, typer.Option("--max-text", min=1, help="Maximum characters in a text.")]
Concurrency = Annotated[
    int, typer.Option("--concurrency", min=1, help="Maximum requests running or queued; further ones get 503.")
]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0.001, help="Seconds to wait for the body, and again for the answer.")
]
Drain = Annotated[
    float,
    typer.Option(
        "--drain",
        min=0.0,
        max=3600.0,
        help="Seconds to keep serving after SIGTERM, while GET /ready answers 503, so that a proxy sends requests elsewhere.",
    ),
]

Private = Annotated[bool, typer.Option("--private", help="Create a private repository; refuse a public one.")]
Revision = Annotated[str | None, typer.Option("--revision", help="Branch; created if it does not exist.")]
Message = Annotated[str | None, typer.Option("--message", help="Message of the commit.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List the files with their sizes, and upload nothing.")]
