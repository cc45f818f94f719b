"""The work on one shard: read it, predict it, and write its output, its bad lines and its manifest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ie_cli.commands.choosing import Choosing
from ie_cli.commands.inputs import Input, ModelChoice
from ie_cli.commands.predict import know_names, labels_of, records_of
from ie_cli.commands.records import OnError, Out, RecordWriter, Tally
from ie_cli.commands.sources import Sources
from ie_cli.errors import OUT_OF_MEMORY, DataError, IEError, ModelError
from ie_cli.formats import Format, find_format
from ie_cli.formats.common.base import Save
from ie_cli.inference.model_directory import fingerprint
from ie_cli.inference.model_paths import local_directory
from ie_cli.inference.shards import Manifest, Shard, ShardDirectory
from ie_cli.system.checksums import file_checksum
from ie_cli.system.memory import is_out_of_memory
from ie_cli.system.stores import remove, state_of, writing
from ie_cli.system.streams import compressed
from ie_cli.system.temporary import scratch

if TYPE_CHECKING:
    from ie_cli.inference.extractor import Extractor
    from ie_cli.inference.pipeline import Engine
    from ie_cli.inference.splitting import Splitter


@dataclass(frozen=True, slots=True)
class PredictJob:
    """What a process needs to predict shards; it can be pickled.

    Attributes:
        model: the fingerprint of the model.
        choice: the model, and how it is run.
        source: the options of reading, with any path.
        target: the name of the output format.
        below: the score of `Choosing`.
        root: the output directory.
        working_directory: what relative paths are relative to; None if no path is.
    """

    model: str
    choice: ModelChoice
    source: Input
    target: str
    on_error: OnError
    below: float | None
    root: str
    working_directory: str | None

    def facts(self) -> dict[str, Any]:
        """Return what must not change while some of the shards are finished."""
        return {
            "model": self.model,
            "to": self.target,
            "on-error": self.on_error,
            **self.choice.options(),
            **self.source.options(),
            **Choosing(self.below).options(),
        }

    def load(self, process: int | None = None) -> ShardPredictor:
        """Load the model.

        Args:
            process: the number of this process among those that take the GPUs of this machine in turn.

        Raises:
            ModelError: it cannot be loaded, or it is another one here, where "here" may be another machine.
            DataError: the working directory does not exist here.
        """
        if self.working_directory is not None:
            try:
                os.chdir(self.working_directory)
            except OSError as error:
                raise ModelError(
                    f"{self.working_directory}: this directory cannot be entered on every machine: {error.strerror}",
                    hint="use a directory that all machines share, or URLs and absolute paths.",
                ) from error
        if fingerprint(local_directory(self.choice.directory)) != self.model:
            raise ModelError(
                f"{self.choice.directory}: the model is not the one that the command was started with",
                hint="run the command again if the model was replaced; all machines need the same model.",
            )
        choice = self.choice if process is None else self.choice.for_process(process)
        engine, extractor = choice.engine()
        choosing = Choosing(self.below)
        return ShardPredictor(self, choosing.watch(engine), extractor, choosing)


@dataclass(frozen=True, slots=True)
class ShardPredictor:
    """A loaded model that predicts shards."""

    job: PredictJob
    engine: Engine
    extractor: Extractor
    choosing: Choosing

    @property
    def splitter(self) -> Splitter | None:
        """What cuts long texts."""
        return self.engine.splitter

    def predict(self, shard: Shard) -> Manifest:
        """Write the files of a shard: bad lines, output, and the manifest last.

        Raises:
            DataError: the input cannot be read, has changed, or has a bad line that is not to be skipped, or another process is
                predicting the shard.
            StorageError: something cannot be written.
            IEError: out of memory.
        """
        try:
            return self._predict(shard)
        except BaseException as error:  # a panic in Rust code is not an Exception
            if not is_out_of_memory(error):
                raise
            raise IEError(
                f"{OUT_OF_MEMORY}: {shard.path}",
                hint="use a smaller --batch-size, or fewer processes at a time; the shards that are finished are kept.",
            ) from error

    def _predict(self, shard: Shard) -> Manifest:
        from ie_cli.inference.pipeline import Counts

        directory, tally = ShardDirectory(self.job.root), Tally()
        engine = replace(self.engine, counts=Counts())
        with writing(directory.output(shard)) as new, scratch("rejects") as spare:
            _require_unchanged(shard)
            bad = spare / "rejects"
            self._write(shard, engine, tally, new=new, bad=bad)
            _require_unchanged(shard)
            files = {"output": _facts_of(new), "rejects": _facts_of(bad) if tally.bad else None}
            rejects = directory.rejects(shard)
            if tally.bad:
                with writing(rejects) as kept:
                    shutil.copyfile(bad, kept)
            else:
                remove(rejects)  # of an earlier attempt
        found = {
            "tally": tally.fields(),
            "counts": asdict(engine.counts),
            "pair_tasks": list(engine.pair_tasks),
            "precision": getattr(self.extractor.backend, "precision", "as exported"),
        }
        return directory.finish(shard, files | found, self.job.facts())

    def _write(self, shard: Shard, engine: Engine, tally: Tally, *, new: Path, bad: Path) -> None:
        from ie_cli.inference.pipeline import extract

        job, target = self.job, find_format(self.job.target)
        # Like one of several files: a file that cannot be read is a bad line, and records without an id get their place.
        sources = Sources((replace(job.source, path=shard.path),), searched=True)
        with ExitStack() as stack:
            out = stack.enter_context(_opened(new, target, shard.name))
            rejects = stack.enter_context(_text(bad, ShardDirectory(job.root).rejects(shard)))
            labels = labels_of(self.extractor)
            writer = RecordWriter(target, job.on_error, out, rejects, tally, labels=labels)
            know_names(tally, target, self.extractor)
            records = records_of(sources, self.extractor, target, quiet=True, progress=None)
            predicted = stack.enter_context(closing(extract(engine, records)))  # type: ignore[type-var]
            self.choosing.write_all(predicted, writer, live=False)


@contextmanager
def _opened(new: Path, target: Format, name: str) -> Iterator[Out | Save]:
    """Open the output under its temporary name; its final name says how it is compressed."""
    if target.container is not None and target.container.save is not None:
        with target.container.save(str(new)) as save:
            yield save
        return
    with _text(new, name) as text:
        yield text


@contextmanager
def _text(file: Path, name: str) -> Iterator[Out]:
    with file.open("wb") as raw, compressed(raw, name) as text:
        yield text


def _facts_of(file: Path) -> dict[str, Any]:
    return {"size": file.stat().st_size, "checksum": file_checksum(file)}


def _require_unchanged(shard: Shard) -> None:
    """Check that an input is still that of the start of the command.

    Raises:
        DataError: it has changed, or was removed.
    """
    if state_of(shard.path) != shard.state:
        raise DataError(
            f"{shard.path}: the input has changed while the command was running",
            hint="run the same command again when the input is complete.",
        )
