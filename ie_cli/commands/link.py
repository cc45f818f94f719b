"""`ie link`: link the mentions of predictions to canonical names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

from ie_cli.commands.console import say, warn
from ie_cli.commands.inputs import Input, ModelChoice
from ie_cli.commands.link_setup import LinkRequest, LinkSetup
from ie_cli.commands.predict import IDLE_SECONDS, reporting_progress
from ie_cli.commands.progress import counting
from ie_cli.commands.records import Output, RecordWriter, Tally, report_omissions
from ie_cli.commands.sources import Sources
from ie_cli.document import Document
from ie_cli.errors import DataError, counted
from ie_cli.formats import FORMATS, Record
from ie_cli.formats.common.json_object import parse_object
from ie_cli.formats.jsonl import dump
from ie_cli.formats.suffixes import suffix_of
from ie_cli.inference.linked_records import has_annotation, is_error_record, mentions_of, with_links
from ie_cli.inference.linking import Link, Mention
from ie_cli.inference.resumable_output import Digest, is_complete, open_job, require_no_interrupted_job
from ie_cli.system.prefetch import Prefetcher
from ie_cli.system.streams import open_output

_RECORDS, _CHARACTERS = 1024, 2**20  # in a chunk
_WAITING = 64
LINKED = replace(FORMATS["jsonl"], write=lambda document: dump(document.fields or {}), count_losses=lambda document: {})
"""Native JSON Lines, written with the fields that were read."""


def run_link(choice: ModelChoice, given: Sequence[Input], output: Output, request: LinkRequest, *, quiet: bool) -> None:
    """Write the records of the input, in their order, with a link at each entity; as a resumable job if the output is a file."""
    if (suffix := suffix_of(output.path)) not in ("", *LINKED.suffixes):
        raise DataError(
            f"{output.path}: links are written as JSON Lines, and the suffix {suffix} stands for something else",
            hint="use a name that ends in .jsonl.",
        )
    if request.names == "-" and any(one.path == "-" for one in given):
        raise DataError("PREDICTIONS and --names are both stdin", hint="name a file for one of them.")
    sources = Sources.find(given, quiet=quiet)
    others = [Input(path) for path in (request.names, request.vectors) if path is not None]
    for read in (sources, Sources(tuple(others))):
        output.validate_target(LINKED, read)
        read.require_exist()
    targets = output.targets(LINKED)
    if targets is None and output.resume:
        raise DataError("--resume requires local output files", hint="name one with --output.")
    if targets is not None:
        require_no_interrupted_job(targets, resume=output.resume)
        if output.resume and is_complete(targets):
            say(f"{output.path} is already complete and was left unchanged (omit --resume to write it again)")
            return
    setup = LinkSetup(choice, request, quiet=quiet)
    job = LinkJob(setup, sources, output, context=request.context, quiet=quiet)
    if targets is None:
        job.write_stream()
    else:
        job.write_files(targets)


class LinkJob:
    """The links of some files.

    Args:
        setup: the names and the models.
        sources: the predictions.
        output: where the records are written.
        context: how many characters around a mention the models read.
        quiet: whether to print warnings only.
    """

    def __init__(self, setup: LinkSetup, sources: Sources, output: Output, *, context: int, quiet: bool) -> None:
        self._setup, self._sources, self._output, self._context, self._quiet = setup, sources, output, context, quiet
        self._tally, self._counts, self._unnamed = Tally(), Counter[str](), Counter[str]()

    def write_stream(self) -> None:
        """Write to a pipe, a device or remote storage: answer available input at once; this cannot be resumed."""
        sources, output = self._sources, self._output
        idle = IDLE_SECONDS if sources.are_live else None
        with ExitStack() as stack:
            out = stack.enter_context(open_output(output.path))
            rejects = stack.enter_context(open_output(output.rejects)) if output.rejects is not None else None
            writer = RecordWriter(LINKED, output.on_error, out, rejects, self._tally)
            count = stack.enter_context(counting("linking", quiet=self._quiet, size=sources.size()))
            for chunk in self._chunks(stack, count.follow(self._records(count.on_read)), idle):
                for record in self._linked(chunk):
                    writer.add(record)
                    count()
                if sources.are_live:
                    out.flush()
        self._report()

    def write_files(self, targets: dict[str, str]) -> None:
        """Write to local files, with a journal between chunks from which the job can be resumed."""
        sources, output = self._sources, self._output
        facts = {**self._setup.facts, **sources.options(), "on-error": output.on_error}
        with ExitStack() as stack:
            job = stack.enter_context(open_job(targets, facts, resume=output.resume))
            if job is None:
                say(f"{output.path} is complete now: all records were done, or another process has finished the job")
                return
            digest, done, known = Digest(), job.records, job.done.get("tally", {})
            self._tally = Tally.from_fields(known.get("records", {}))
            self._counts, self._unnamed = Counter(known.get("links", {})), Counter(known.get("unnamed", {}))
            if done and not self._quiet:
                say(f"resuming after {counted(done, 'record')}")
            writer = RecordWriter(LINKED, output.on_error, job.parts["output"], job.parts.get("rejects"), self._tally)
            count = stack.enter_context(counting("linking", quiet=self._quiet, size=sources.size(), done=done))
            records = count.follow(job.skip(self._records(count.on_read), digest))
            with reporting_progress(job):
                for chunk in self._chunks(stack, records, None):
                    if done > job.records and job.due():
                        job.commit(done, digest, self._progress())
                    for item, record in zip(chunk, self._linked(chunk), strict=True):
                        writer.add(record)
                        digest.add(item)
                        done += 1
                        count()
                job.commit(done, digest, self._progress(), complete=True)
        if not self._quiet:
            say(f"{counted(self._tally.written, 'record')} written to {output.path}")
        self._report()

    def _progress(self) -> dict[str, Any]:
        return {"records": self._tally.fields(), "links": dict(self._counts), "unnamed": dict(self._unnamed)}

    def _records(self, progress: Callable[[int], None] | None) -> Iterator[Record]:
        reading = self._sources.files[0].reading(quiet=self._quiet)
        return self._sources.records(replace(reading, keep_fields=True, progress=progress))

    def _chunks(self, stack: ExitStack, records: Iterator[Record], idle: float | None) -> Iterator[list[Record]]:
        from ie_cli.inference.chunks import grouped

        reader = stack.enter_context(closing(Prefetcher(records, waiting=_WAITING)))
        return grouped(reader, size=_RECORDS, characters=_CHARACTERS, idle=idle)

    def _linked(self, chunk: Sequence[Record]) -> list[Record]:
        """Return the records of a chunk with their links; the records of errors remain as they are."""
        mentions = [mentions_of(record, self._context) if isinstance(record, Document) else [] for record in chunk]
        every = [mention for several in mentions for mention in several]
        links = self._setup.linker.link(every)
        for mention, link in zip(every, links, strict=True):
            self._count(mention, link)
        following = iter(links)
        return [self._with_links(record, following) for record in chunk]

    def _with_links(self, record: Record, links: Iterator[Link]) -> Record:
        if isinstance(record, Document):
            self._counts["unannotated"] += not has_annotation(record)
            return with_links(record, links, self._setup.index)
        if is_error_record(record):
            self._counts["errors"] += 1
            return Document(record.raw, fields=parse_object(record.raw))
        return record

    def _count(self, mention: Mention, link: Link) -> None:
        found = "none" if link.owner is None else "equal" if link.is_equal else "similar"
        self._counts[found] += 1
        self._counts["by_order"] += link.by_order
        if not len(self._setup.index.rows(self._setup.index.group(mention.label))):
            self._unnamed[mention.label or "(none)"] += 1

    def _report(self) -> None:
        """Report what was linked, and warn about what was left out."""
        counts = self._counts
        if not self._quiet:
            say(
                f"{counted(counts['equal'] + counts['similar'] + counts['none'], 'mention')}: {counts['equal']:,} equal to a "
                f"name, {counts['similar']:,} linked by similarity, {counts['none']:,} without a link"
            )
        if counts["by_order"]:
            warn(f"{counted(counts['by_order'], 'mention')} linked to the first of several ids that have the same name")
        if self._unnamed:
            listed = ", ".join(f"{label} {count:,}" for label, count in self._unnamed.most_common(10))
            warn(f"mentions without a link because no name has their label: {listed}")
        if counts["errors"]:
            warn(f"{counted(counts['errors'], 'error record')} of `ie predict` written unchanged")
        if counts["unannotated"]:
            warn(f"{counted(counts['unannotated'], 'record')} without a field 'entities'")
        report_omissions(self._tally, self._output)
        self._setup.warn()
