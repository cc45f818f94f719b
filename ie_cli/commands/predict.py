"""`ie predict`: annotate documents, in order."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ie_cli.commands.choosing import Choosing
from ie_cli.commands.console import say
from ie_cli.commands.inputs import Input, ModelChoice, first_data, first_tokens, warn_truncated
from ie_cli.commands.lengths import report_long_texts
from ie_cli.commands.progress import counting
from ie_cli.commands.records import (
    WITH_IDS,
    Output,
    RecordWriter,
    Tally,
    open_target,
    output_format_of,
    report_omissions,
    report_setup,
)
from ie_cli.commands.sources import Sources
from ie_cli.document import Document
from ie_cli.errors import OUT_OF_MEMORY, DataError, IEError, StorageError, counted, join_hints
from ie_cli.formats import BadLine, Format
from ie_cli.formats.common.base import OVERLAPS
from ie_cli.inference.model_directory import fingerprint
from ie_cli.inference.model_paths import local_directory
from ie_cli.inference.resumable_output import (
    ChangedInput,
    Digest,
    Job,
    is_complete,
    open_job,
    require_no_interrupted_job,
)
from ie_cli.system.memory import is_out_of_memory
from ie_cli.system.signals import Stopped
from ie_cli.system.streams import open_output

if TYPE_CHECKING:
    from ie_cli.inference.extractor import Extractor

IDLE_SECONDS = 0.5
"""For a pipe: records read so far are annotated after this long without input."""


def run_predict(
    choice: ModelChoice,
    given: Sequence[Input],
    output: Output,
    *,
    output_format: str | None,
    choosing: Choosing | None = None,
    full_batches: bool = False,
    quiet: bool,
) -> None:
    """Annotate the input and write the documents in their order, as a resumable job if the outputs are local files."""
    target = output_format_of(output_format, output.path)
    sources = Sources.find(given, quiet=quiet)
    output.validate_target(target, sources)
    sources.require_exist()
    choosing = choosing or Choosing()
    targets = output.targets(target)
    if targets is None and output.resume and target.container is not None:
        raise DataError(
            f"--resume is not possible with the output format {target.name}, which is written in one piece",
            hint="write jsonl, and convert it with `ie convert`.",
        )
    if targets is not None and choosing.uncertain is not None:
        if output.resume:
            raise DataError(
                "--uncertain chooses after the last document, so that an interrupted job cannot be resumed",
                hint="omit --resume, or predict all documents as a job first.",
            )
        require_no_interrupted_job(targets, resume=False)
    elif targets is None and output.resume:
        raise DataError("--resume requires local output files", hint="name one with --output.")
    if targets is None or choosing.uncertain is not None:
        idle = IDLE_SECONDS if sources.are_live and not full_batches and choosing.uncertain is None else None
        _predict_stream(choice, sources, output, target, choosing=choosing, idle=idle, quiet=quiet)
        return
    require_no_interrupted_job(targets, resume=output.resume)
    if output.resume and is_complete(targets):
        say(
            f"{output.path} is already complete and was left unchanged, without checking that input, model and options "
            "are the same (omit --resume to write it again)"
        )
    else:
        _predict_job(choice, sources, targets, output, target, choosing=choosing, quiet=quiet)


def _predict_stream(
    choice: ModelChoice,
    sources: Sources,
    output: Output,
    target: Format,
    *,
    choosing: Choosing,
    idle: float | None,
    quiet: bool,
) -> None:
    """Predict to a pipe, a device or remote storage: answer available input at once; this cannot be resumed."""
    engine, extractor = choice.engine()
    choice.report_idle_gpus()
    engine = choosing.watch(engine)
    from ie_cli.inference.pipeline import extract

    tally = Tally()
    with ExitStack() as stack:
        out = stack.enter_context(open_target(target, output.path))
        rejects = stack.enter_context(open_output(output.rejects)) if output.rejects is not None else None
        writer = RecordWriter(target, output.on_error, out, rejects, tally, labels=labels_of(extractor))
        know_names(tally, target, extractor)
        count = stack.enter_context(counting("predicting", quiet=quiet, size=sources.size()))
        records = count.follow(records_of(sources, extractor, target, quiet=quiet, progress=count.on_read))
        predicted = _counted(extract(engine, records, idle=idle), count)
        choosing.write_all(predicted, writer, live=sources.are_live)
    if not quiet:
        if output.path != "-":
            say(f"{counted(tally.written, 'record')} written to {output.path}")
        report_setup(tally, target)
        choosing.report(tally, output)
    report_omitted(tally, output, choice)
    warn_truncated(engine.counts, engine.pair_tasks)
    report_long_texts(engine.splitter, engine.counts, quiet=quiet)


def _counted(items: Iterator[Document | BadLine], count: Callable[[], None]) -> Iterator[Document | BadLine]:
    """Yield the items, and count each of them once it is done."""
    for item in items:
        yield item
        count()


def _predict_job(
    choice: ModelChoice,
    sources: Sources,
    targets: dict[str, str],
    output: Output,
    target: Format,
    *,
    choosing: Choosing,
    quiet: bool,
) -> None:
    """Predict to local files, with a journal between chunks from which the job can be resumed."""
    # Taken before the model is loaded: if the model is replaced in the meantime, the job is not resumed with it.
    model = fingerprint(local_directory(choice.directory))
    engine, extractor = choice.engine()
    choice.report_idle_gpus()
    engine = choosing.watch(engine)
    from ie_cli.inference.pipeline import extract_chunks

    facts = {
        "model": model,
        "to": target.name,
        "on-error": output.on_error,
        **choice.options(),
        **sources.options(),
        **choosing.options(),
    }
    with ExitStack() as stack:
        job = stack.enter_context(open_job(targets, facts, resume=output.resume))
        if job is None:
            say(f"{output.path} is complete now: all records were done, or another process has finished the job")
            return
        tally, digest = Tally.from_fields(job.done.get("tally", {})), Digest(pairs=engine.reads_pairs)
        if job.records and not quiet:
            say(f"resuming after {counted(job.records, 'record')}")
        parts, labels = job.parts, labels_of(extractor)
        writer = RecordWriter(target, output.on_error, parts["output"], parts.get("rejects"), tally, labels=labels)
        know_names(tally, target, extractor)
        done = job.records
        count = stack.enter_context(counting("predicting", quiet=quiet, size=sources.size(), done=done))
        records = count.follow(
            job.skip(records_of(sources, extractor, target, quiet=quiet, progress=count.on_read), digest)
        )
        if not done:
            writer.begin()
        chunks = stack.enter_context(closing(extract_chunks(engine, records)))
        with reporting_progress(job):
            done = _write_chunks(chunks, writer, choosing, job=job, digest=digest, count=count)
            writer.end()
            job.commit(done, digest, tally.fields(), complete=True)
    if not quiet:
        say(f"{counted(tally.written, 'record')} written to {output.path}")
        report_setup(tally, target)
        choosing.report(tally, output)
    report_omitted(tally, output, choice)
    warn_truncated(engine.counts, engine.pair_tasks)
    report_long_texts(engine.splitter, engine.counts, quiet=quiet)


def _write_chunks(
    chunks: Iterator[Iterator[Document | BadLine]],
    writer: RecordWriter,
    choosing: Choosing,
    *,
    job: Job,
    digest: Digest,
    count: Callable[[], None],
) -> int:
    """Write chunks, and the journal between them; return how many records are done."""
    done = chunk_end = job.records  # the latter is the end of the last complete chunk
    tally = writer.tally
    try:
        for chunk in chunks:
            # Only here, because a chunk that ends in an error is not complete.
            if done > job.records and job.due():
                job.commit(done, digest, tally.fields())
            for item in chunk:
                choosing.write(item, writer)
                digest.add(item)
                done += 1
                count()
            chunk_end = done
    except BaseException as error:  # a panic in Rust code is not an Exception
        if is_out_of_memory(error) and job.records < done == chunk_end:
            job.commit(done, digest, tally.fields())
        raise
    return done


def labels_of(extractor: Extractor) -> list[str]:
    """Return the labels of all tasks, in the order in which the page of `ie serve` gives them their styles."""
    return [label for name in extractor.recipe.instances() for label in extractor.tasks[name].schema.labels]


def know_names(tally: Tally, target: Format, extractor: Extractor) -> None:
    """Add the labels and predicates of the model to those that the reader of the output has to set up."""
    if target.setup is None:
        return
    for name, section in extractor.recipe.instances().items():
        if section.head.reads == "windows":  # others have classes of pairs
            schema = extractor.tasks[name].schema
            tally.know(schema.labels, schema.predicates)


def report_omitted(tally: Tally, output: Output, choice: ModelChoice) -> None:
    """Warn about what was not written, with the remedy for overlapping entities."""
    report_omissions(tally, output)
    if choice.flat is None and any(count for what, count in tally.lost.items() if what.startswith(OVERLAPS)):
        say("hint: --flat drops the lower-scoring of overlapping entities")


@contextmanager
def reporting_progress(job: Job) -> Iterator[None]:
    """Add to an error or a signal how many records the job keeps."""
    try:
        yield
    except (DataError, StorageError, KeyboardInterrupt) as error:
        if isinstance(error, ChangedInput):
            raise
        if is_out_of_memory(error):
            raise _out_of_memory(job) from error
        if not job.records:
            if isinstance(error, KeyboardInterrupt):
                signum = error.signum if isinstance(error, Stopped) else signal.SIGINT
                raise Stopped(signum, "interrupted; no records were saved yet") from error
            raise
        kept = f"{counted(job.records, 'record')} done"
        if isinstance(error, KeyboardInterrupt):
            signum = error.signum if isinstance(error, Stopped) else signal.SIGINT
            raise Stopped(signum, f"stopped; {kept}: continue with --resume") from error
        remedy = "fix the input" if isinstance(error, DataError) else "free some disk space"
        raise type(error)(
            error.message, hint=join_hints(error.hint, kept, f"{remedy} and continue with --resume")
        ) from error
    except BaseException as error:  # a panic in Rust code is not an Exception
        if not is_out_of_memory(error):
            raise
        raise _out_of_memory(job) from error


def _out_of_memory(job: Job) -> IEError:
    kept = f"{counted(job.records, 'record')} done: continue with --resume" if job.records else None
    smaller = "use a smaller --batch-size, or fewer threads (OMP_NUM_THREADS)"
    return IEError(OUT_OF_MEMORY, hint=join_hints(smaller, kept))


def records_of(
    sources: Sources, extractor: Extractor, target: Format, *, quiet: bool, progress: Callable[[int], None] | None
) -> Iterator[Document | BadLine]:
    """Stream the records of sources for prediction: their annotation is ignored, and read as the model's training data are."""
    # Tags in the input are ignored, so the label columns of the training data need not exist.
    reading = sources.files[0].reading(
        quiet=quiet, trained=first_data(extractor.recipe), tokens=first_tokens(extractor)
    )
    reading = replace(
        reading, label_columns=None, annotation=False, keep_columns=target.name == "conll", progress=progress
    )
    return sources.records(reading, with_ids=target.name in WITH_IDS)
