"""Options shared by several commands, and the options of `ie eval` for scoring and output."""

from __future__ import annotations

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
RecipesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="RECIPE...", help="YAML files, or names listed by `ie recipes`.", autocompletion=complete_recipe
    ),
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
InputFormat = Annotated[
    str | None,
    typer.Option(
        "--input-format", help="Format of the input; detected if omitted.", autocompletion=complete_input_format
    ),
]
FromFormat = Annotated[
    str | None,
    typer.Option("--from", help="Format of the input; detected if omitted.", autocompletion=complete_input_format),
]
ToFormat = Annotated[
    str | None,
    typer.Option(
        "--to",
        help="Format of the output; if omitted, by its suffix: .conll, .html, else JSON Lines.",
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
Precision = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"], typer.Option("--precision", help="Precision of the encoder.")
]
Device = Annotated[Literal["auto", "cpu"], typer.Option("--device", help="Device to run on; `cpu` does not use a GPU.")]
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
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", min=0.0, max=1.0, help="Minimum score of an item; the model's own if omitted."),
]
Flat = Annotated[bool | None, typer.Option("--flat/--nested", help="Drop or keep overlapping entities.")]


def _validate_suffixes(paths: list[str] | None) -> list[str] | None:
    for path in paths or ():
        if not path.endswith((".json", ".html")):
            raise typer.BadParameter(f"the name must end in .json or .html, got {path}.")
    return paths


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
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Read the data named in the model's recipe without asking.")]
