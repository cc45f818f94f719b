"""Define the command that predicts."""

from __future__ import annotations

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
    from ie_cli.commands.predict import run_predict
    from ie_cli.commands.predict_shards import Distribution, is_shard_directory, run_predict_shards
    from ie_cli.commands.records import Output
    from ie_cli.inference.shards import Part

    plain = [name for name, wanted in (("text", text), ("document", document)) if wanted]
    if len({*plain, input_format} - {None}) > 1:
        raise typer.BadParameter("--text, --document and --from contradict each other.")
    if rejects is not None and on_error == "stop":
        raise typer.BadParameter("--rejects and --on-error stop contradict each other.")
    if below is not None and uncertain is not None:
        raise typer.BadParameter("--below and --uncertain exclude each other.")
    try:
        part = None if shard is None else Part.parse(shard)
    except ValueError as error:
        raise typer.BadParameter(f"--shard: {error}.") from error
    distribution = Distribution(workers, part, engine, address, actors, gpus_per_actor)
    distribution.validate()
    choice = ModelChoice(
        model,
        threshold=threshold,
        flat=flat,
        split=split,
        batch_size=batch_size,
        precision=precision,
        device=device,
        backend=backend,
        task=task,
        quiet=quiet,
    )
    input_format = plain[0] if plain else input_format
    data = make_inputs(files, format=input_format, text_column=text_column, joiner=joiner, columns=columns)
    out = Output(output, on_error=on_error or ("stop" if rejects is None else "skip"), rejects=rejects, resume=resume)
    choosing = Choosing(below, uncertain)
    if is_shard_directory(output, distribution, output_format):
        run_predict_shards(
            choice,
            data,
            out,
            output_format=output_format,
            choosing=choosing,
            distribution=distribution,
            quiet=quiet,
        )
        return
    run_predict(
        choice, data, out, output_format=output_format, choosing=choosing, full_batches=full_batches, quiet=quiet
    )
