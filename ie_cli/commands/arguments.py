"""Options that several commands have, and those of `ie eval` that say how it scores and what it writes."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ie_cli.commands.completion import complete_input_format, complete_recipe

Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", envvar="IE_DEBUG", is_eager=True)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe field: training.epochs=1.")
]
RecipeArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="A YAML file, or a name that `ie recipes` lists.", autocompletion=complete_recipe
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
        "--input-format", help="Format of the input; detected where not given.", autocompletion=complete_input_format
    ),
]
TextColumn = Annotated[
    int | None,
    typer.Option("--text-column", help="Of column data: where the token stands, from 0; negative from the right."),
]
LabelColumns = Annotated[
    list[int] | None,
    typer.Option("--label-column", help="Of column data: where the tag stands; twice for nested entities."),
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"], typer.Option("--precision", help="Of the encoder.")
]
Device = Annotated[Literal["auto", "cpu"], typer.Option("--device", help="`cpu` leaves a GPU unused.")]
Backend = Annotated[
    Literal["auto", "torch", "onnx"], typer.Option("--backend", help="What runs the model; what its folder holds.")
]
BatchSize = Annotated[int | None, typer.Option("--batch-size", min=1, help="Windows in a forward pass.")]
FullBatches = Annotated[
    bool,
    typer.Option(
        "--full-batches",
        help="From a pipe: wait for as much input as from a file, so that the output is the same to the last bit. Else what "
        "has come is answered after half a second without input, and scores may differ in their last digits.",
    ),
]
OnError = Annotated[
    Literal["stop", "keep", "skip"],
    typer.Option("--on-error", help="A bad line: stop; keep it, with an `error` field; or skip it. Both are counted."),
]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", min=0.0, max=1.0, help="Least score of an item; the model's own where not given."),
]
Flat = Annotated[bool | None, typer.Option("--flat/--nested", help="No overlapping entities, or all of them.")]


def _pages_or_json(paths: list[str] | None) -> list[str] | None:
    for path in paths or ():
        if not path.endswith((".json", ".html")):
            raise typer.BadParameter(f"the name must end in .json or .html, got {path}.")
    return paths


Match = Annotated[
    Literal["strict", "boundaries", "text"] | None,
    typer.Option("--match", help="Relations: right by spans and types, by spans, or by their texts."),
]
Scorer = Annotated[
    Literal["duie", "seqeval"] | None,
    typer.Option("--scorer", help="Also score relations by DuIE's published rules, or flat entities by seqeval."),
]
Alias = Annotated[
    str | None, typer.Option("--alias", help="Of --scorer duie: other names, tabs between, a name a line.")
]
Save = Annotated[
    list[str] | None,
    typer.Option(
        "--save",
        metavar="FILE",
        help="Store the result: as JSON, or as a page if FILE ends in .html.",
        callback=_pages_or_json,
    ),
]
TaskName = Annotated[
    str | None,
    typer.Option("--task", help="Of a model with several tasks: the one to score, by its name in the recipe."),
]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Read the data that the model's recipe names, wherever they are.")
]
