"""Define the command that imports the predictions of other tools."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ie_cli.commands import arguments as args


def import_predictions(
    answers: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Answers of a language model or GLiNER, one JSON value per line; `-` is stdin."
        ),
    ],
    texts: Annotated[
        str | None,
        typer.Option(
            "--texts", help="Texts of the answers, joined by id or, without ids, in order; by default, FILE has them."
        ),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="Output; `-` is stdout.")] = "-",
    occurrences: Annotated[
        Literal["all", "first", "nearest"] | None,
        typer.Option(
            "--occurrences",
            help="Which occurrences a mention without offsets has in its text: all, the next ones from the first, or the nearest "
            "to the mention before it or to wrong offsets. By default, all of a mention, and the nearest pair of a triple.",
        ),
    ] = None,
    input_format: Annotated[
        str | None, typer.Option("--from", help="Format of the texts; detected if omitted.")
    ] = None,
    output_format: args.ToFormat = None,
    text_column: args.TextColumn = None,
    joiner: args.Joiner = None,
    columns: args.Columns = None,
    on_error: args.OnErrorOrDefault = None,
    rejects: Annotated[
        str | None,
        typer.Option(
            "--rejects", help="File for bad lines and for all items that are not placed; implies --on-error skip."
        ),
    ] = None,
    quiet: args.Quiet = False,
    debug: args.Debug = False,
) -> None:
    """Place the mentions that a language model or GLiNER wrote in their texts, and count what is not there."""
    from ie_cli.commands.import_predictions import run_import
    from ie_cli.commands.input_options import make_inputs
    from ie_cli.commands.records import Output

    if rejects is not None and on_error == "stop":
        raise typer.BadParameter("--rejects and --on-error stop contradict each other.")
    if texts is None and input_format is not None:
        raise typer.BadParameter("--from is the format of --texts.")
    given = {"--text-column": text_column, "--joiner": joiner, "--column": columns}
    if texts is None and (option := next((name for name, value in given.items() if value is not None), None)):
        raise typer.BadParameter(f"{option} is an option of --texts.")
    source = make_inputs(
        [] if texts is None else [texts], format=input_format, text_column=text_column, joiner=joiner, columns=columns
    )
    out = Output(output, on_error=on_error or ("stop" if rejects is None else "skip"), rejects=rejects)
    run_import(answers, source[0] if source else None, out, occurrences=occurrences, target=output_format, quiet=quiet)
