"""Define the commands that convert, divide, unite, count, compare and show annotated data, without a model."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ie_cli.commands import arguments as args
from ie_cli.commands.completion import complete_output_format

OnError = Annotated[
    Literal["stop", "skip"], typer.Option("--on-error", help="For a bad line: stop, or skip it and count it.")
]


Rereadable = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE...",
        help="Input: files, directories or patterns such as 'x/*.jsonl'; they are read several times.",
    ),
]
Part = Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of this part; 0 for none.")]
By = Annotated[
    Literal["text", "document"],
    typer.Option("--by", help="What is not divided: texts, or documents of several records."),
]
DocumentField = Annotated[
    str | None,
    typer.Option(
        "--document-field",
        metavar="NAME",
        help="Field that names the document of a record; if omitted, a document begins at a line -DOCSTART- of columns and "
        "with each file. Implies --by document.",
    ),
]
Stratify = Annotated[
    bool,
    typer.Option(
        "--stratify/--no-stratify",
        help="Give each part its share of each label; without it, a hash of the text decides alone, so that a text stays in its "
        "part if data are added.",
    ),
]
Similarity = Annotated[
    float,
    typer.Option(
        "--similarity",
        min=0.5,
        max=1.0,
        help="Similarity from which two texts are near duplicates, which stay together: the share of their character sequences "
        "that both have. `ie check` uses the default.",
    ),
]
SameFormat = Annotated[
    str | None,
    typer.Option(
        "--to", help="Format of the parts; that of the input if omitted.", autocompletion=complete_output_format
    ),
]


def convert(
    files: args.ConvertedFiles,
    output: Annotated[str, typer.Argument(metavar="OUT", help="Output; `-` is stdout.")],
    input_format: args.FromFormat = None,
    output_format: args.ToFormat = None,
    text_column: args.TextColumn = None,
    label_columns: args.LabelColumns = None,
    joiner: args.Joiner = None,
    columns: args.Columns = None,
    trim: args.Trim = False,
    on_error: args.OnError = "stop",
    quiet: args.Quiet = False,
    debug: args.Debug = False,
) -> None:
    """Convert annotated data to another format, and report what it cannot express."""
    from ie_cli.commands.convert import run_convert
    from ie_cli.commands.input_options import make_inputs
    from ie_cli.commands.records import Output

    data = make_inputs(
        files,
        format=input_format,
        text_column=text_column,
        label_columns=label_columns,
        joiner=joiner,
        columns=columns,
    )
    run_convert(data, Output(output, on_error=on_error), output_format=output_format, trim=trim, quiet=quiet)


def split(
    files: Rereadable,
    output: Annotated[str, typer.Option("--output", "-o", metavar="DIRECTORY", help="Directory of the parts.")],
    dev: Part = 0.1,
    test: Part = 0.1,
    by: By = "text",
    document_field: DocumentField = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another number gives another division.")] = 0,
    stratify: Stratify = True,
    similarity: Similarity = 0.7,
    input_format: args.FromFormat = None,
    output_format: SameFormat = None,
    text_column: args.TextColumn = None,
    label_columns: args.LabelColumns = None,
    joiner: args.Joiner = None,
    columns: args.Columns = None,
    on_error: OnError = "stop",
    force: args.Replace = False,
    quiet: args.Quiet = False,
    debug: args.Debug = False,
) -> None:
    """Divide data into train, dev and test: near duplicates stay together, and each part gets its share of each label."""
    from ie_cli.commands.input_options import make_inputs
    from ie_cli.commands.split import SplitOutput, run_split
    from ie_cli.data.split_plan import SplitOptions

    if not 0 < dev + test < 1:
        raise typer.BadParameter(
            f"--dev and --test must leave something for train, and one must not be 0: got {dev} and {test}."
        )
    options = SplitOptions(
        shares=(1 - dev - test, dev, test),
        by="document" if document_field is not None else by,
        document_field=document_field,
        seed=seed,
        stratify=stratify,
        similarity=similarity,
    )
    given = make_inputs(
        files,
        format=input_format,
        text_column=text_column,
        label_columns=label_columns,
        joiner=joiner,
        columns=columns,
    )
    out = SplitOutput(directory=output, format=output_format, force=force)
    run_split(given, out, options, skip=on_error == "skip", quiet=quiet)


def merge(
    files: Rereadable,
    output: Annotated[str, typer.Option("--output", "-o", help="Output; `-` is stdout.")] = "-",
    on_conflict: Annotated[
        Literal["error", "first", "union"],
        typer.Option(
            "--on-conflict",
            help="For a text that two files annotate differently although both use the label: stop, keep what the first file "
            "says, or keep both.",
        ),
    ] = "error",
    conflicts: Annotated[
        str | None, typer.Option("--conflicts", metavar="FILE", help="File for all conflicts, in JSON Lines.")
    ] = None,
    input_format: args.FromFormat = None,
    output_format: args.ToFormat = None,
    text_column: args.TextColumn = None,
    label_columns: args.LabelColumns = None,
    joiner: args.Joiner = None,
    columns: args.Columns = None,
    on_error: OnError = "stop",
    quiet: args.Quiet = False,
    debug: args.Debug = False,
) -> None:
    """Unite annotated files of any format: each text once, with the annotation of all files, conflicts counted."""
    from ie_cli.commands.input_options import make_inputs
    from ie_cli.commands.merge import MergeOutput, run_merge

    given = make_inputs(
        files,
        format=input_format,
        text_column=text_column,
        label_columns=label_columns,
        joiner=joiner,
        columns=columns,
    )
    out = MergeOutput(path=output, format=output_format, on_conflict=on_conflict, conflicts=conflicts)
    run_merge(given, out, skip=on_error == "skip", quiet=quiet)


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="The first annotation; `-` is stdin.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another annotation of the same texts, or of some of them.")],
    by: Annotated[
        Literal["auto", "id", "text"],
        typer.Option("--by", help="What matches the records; auto is the id if both files have ids, else the text."),
    ] = "auto",
    as_json: args.AsJson = False,
    save: args.Save = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=0, help="Number of disagreements to list; if omitted, 20, but all in JSON and on pages."
        ),
    ] = None,
    input_format: args.FromFormat = None,
    text_column: args.TextColumn = None,
    label_columns: args.LabelColumns = None,
    joiner: args.Joiner = None,
    columns: args.Columns = None,
    on_error: OnError = "stop",
    quiet: args.Quiet = False,
    debug: args.Debug = False,
) -> None:
    """Compare two annotations of the same texts, by people or by models: F1, Cohen's kappa, and where they disagree."""
    from ie_cli.commands.diff import DiffOptions, run_diff
    from ie_cli.commands.input_options import make_inputs

    options = DiffOptions(
        by=by, as_json=as_json, save=tuple(save or ()), limit=limit, skip=on_error == "skip", quiet=quiet
    )
    one, other = make_inputs(
        (a, b),
        format=input_format,
        text_column=text_column,
        label_columns=label_columns,
        joiner=joiner,
        columns=columns,
    )
    run_diff(one, other, options)


def stats(
    files: args.Files,
    as_json: args.AsJson = False,
    input_format: args.FromFormat = None,
    text_column: args.TextColumn = None,
    label_columns: args.LabelColumns = None,
    joiner: args.Joiner = None,
    columns: args.Columns = None,
    on_error: OnError = "stop",
    quiet: args.Quiet = False,
    debug: args.Debug = False,
) -> None:
    """Count what annotated files contain: lengths, labels, nesting, overlaps, relations and their distances."""
    from ie_cli.commands.input_options import make_inputs
    from ie_cli.commands.stats import run_stats

    given = make_inputs(
        files,
        format=input_format,
        text_column=text_column,
        label_columns=label_columns,
        joiner=joiner,
        columns=columns,
    )
    run_stats(given, as_json=as_json, skip=on_error == "skip", quiet=quiet)


def view(
    files: args.Files,
    grep: Annotated[
        str | None,
        typer.Option("--grep", metavar="TEXT", help="Show only records that contain this text, in any case."),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="LABEL",
            help="Show only records with this label, predicate, event type or class; repeatable.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Number of records to show; all if omitted.")
    ] = None,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write a web page instead; `-` is stdout.")
    ] = None,
    colour: Annotated[
        bool | None,
        typer.Option("--color/--no-color", help="Use colours; if omitted, on a terminal unless NO_COLOR is set."),
    ] = None,
    pager: Annotated[
        bool, typer.Option("--pager/--no-pager", help="Show the records page by page on a terminal.")
    ] = True,
    input_format: args.FromFormat = None,
    text_column: args.TextColumn = None,
    label_columns: args.LabelColumns = None,
    joiner: args.Joiner = None,
    columns: args.Columns = None,
    on_error: OnError = "stop",
    quiet: args.Quiet = False,
    debug: args.Debug = False,
) -> None:
    """Show annotated records in the terminal, with their entities in brackets and their relations as arrows."""
    from ie_cli.commands.input_options import make_inputs
    from ie_cli.commands.view import ViewOptions, run_view

    given = make_inputs(
        files,
        format=input_format,
        text_column=text_column,
        label_columns=label_columns,
        joiner=joiner,
        columns=columns,
    )
    options = ViewOptions(grep=grep, labels=labels or (), limit=limit, html=html, colour=colour, pager=pager)
    run_view(given, options, skip=on_error == "skip", quiet=quiet)
