"""Read annotated files as one stream, once or twice, for commands that look at data without a model."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ie_cli.commands.console import warn
from ie_cli.commands.convert import with_texts
from ie_cli.commands.inputs import Input
from ie_cli.commands.progress import Counter
from ie_cli.commands.records import Output, Tally
from ie_cli.commands.sources import Sources
from ie_cli.document import Document
from ie_cli.errors import DataError, counted, join_hints
from ie_cli.formats import BadLine, Format, Reading
from ie_cli.system.urls import is_url

_WIDTH = 120


@dataclass(slots=True)
class AnnotatedFiles:
    """Some files, all read with the same options.

    Attributes:
        sources: the files.
        skip: whether bad lines are skipped and counted.
        quiet: whether reports are omitted.
        detected: the names of the formats, in the order in which they were found.
        bad: the count of bad lines, and the first one.
    """

    sources: Sources
    skip: bool = False
    quiet: bool = False
    detected: dict[str, None] = field(default_factory=dict)
    bad: Tally = field(default_factory=Tally)

    @classmethod
    def find(cls, given: Sequence[Input], *, skip: bool = False, quiet: bool = False) -> AnnotatedFiles:
        """Find the files, which must exist.

        Raises:
            DataError: one does not.
        """
        sources = Sources.find(given, quiet=quiet)
        sources.require_exist()
        return cls(sources, skip, quiet)

    def require_rereadable(self) -> None:
        """Check that no file is a pipe, which can be read only once.

        Raises:
            DataError: one is.
        """
        for path in self.sources.paths:
            if path == "-" or (
                not is_url(path) and os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)
            ):
                name = "stdin" if path == "-" else path
                raise DataError(
                    f"{name}: a pipe can be read only once, but this command reads its input several times",
                    hint="save the data to a file first.",
                )

    def documents(
        self, count: Counter | None = None, *, again: bool = False, keep_columns: bool = False, texts: bool = True
    ) -> Iterator[Document]:
        """Yield the documents of all files.

        Args:
            count: shows the progress.
            again: whether the files were read before, so that nothing is reported, and bad lines are not counted again.
            keep_columns: whether documents keep the lines of columns that they are read from.
            texts: whether a record of a submission, which has offsets but no text, is a bad line.

        Raises:
            DataError: a record cannot be read, and bad lines are not skipped.
        """
        reading: Reading = self.sources.files[0].reading(quiet=self.quiet or again)
        reading = replace(reading, keep_columns=keep_columns, progress=None if count is None else count.on_read)
        records = self.sources.records(reading, detected=self._detect)
        records = with_texts(records) if texts else records
        for record in records if count is None else count.follow(records):
            if isinstance(record, BadLine):
                self._reject(record, again=again)
                continue
            record.attach_text()  # some readers add annotations to a document after creating it
            yield record
            if count is not None:
                count()

    def _detect(self, name: str) -> None:
        self.detected.setdefault(name)

    def _reject(self, bad: BadLine, *, again: bool) -> None:
        if not self.skip:
            hint = join_hints(bad.error.hint, "use `--on-error skip` to drop such lines.")
            raise DataError(bad.error.message, hint=hint)
        if not again:
            self.bad.count_bad(bad)

    def warn(self) -> None:
        """Warn about the bad lines that were skipped."""
        if self.bad.bad:
            warn(f"{counted(self.bad.bad, 'bad line')} skipped; the first: {self.bad.first_bad}")


def require_outputs(paths: Sequence[str], target: Format, sources: Sources) -> None:
    """Check that no output is an input, or in a directory that is one.

    Raises:
        DataError: one is.
    """
    for path in paths:
        Output(path, on_error="stop").validate_target(target, sources)


def report_width() -> int:
    """Return the width of reports on standard output: that of the terminal, or a fixed one if it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH
