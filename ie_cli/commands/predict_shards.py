"""`ie predict` with a directory as output: one output for each input, by one or several processes or machines."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import typer

from ie_cli.commands import predict
from ie_cli.commands.choosing import Choosing
from ie_cli.commands.console import print_error, say, warn
from ie_cli.commands.input_options import settle
from ie_cli.commands.inputs import Input, ModelChoice, warn_truncated
from ie_cli.commands.lengths import report_long_texts
from ie_cli.commands.predict import report_omitted
from ie_cli.commands.progress import counting_shards
from ie_cli.commands.records import Output, Tally, output_format_of, report_setup, require_room_for_bad_lines
from ie_cli.commands.shard_job import PredictJob
from ie_cli.commands.shard_sources import find_shards
from ie_cli.errors import DataError, IEError, counted, join_hints
from ie_cli.formats import Format
from ie_cli.formats.suffixes import suffix_of
from ie_cli.inference.model_directory import fingerprint
from ie_cli.inference.model_paths import local_directory
from ie_cli.inference.shard_workers import Outcome, predict_here, predict_in_processes
from ie_cli.inference.shards import REJECTS, Manifest, Part, Shard, ShardDirectory
from ie_cli.system.signals import Stopped
from ie_cli.system.stores import join, local_path
from ie_cli.system.urls import is_url, require_allowed

if TYPE_CHECKING:
    from ie_cli.inference.pipeline import Counts
    from ie_cli.inference.splitting import Splitter

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Distribution:
    """What predicts the shards.

    Attributes:
        workers: the number of processes on this machine.
        shard: which part of the shards this command predicts, ``NUMBER/OF``; None for all.
        engine: what runs the processes; None for this command.
        address, actors, gpus_per_actor: see `integrations.ray_engine.Cluster`.
    """

    workers: int | None = None
    shard: str | None = None
    engine: Literal["ray"] | None = None
    address: str | None = None
    actors: int | None = None
    gpus_per_actor: float | None = None

    @property
    def option(self) -> str | None:
        """An option that was given and needs an output directory, or None."""
        given = {"--workers": self.workers, "--shard": self.shard, "--engine": self.engine}
        return next((name for name, value in given.items() if value is not None), None)

    @property
    def part(self) -> Part | None:
        """Which part of the shards this command predicts; None for all."""
        return None if self.shard is None else Part.parse(self.shard)

    def validated(self, device: str) -> Distribution:
        """Return this object if the options fit together, and to a device.

        Raises:
            typer.BadParameter: they do not.
        """
        try:
            _ = self.part
        except ValueError as error:
            raise typer.BadParameter(f"--shard: {error}.") from error
        of_ray = {"--address": self.address, "--actors": self.actors, "--gpus-per-actor": self.gpus_per_actor}
        needless = next((name for name, value in of_ray.items() if value is not None), None)
        if self.engine is None and needless is not None:
            raise typer.BadParameter(f"{needless} requires --engine ray.")
        if self.engine is not None and self.workers is not None:
            raise typer.BadParameter("--workers is for this machine: use --actors with --engine ray.")
        if self.engine is not None:
            self._validate_device(device)
        return self

    def _validate_device(self, device: str) -> None:
        """Check that a device is none that only Ray can give."""
        if device.startswith("cuda:"):
            raise typer.BadParameter(
                f"--device {device}: Ray gives each actor its GPU: use --gpus-per-actor 1 instead."
            )
        if device == "cuda" and not self.gpus_per_actor:
            raise typer.BadParameter("--device cuda requires --gpus-per-actor with --engine ray.")
        if device == "cpu" and self.gpus_per_actor:
            raise typer.BadParameter("--device cpu and --gpus-per-actor contradict each other.")

    def run(self, job: PredictJob, shards: Sequence[Shard], *, quiet: bool) -> Generator[Outcome, None, None]:
        """Predict shards, and yield the outcomes as they come; without any, nothing is loaded or connected."""
        if not shards:
            return
        if self.workers is None and self.engine is None and not quiet:
            replace(job.choice, quiet=False).report_idle_gpus()
        if self.engine is not None:
            from ie_cli.integrations.ray_engine import Cluster, predict_on_ray

            cluster = Cluster(self.address, self.actors, self.gpus_per_actor or 0.0)
            yield from predict_on_ray(job, shards, cluster)
        elif (workers := min(self.workers or 1, len(shards))) > 1:
            yield from predict_in_processes(job, shards, workers=workers)
        else:
            yield from predict_here(job, shards)


def is_shard_directory(path: str, distribution: Distribution, output_format: str | None) -> bool:
    """Return whether an output is a directory of shards: its name ends with a slash, or an option asks for one.

    Raises:
        DataError: an option asks for one, but the output is standard output or has the name of a file.
    """
    option = distribution.option
    if option is None:
        if not path.endswith("/") or output_format is None:
            return path.endswith("/")
        container = output_format_of(output_format, path).container
        return container is None or not container.directories
    if path == "-" or (suffix_of(path) and not path.endswith("/") and not os.path.isdir(path)):
        shown = "standard output" if path == "-" else path
        raise DataError(
            f"{option} writes a file for each input, but the output is {shown}",
            hint="name a directory with --output DIRECTORY/.",
        )
    return True


def predict_files(
    choice: ModelChoice,
    given: Sequence[Input],
    output: Output,
    distribution: Distribution,
    *,
    output_format: str | None,
    choosing: Choosing,
    full_batches: bool,
) -> None:
    """Predict into one output, or into a directory with one output for each input."""
    if is_shard_directory(output.path, distribution, output_format):
        run_predict_shards(choice, given, output, distribution, output_format=output_format, choosing=choosing)
        return
    predict.run_predict(
        choice,
        given,
        output,
        output_format=output_format,
        choosing=choosing,
        full_batches=full_batches,
        quiet=choice.quiet,
    )


def run_predict_shards(
    choice: ModelChoice,
    given: Sequence[Input],
    output: Output,
    distribution: Distribution,
    *,
    output_format: str | None,
    choosing: Choosing,
) -> None:
    """Predict the shards that are not finished, and report on all of them.

    Raises:
        DataError: a shard cannot be predicted, after all others have been; or finished ones do not fit.
    """
    quiet = choice.quiet
    root = local_path(output.path)
    target = _target(output, output_format, choosing)
    require_allowed(root)
    shards = find_shards(given, root, target, quiet=quiet)
    source = _settled(given[0], shards)
    if (part := distribution.part) is not None:
        shards = part.select(shards)
    choice.announce()
    model = fingerprint(local_directory(choice.directory))
    job = PredictJob(
        model,
        replace(choice, path=choice.directory, quiet=True),
        source,
        target.name,
        output.on_error,
        choosing.below,
        root,
        working_directory=_working_directory([root, choice.directory, *(one.path for one in given)]),
    )
    finished, waiting = ShardDirectory(root).plan(shards, job.facts())
    if finished and not quiet:
        say(f"{len(finished):,} of {counted(len(shards), 'shard')} finished before")
    summary = _Summary(dict(finished))
    with (
        counting_shards(total=len(shards), done=len(finished), quiet=quiet) as count,
        _keeping(summary, len(shards)),
        closing(distribution.run(job, waiting, quiet=quiet)) as outcomes,
    ):
        for outcome in outcomes:
            summary.add(outcome)
            count(0 if outcome.manifest is None else outcome.manifest["tally"].get("written", 0))
    summary.report(replace(output, path=root), choice, target, choosing=choosing, quiet=quiet)
    summary.require_complete(len(shards))


def _settled(source: Input, shards: Sequence[Shard]) -> Input:
    """Return the options of reading, which are checked for all shards together: each process and machine sees only some.

    Raises:
        UnusedOption: an option applies to none of the shards.
    """
    if source.undecided is not None:
        undecided = replace(source.undecided, remaining={shard.path for shard in shards})
        files = [replace(source, path=shard.path, undecided=undecided) for shard in shards]
        settle(files, replace(source.reading(quiet=True), annotation=False))
    return replace(source, undecided=None)


def _target(output: Output, output_format: str | None, choosing: Choosing) -> Format:
    """Return the output format.

    Raises:
        DataError: it has no files of its own for each input, or an option needs the records of all inputs.
    """
    target = output_format_of(output_format, "-")
    if target.container is not None and target.container.directories:
        raise DataError(
            f"the format {target.name} is a directory itself, and cannot be that of a shard",
            hint="write jsonl, and convert the outputs with `ie convert`.",
        )
    require_room_for_bad_lines(output.on_error, target)
    if choosing.uncertain is not None:
        raise DataError(
            "--uncertain compares the records of all inputs, and cannot be used with an output directory",
            hint="use --below, or name one --output file.",
        )
    if output.rejects is not None:
        raise DataError(
            f"--rejects {output.rejects}: with an output directory, the bad lines of each input are in {REJECTS}/ in it",
            hint="use --on-error skip instead of --rejects.",
        )
    return target


def _working_directory(paths: Sequence[str]) -> str | None:
    relative = any(not is_url(path) and not os.path.isabs(path) for path in paths)
    return os.getcwd() if relative else None


@contextmanager
def _keeping(summary: _Summary, total: int) -> Iterator[None]:
    """Add to an error or a signal how many shards are finished."""
    try:
        yield
    except KeyboardInterrupt as error:
        signum = error.signum if isinstance(error, Stopped) else 2
        raise Stopped(signum, f"stopped; {summary.kept(total)}: continue with the same command") from error
    except IEError as error:
        again = "run the same command again to continue" if summary.manifests else None
        kept = summary.kept(total) if summary.manifests else None
        raise type(error)(error.message, hint=join_hints(error.hint, kept, again)) from error


class _Summary:
    """The manifests of finished shards, and the errors of others."""

    def __init__(self, manifests: dict[Shard, Manifest]) -> None:
        self.manifests = manifests
        self.errors: list[IEError] = []
        self._splitter: Splitter | None = None

    def add(self, outcome: Outcome) -> None:
        """Add what became of a shard; an error is printed at once."""
        self._splitter = outcome.splitter or self._splitter
        if outcome.manifest is not None:
            self.manifests[outcome.shard] = outcome.manifest
        elif outcome.error is not None:
            self.errors.append(outcome.error)
            if len(self.errors) <= _SHOWN:
                print_error(outcome.error)

    def kept(self, total: int) -> str:
        """Return how many shards are finished."""
        return f"{len(self.manifests):,} of {counted(total, 'shard')} finished"

    def report(self, output: Output, choice: ModelChoice, target: Format, *, choosing: Choosing, quiet: bool) -> None:
        """Print the sums over all finished shards."""
        tally = Tally()
        for shard in sorted(self.manifests, key=lambda one: one.name):
            tally.add(Tally.from_fields(self.manifests[shard]["tally"]))
        if not quiet:
            say(
                f"{counted(len(self.manifests), 'shard')} with {counted(tally.written, 'record')} written to {output.path}"
            )
            report_setup(tally, target)
            choosing.report(tally, output)
        rejects = join(output.path, REJECTS) if tally.bad else None
        report_omitted(tally, replace(output, rejects=rejects), choice)
        counts = self._counts()
        pair_tasks = next((list(one["pair_tasks"]) for one in self.manifests.values()), [])
        warn_truncated(counts, pair_tasks)
        report_long_texts(self._splitter, counts, quiet=quiet)
        precisions = sorted({one["precision"] for one in self.manifests.values()})
        if len(precisions) > 1:
            warn(
                f"some shards were predicted in {' and others in '.join(precisions)}, because the machines differ: name one "
                "with --precision"
            )

    def _counts(self) -> Counts:
        from ie_cli.inference.pipeline import Counts

        found = [one["counts"] for one in self.manifests.values()]
        names = Counts.__dataclass_fields__
        return Counts(**{name: sum(int(one.get(name, 0)) for one in found) for name in names})

    def require_complete(self, total: int) -> None:
        """Check that no shard has failed.

        Raises:
            DataError: one has.
        """
        if not self.errors:
            return
        first = self.errors[0]
        raise DataError(
            f"{len(self.errors):,} of {counted(total, 'shard')} failed, the others are finished; the first: {first.message}",
            hint=join_hints(first.hint, "run the same command again: only shards that are not finished are predicted"),
        )
