"""Define the command that predicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from ie_cli.commands import arguments as args


def predict(
    files: args.Files,
    model: args.ModelOption = None,
    output: args.PredictedOutput = "-",
    text: Annotated[bool, typer.Option("--text", help="Read plain text, one document per line.")] = False,
    document: args.WholeFiles = False,
    input_format: args.FromFormat = None,
    text_column: args.TextColumn = None,
    joiner: args.Joiner = None,
    columns: args.Columns = None,
    output_format: args.ToFormat = None,
    on_error: args.OnErrorOrDefault = None,
    rejects: args.Rejects = None,
    resume: args.ResumeJob = False,
    task: args.PredictedTask = None,
    threshold: args.Threshold = None,
    below: args.Below = None,
    uncertain: args.Uncertain = None,
    flat: args.Flat = None,
    split: args.SplitTexts = "auto",
    batch_size: args.BatchSize = None,
    full_batches: args.FullBatches = False,
    precision: args.Precision = "auto",
    device: args.Device = "auto",
    backend: args.Backend = "auto",
    workers: args.Workers = None,
    shard: args.ShardOption = None,
    engine: args.EngineOption = None,
    address: args.Address = None,
    actors: args.Actors = None,
    gpus_per_actor: args.GpusPerActor = None,
    quiet: args.Quiet = False,
    debug: args.Debug = False,
) -> None:
    """Annotate files and write JSON Lines or another format.

    With --output DIRECTORY/, each input gets an output of its own, and a command that is started again skips what is finished.
    """
    from ie_cli.commands.choosing import Choosing
    from ie_cli.commands.input_options import make_inputs
    from ie_cli.commands.inputs import ModelChoice
    from ie_cli.commands.predict_shards import Distribution, predict_files
    from ie_cli.commands.records import Output

    input_format = _format_of_input(input_format, text=text, document=document)
    if rejects is not None and on_error == "stop":
        raise typer.BadParameter("--rejects and --on-error stop contradict each other.")
    if below is not None and uncertain is not None:
        raise typer.BadParameter("--below and --uncertain exclude each other.")
    distribution = Distribution(workers, shard, engine, address, actors, gpus_per_actor).validated(device)
    choice = ModelChoice(model, threshold=threshold, flat=flat, split=split, task=task, quiet=quiet)
    choice = replace(choice, batch_size=batch_size, precision=precision, device=device, backend=backend)
    data = make_inputs(files, format=input_format, text_column=text_column, joiner=joiner, columns=columns)
    out = Output(output, on_error=on_error or ("stop" if rejects is None else "skip"), rejects=rejects, resume=resume)
    choosing = Choosing(below, uncertain)
    predict_files(
        choice, data, out, distribution, output_format=output_format, choosing=choosing, full_batches=full_batches
    )


def _format_of_input(named: str | None, *, text: bool, document: bool) -> str | None:
    plain = [name for name, wanted in (("text", text), ("document", document)) if wanted]
    if len({*plain, named} - {None}) > 1:
        raise typer.BadParameter("--text, --document and --from contradict each other.")
    return plain[0] if plain else named
