"""Define the commands that compute and compare vectors of texts."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ie_cli.commands import arguments as args

Task = Annotated[str | None, typer.Option("--task", help="Task whose head gives the vectors, if several do.")]
OnError = Annotated[
    Literal["stop", "skip"], typer.Option("--on-error", help="For a bad line: stop, or skip it and count it.")
]
Plain = Annotated[bool, typer.Option("--text", help="Read plain text, one document per line.")]
_SIDE = "texts, or a file that `ie embed` has written"


def embed(
    files: args.Files,
    model: args.ModelOption = None,
    output: Annotated[
        str,
        typer.Option("--output", "-o", help="Output: .npy, .parquet or JSON Lines, by its suffix; `-` is stdout."),
    ] = "-",
    task: Task = None,
    text: Plain = False,
    input_format: args.FromFormat = None,
    text_column: args.TextColumn = None,
    joiner: args.Joiner = None,
    on_error: OnError = "stop",
    batch_size: args.BatchSize = None,
    precision: args.Precision = "auto",
    device: args.Device = "auto",
    backend: args.Backend = "auto",
    quiet: args.Quiet = False,
    debug: args.Debug = False,
) -> None:
    """Write the vector of each text, from a model of sentence pairs; similar texts have similar vectors."""
    from ie_cli.commands.embed import run_embed
    from ie_cli.commands.inputs import Input, ModelChoice

    choice = ModelChoice(model, batch_size=batch_size, precision=precision, device=device, backend=backend, quiet=quiet)
    input_format = _plain(text, input_format)
    data = [Input(path, format=input_format, text_column=text_column, joiner=joiner) for path in files]
    run_embed(choice, data, output, task=task, skip=on_error == "skip", quiet=quiet)


def search(
    queries: Annotated[str, typer.Argument(metavar="QUERIES", help=f"Queries: {_SIDE}; `-` is stdin.")],
    corpus: Annotated[str, typer.Argument(metavar="CORPUS", help=f"What is searched: {_SIDE}.")],
    model: args.ModelOption = None,
    output: Annotated[str, typer.Option("--output", "-o", help="Output in JSON Lines; `-` is stdout.")] = "-",
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="Number of hits of each query.")] = 10,
    task: Task = None,
    text: Annotated[bool, typer.Option("--text", help="Read the queries as plain text, one per line.")] = False,
    input_format: Annotated[
        str | None, typer.Option("--from", help="Format of the queries; detected if omitted.")
    ] = None,
    corpus_format: Annotated[
        str | None, typer.Option("--corpus-from", help="Format of the corpus, e.g. `text`; detected if omitted.")
    ] = None,
    batch_size: args.BatchSize = None,
    precision: args.Precision = "auto",
    device: args.Device = "auto",
    backend: args.Backend = "auto",
    quiet: args.Quiet = False,
    debug: args.Debug = False,
) -> None:
    """Find the most similar texts of a corpus for each query, exactly, by the cosine of their vectors."""
    from ie_cli.commands.inputs import Input, ModelChoice
    from ie_cli.commands.search import run_search

    choice = ModelChoice(model, batch_size=batch_size, precision=precision, device=device, backend=backend, quiet=quiet)
    asked, searched = Input(queries, format=_plain(text, input_format)), Input(corpus, format=corpus_format)
    run_search(choice, asked, searched, output, top_k=top_k, task=task, quiet=quiet)


def _plain(text: bool, input_format: str | None) -> str | None:
    if text and input_format not in (None, "text"):
        raise typer.BadParameter("--text and --from contradict each other.")
    return "text" if text else input_format
