"""Choose which predicted documents are written: all of them, those in doubt, or those that people should look at first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ie_cli.commands.console import say
from ie_cli.document import Document
from ie_cli.errors import DataError, counted
from ie_cli.formats import BadLine

if TYPE_CHECKING:
    from ie_cli.commands.records import Output, RecordWriter, Tally
    from ie_cli.inference.doubt import Watch
    from ie_cli.inference.pipeline import Engine


@dataclass(slots=True)
class Choosing:
    """The options that choose documents.

    Attributes:
        below: write only documents with an item in doubt: one whose score is lower, or a rejected one as near to its threshold.
        uncertain: write this number of documents.
    """

    below: float | None = None
    uncertain: int | None = None
    _watch: Watch | None = field(default=None, init=False)

    @property
    def given(self) -> bool:
        """Whether not all documents are written."""
        return self.below is not None or self.uncertain is not None

    def options(self) -> dict[str, Any]:
        """Return the options of a job that can be resumed, as JSON values; jobs of earlier versions had none."""
        return {} if self.below is None else {"below": self.below}

    def watch(self, engine: Engine) -> Engine:
        """Return the engine to predict with.

        Raises:
            DataError: nothing can be in doubt.
        """
        if not self.given:
            return engine
        from ie_cli.inference.doubt import Watch, thresholds_of

        option = "--below" if self.below is not None else "--uncertain"
        thresholds = sorted(thresholds_of(engine))
        if not thresholds:
            raise DataError(
                f"{option} needs classes or a threshold, but the model gives pairs of texts only grades",
                hint=f"omit {option}.",
            )
        if self.below is not None and self.below <= thresholds[0]:
            raise DataError(
                f"--below {self.below:g}: no predicted item has a lower score, because the threshold is {thresholds[0]:g}",
                hint="use a higher number.",
            )
        self._watch = Watch.of(engine, below=self.below)
        return self._watch.engine

    def write(self, item: Document | BadLine, writer: RecordWriter) -> None:
        """Write what the engine has just yielded if it is a bad line, or a document in doubt."""
        if self._watch is None or isinstance(item, BadLine) or self._watch.take().margins:
            writer.add(item)
        else:
            writer.tally.certain += 1

    def write_all(self, items: Iterator[Document | BadLine], writer: RecordWriter, *, live: bool) -> None:
        """Write what is chosen of a stream; if `live`, flush after each record so that a reader gets it at once."""
        writer.begin()
        if self.uncertain is not None and self._watch is not None:
            self._write_most_uncertain(items, writer, self.uncertain, self._watch)
        else:
            for item in items:
                self.write(item, writer)
                if live:
                    writer.flush()
        writer.end()

    def _write_most_uncertain(
        self, items: Iterator[Document | BadLine], writer: RecordWriter, wanted: int, watch: Watch
    ) -> None:
        from ie_cli.inference.selection import Selection

        selection = Selection(wanted)
        for item in items:
            if isinstance(item, BadLine):
                writer.add(item)
            else:
                selection.add(item, watch.take().uncertainty)
        for document in selection.chosen():
            writer.add(document)
        writer.tally.certain = selection.seen - selection.in_doubt

    def report(self, tally: Tally, output: Output) -> None:
        """Say how many documents hold nothing in doubt, if that explains why they are not written."""
        chosen = tally.written - (tally.bad if output.on_error == "keep" else 0)
        if self.below is not None or (self.uncertain is not None and chosen < self.uncertain):
            of = "" if not tally.certain else f"; nothing is in doubt in {counted(tally.certain, 'other record')}"
            say(f"{counted(chosen, 'record')} chosen{of}")
