"""`ie merge`: unite several annotated files, each text once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

from ie_cli.commands.annotated import AnnotatedFiles, require_outputs
from ie_cli.commands.console import say, warn
from ie_cli.commands.inputs import Input
from ie_cli.commands.progress import counting
from ie_cli.commands.records import (
    Out,
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
from ie_cli.errors import DataError, counted
from ie_cli.formats import FORMATS, jsonl
from ie_cli.formats.suffixes import suffix_of
from ie_cli.system.places import identity
from ie_cli.system.streams import open_output

if TYPE_CHECKING:
    from ie_cli.evaluation.agreement import Disagreement
    from ie_cli.evaluation.uniting import OnConflict, Uniting

_LISTED = 20
"""The number of conflicts that are printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeOutput:
    """Where the united data are written, and what happens to conflicts.

    Attributes:
        path: the output.
        format: the name of its format; None for that of the suffix.
        on_conflict: whether a conflict is an error, the first version is kept, or both are.
        conflicts: a file for all conflicts, as JSON Lines.
    """

    path: str
    format: str | None = None
    on_conflict: OnConflict = "error"
    conflicts: str | None = None


@dataclass(slots=True)
class _Conflicts:
    """Prints the first conflicts, and writes all to a file."""

    file: Out | None = None
    listed: list[str] = field(default_factory=list)

    def add(self, conflict: Disagreement) -> None:
        if len(self.listed) < _LISTED:
            self.listed.append(conflict.line())
        if self.file is not None:
            self.file.write(jsonl.dump(conflict.to_dict()))

    def lines(self, uniting: Uniting) -> Iterator[str]:
        """Yield the first conflicts, and how many more there are."""
        yield from (f"  {line}" for line in self.listed)
        if (more := uniting.counts.total() - len(self.listed)) > 0:
            yield f"  … and {more:,} more"


def run_merge(given: Sequence[Input], output: MergeOutput, *, skip: bool, quiet: bool) -> None:
    """Read the files three times: to find texts that occur several times, to unite these, and to write each text once.

    Raises:
        DataError: there is a conflict, and it is an error.
    """
    from ie_cli.evaluation.uniting import Uniting

    target = output_format_of(output.format, output.path)
    sources = Sources.find(given, quiet=quiet)
    sources.require_exist()
    require_outputs([output.path], target, sources)
    if output.conflicts is not None:
        _require_conflict_file(output.conflicts, output.path, sources)
    files = [AnnotatedFiles(Sources((file,)), skip, quiet) for file in sources.files]
    for one in files:
        one.require_rereadable()
    conflicts = _Conflicts()
    uniting = Uniting(keep_first=output.on_conflict == "first", conflicts=conflicts.add)
    repeated, columns = _survey(files, uniting, quiet=quiet), target.name == "conll"
    with nullcontext() if output.conflicts is None else open_output(output.conflicts) as conflicts.file:
        united = _unite(files, repeated, uniting, columns=columns, quiet=quiet)
    refused = bool(uniting.counts) and output.on_conflict == "error"
    for line in conflicts.lines(uniting) if refused or not quiet else ():
        say(line)
    if refused:
        raise DataError(
            f"{_described(uniting, output)} between annotations of the same text",
            hint="correct the data, or choose --on-conflict first (the file named first is right) or union (keep everything).",
        )
    tally, ids = Tally(), Counter[str]()
    with open_target(target, output.path) as out:
        writer = RecordWriter(target, "stop", out, None, tally)
        writer.begin()
        for document in _each_once(files, united, columns=columns, quiet=quiet):
            if document.id is not None:
                ids[str(document.id)] += 1
            writer.add(document)
        writer.end()
    _report(uniting, output, tally, quiet=quiet)
    if not quiet:
        report_setup(tally, target)
    for one in files:
        one.warn()
    if clashes := sum(number > 1 for number in ids.values()):
        warn(f"ids that several records of the output have, with different texts: {clashes:,}")
    report_omissions(tally, Output(output.path, on_error="stop"))


def _require_conflict_file(path: str, output: str, sources: Sources) -> None:
    """Check that conflicts can be written to a file.

    Raises:
        DataError: it is an input or the output, or its suffix promises something else than JSON Lines.
    """
    if suffix_of(path) not in ("", *FORMATS["jsonl"].suffixes):
        raise DataError(f"{path}: the conflicts are written as JSON Lines", hint="use a name that ends in .jsonl.")
    require_outputs([path], FORMATS["jsonl"], sources)
    if identity(path) is not None and identity(path) == identity(output):
        raise DataError(f"{path}: this file is also the output", hint="use another file for --conflicts.")


def _survey(files: Sequence[AnnotatedFiles], uniting: Uniting, *, quiet: bool) -> Counter[bytes]:
    """Note the labels of each file, and return how often each text occurs that occurs several times."""
    from ie_cli.evaluation.uniting import names_of_document

    texts: Counter[bytes] = Counter()
    for one in files:
        names: set[tuple[str, str]] = set()
        with counting("reading", quiet=quiet, size=one.sources.size()) as count:
            for document in one.documents(count):
                names |= names_of_document(document)
                texts[_key(document)] += 1
        uniting.names.append(names)
    return Counter({key: number for key, number in texts.items() if number > 1})


def _unite(
    files: Sequence[AnnotatedFiles], repeated: Counter[bytes], uniting: Uniting, *, columns: bool, quiet: bool
) -> dict[bytes, Document]:
    """Return the united document of each text that occurs several times."""
    waiting: dict[bytes, list[tuple[int, Document]]] = {}
    united: dict[bytes, Document] = {}
    for number, one in enumerate(files if repeated else ()):
        with counting("uniting", quiet=quiet, size=one.sources.size()) as count:
            for document in one.documents(count, again=True, keep_columns=columns):
                if (key := _key(document)) not in repeated:
                    continue
                versions = waiting.setdefault(key, [])
                versions.append((number, document))
                if len(versions) == repeated[key]:
                    united[key] = uniting.unite(waiting.pop(key))
    if len(united) != len(repeated):
        raise DataError("the files changed while they were read", hint="run the command again.")
    return united


def _each_once(
    files: Sequence[AnnotatedFiles], united: Mapping[bytes, Document], *, columns: bool, quiet: bool
) -> Iterator[Document]:
    """Yield each text once, where it occurs first."""
    done: set[bytes] = set()
    for number, one in enumerate(files):
        with counting("writing", quiet=quiet, size=one.sources.size()) as count:
            for document in one.documents(count, again=True, keep_columns=columns):
                key = _key(document)
                if key in done:
                    continue
                if key in united:
                    document = united[key]
                    done.add(key)
                if number and document.columns is not None:
                    document.columns = document.columns.without_header()
                yield document


def _key(document: Document) -> bytes:
    """Return a hash of the texts of a document."""
    texts = repr((document.text, document.text_pair)) if document.text_pair is not None else document.text
    return blake2b(texts.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _report(uniting: Uniting, output: MergeOutput, tally: Tally, *, quiet: bool) -> None:
    """Print what was united."""
    if not quiet:
        say(f"{counted(tally.written, 'record')} in {output.path}")
        texts, same = uniting.texts
        if texts:
            say(
                f"{counted(texts, 'text occurs', 'texts occur')} several times and {'is' if texts == 1 else 'are'} written once: "
                f"{same:,} with equal annotations, {counted(uniting.added, 'item')} added by later versions"
            )
    if uniting.counts:
        kept = "both versions are kept" if output.on_conflict == "union" else "those of the first version are kept"
        if output.on_conflict == "union" and ("pair", "class") in uniting.counts:
            kept += ", but of a pair of texts the first class or score"
        warn(f"{_described(uniting, output)}; {kept}")
    if uniting.fields:
        warn(f"other fields or ids that differ between versions, of which the first are kept: {uniting.fields:,}")


def _described(uniting: Uniting, output: MergeOutput) -> str:
    """Return the number of conflicts by kind, and where all of them are."""
    from ie_cli.evaluation.agreement import KINDS

    kinds = ", ".join(f"{item} {KINDS[kind]} {count:,}" for (item, kind), count in uniting.counts.items())
    saved = "" if output.conflicts is None else f", all in {output.conflicts}"
    return f"{counted(uniting.counts.total(), 'conflict')} ({kinds}{saved})"
