"""`ie embed`: write the vectors of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from ie_cli.commands.console import say, warn
from ie_cli.commands.inputs import Input, ModelChoice, first_data, first_tokens
from ie_cli.commands.progress import counting
from ie_cli.commands.records import Output
from ie_cli.commands.sources import Sources
from ie_cli.document import Document
from ie_cli.errors import DataError, counted, join_hints
from ie_cli.formats import FORMATS, BadLine, Record
from ie_cli.inference.model_directory import fingerprint
from ie_cli.inference.model_paths import local_directory
from ie_cli.inference.vector_files import Floats, open_vectors, require_vector_file, texts_of

if TYPE_CHECKING:
    from ie_cli.commands.progress import Counter as Progress
    from ie_cli.inference.extractor import Extractor
    from ie_cli.inference.pipeline import Engine


@dataclass(frozen=True)
class Embedder:
    """A model that gives texts vectors; it is loaded when it is needed.

    Attributes:
        task: the name of the task whose head gives the vectors, or None if there is only one.
        skip: whether bad lines are skipped and counted; None if they cannot be.
        bad: the bad lines that were skipped.
        engines: the engine, if the model was loaded.
        counts: counts of records by what they have.
    """

    choice: ModelChoice
    task: str | None
    skip: bool | None
    quiet: bool
    bad: list[BadLine] = field(default_factory=list)
    engines: list[Engine] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @cached_property
    def _loaded(self) -> tuple[Engine, Extractor, str]:
        from ie_cli.inference.embedding import embedding_engine

        # Taken before the model is loaded: if it is replaced in the meantime, its vectors are not those of the new one.
        model = fingerprint(local_directory(self.choice.directory))
        engine, extractor = self.choice.engine()
        engine = embedding_engine(engine, self.task)
        self.engines.append(engine)
        return engine, extractor, f"{model}/{engine.tasks[0].name}"

    @property
    def model(self) -> str:
        """What identifies the model and the task in files of vectors."""
        return self._loaded[2]

    @property
    def engine(self) -> Engine:
        """The engine of the task."""
        return self._loaded[0]

    def documents(self, sources: Sources, progress: Progress) -> Iterator[tuple[Document, Floats]]:
        """Yield the documents of some files with their vectors."""
        from ie_cli.inference.embedding import embed_documents

        engine, extractor, _ = self._loaded
        reading = sources.files[0].reading(
            quiet=self.quiet, trained=first_data(extractor.recipe), tokens=first_tokens(extractor)
        )
        reading = replace(reading, label_columns=None, annotation=False, progress=progress.on_read)
        yield from embed_documents(engine, self._good(progress.follow(sources.records(reading, with_ids=True))))

    def _good(self, records: Iterator[Record]) -> Iterator[Document]:
        for record in records:
            if isinstance(record, BadLine):
                if not self.skip:
                    hint = None if self.skip is None else "use `--on-error skip` to drop such lines."
                    raise DataError(record.error.message, hint=join_hints(record.error.hint, hint))
                self.bad.append(record)
                continue
            self.counts["pairs"] += record.text_pair is not None
            yield record

    def warn(self) -> None:
        """Warn about what was left out."""
        for engine in self.engines:
            if engine.counts.shortened:
                warn(
                    f"{engine.counts.shortened} of {counted(engine.counts.texts, 'text')} exceeded the model's "
                    "encoder.max_length, and only their beginning was read"
                )
        if self.counts["pairs"]:
            warn(f"{counted(self.counts['pairs'], 'record')} with a second text: only the first has a vector")
        if self.bad:
            warn(f"{counted(len(self.bad), 'bad line')} skipped; the first: {self.bad[0].error.message}")


def run_embed(
    choice: ModelChoice, given: Sequence[Input], output: str, *, task: str | None, skip: bool, quiet: bool
) -> None:
    """Write the vectors of all texts of the input, in order."""
    require_vector_file(output)
    sources = Sources.find(given, quiet=quiet)
    for path in (output, texts_of(output)) if output.endswith(".npy") else (output,):
        Output(path, on_error="stop").validate_target(FORMATS["jsonl"], sources)
    sources.require_exist()
    embedder = Embedder(choice, task, skip, quiet)
    written, size = 0, 0
    with (
        open_vectors(output, embedder.model) as add,
        counting("embedding", quiet=quiet, size=sources.size()) as progress,
    ):
        for document, vector in embedder.documents(sources, progress):
            add(document, vector)
            written, size = written + 1, len(vector)
            progress()
    if not quiet:
        say(f"{counted(written, 'vector')} of {counted(size, 'number')}")
    embedder.warn()
