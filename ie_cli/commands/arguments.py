"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", envvar="IE_DEBUG", is_eager=True)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe field: training.epochs=1.")
]
RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A YAML file, or a name that `ie recipes` lists.")
]
InputFormat = Annotated[
    str | None, typer.Option("--input-format", help="Format of the input; detected where not given.")
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
OnError = Annotated[
    Literal["stop", "keep", "skip"],
    typer.Option("--on-error", help="A bad line: stop; keep it, with an `error` field; or skip it. Both are counted."),
]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", min=0.0, max=1.0, help="Least score of an item; the model's own where not given."),
]
Flat = Annotated[bool | None, typer.Option("--flat/--nested", help="No overlapping entities, or all of them.")]
