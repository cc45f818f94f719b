"""Define the commands that compute and compare vectors of texts."""

from __future__ import annotations

import math
from dataclasses import replace
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
    columns: args.Columns = None,
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
    from ie_cli.commands.input_options import make_inputs
    from ie_cli.commands.inputs import ModelChoice

    choice = ModelChoice(model, batch_size=batch_size, precision=precision, device=device, backend=backend, quiet=quiet)
    input_format = _plain(text, input_format)
    data = make_inputs(files, format=input_format, text_column=text_column, joiner=joiner, columns=columns)
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
    text_column: args.TextColumn = None,
    joiner: args.Joiner = None,
    columns: args.Columns = None,
    batch_size: args.BatchSize = None,
    precision: args.Precision = "auto",
    device: args.Device = "auto",
    backend: args.Backend = "auto",
    quiet: args.Quiet = False,
    debug: args.Debug = False,
) -> None:
    """Find the most similar texts of a corpus for each query, exactly, by the cosine of their vectors."""
    from ie_cli.commands.inputs import Input, ModelChoice
    from ie_cli.commands.search import run_search, sides_of

    choice = ModelChoice(model, batch_size=batch_size, precision=precision, device=device, backend=backend, quiet=quiet)
    given = Input(queries, format=_plain(text, input_format), text_column=text_column, joiner=joiner)
    given = replace(given, named_columns=columns or None)
    asked, searched = sides_of(given, replace(given, path=corpus, format=corpus_format))
    run_search(choice, asked, searched, output, top_k=top_k, task=task, quiet=quiet)


def link(
    files: args.Files,
    names: Annotated[
        str,
        typer.Option("--names", help="Canonical names in JSON Lines: id, name, and optionally aliases and label."),
    ],
    model: args.ModelOption = None,
    output: Annotated[str, typer.Option("--output", "-o", help="Output in JSON Lines; `-` is stdout.")] = "-",
    rerank: Annotated[
        str | None, typer.Option("--rerank", help="Cross-encoder that reads each mention with its most similar names.")
    ] = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="Number of names for --rerank.")] = 10,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", help="Score that a link must exceed; by default, what the model decides by."),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact/--no-exact", help="Link a mention that equals a name or an alias without a model.")
    ] = True,
    context: Annotated[
        int, typer.Option("--context", min=0, help="Characters around a mention that the models read, too.")
    ] = 0,
    name_vectors: Annotated[
        str | None, typer.Option("--vectors", help="Vectors of the names, written by `ie embed` with the same model.")
    ] = None,
    task: Task = None,
    on_error: args.OnErrorOrDefault = None,
    rejects: args.Rejects = None,
    resume: args.ResumeJob = False,
    batch_size: args.BatchSize = None,
    precision: args.Precision = "auto",
    device: args.Device = "auto",
    backend: args.Backend = "auto",
    quiet: args.Quiet = False,
    debug: args.Debug = False,
) -> None:
    """Link the entities in the output of `ie predict` to canonical names with ids, by a model of sentence pairs."""
    from ie_cli.commands.inputs import Input, ModelChoice
    from ie_cli.commands.link import run_link
    from ie_cli.commands.link_setup import LinkRequest
    from ie_cli.commands.records import Output
    from ie_cli.inference.linking import LinkOptions

    if rejects is not None and on_error == "stop":
        raise typer.BadParameter("--rejects and --on-error stop contradict each other.")
    if threshold is not None and not math.isfinite(threshold):
        raise typer.BadParameter(f"--threshold must be a finite number, got {threshold}.")
    first, second = (
        ModelChoice(path, batch_size=batch_size, precision=precision, device=device, backend=backend, quiet=quiet)
        for path in (model, rerank)
    )
    request = LinkRequest(
        names,
        vectors=name_vectors,
        task=task,
        rerank=None if rerank is None else second,
        options=LinkOptions(top_k=top_k, threshold=threshold, equal_first=exact),
        context=context,
    )
    out = Output(output, on_error=on_error or ("stop" if rejects is None else "skip"), rejects=rejects, resume=resume)
    run_link(first, [Input(path, format="jsonl") for path in files], out, request, quiet=quiet)


def _plain(text: bool, input_format: str | None) -> str | None:
    if text and input_format not in (None, "text"):
        raise typer.BadParameter("--text and --from contradict each other.")
    return "text" if text else input_format
