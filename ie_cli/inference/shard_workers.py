"""Predict shards in this process, or in several processes of this machine, each of which loads the model once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Protocol, cast

from ie_cli.errors import DataError, IEError, counted
from ie_cli.inference.shards import Manifest, Shard
from ie_cli.inference.splitting import Splitter
from ie_cli.system.cores import cores

RETRIES = 2
"""How often a shard is tried again after the process that predicted it has died."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a shard: its manifest, or the error because of which it is not finished.

    `splitter` is that of the model, for reports.
    """

    shard: Shard
    manifest: Manifest | None = None
    error: IEError | None = None
    splitter: Splitter | None = None


class Predictor(Protocol):
    """A loaded model that predicts shards."""

    @property
    def splitter(self) -> Splitter | None:
        """What cuts long texts."""

    def predict(self, shard: Shard) -> Manifest:
        """Write the files of a shard, and return its manifest.

        Raises:
            DataError: the shard cannot be predicted; others can.
        """


class ShardJob(Protocol):
    """What a worker process is given; it can be pickled."""

    def load(self, process: int | None = None) -> Predictor:
        """Load the model.

        Args:
            process: the number of this process, from 0, among those of this command that share the GPUs of a machine; None if
                it has all that it can see.
        """


def died(shard: Shard, reason: str) -> IEError:
    """Return the error for a shard whose workers died, whatever was tried."""
    return DataError(
        f"{shard.path}: the process that predicted it died {counted(RETRIES + 1, 'time')}, the last time by {reason}",
        hint="out of memory is the usual reason: use fewer processes or a smaller --batch-size; the shards that are finished are "
        "kept.",
    )


def attempt(predictor: Predictor, shard: Shard) -> Outcome:
    """Predict a shard; an error of its data is part of the outcome, any other one is raised."""
    try:
        return Outcome(shard, manifest=predictor.predict(shard), splitter=predictor.splitter)
    except DataError as error:
        return Outcome(shard, error=error)


def predict_here(job: ShardJob, shards: Sequence[Shard]) -> Iterator[Outcome]:
    """Predict shards in this process, in their order."""
    predictor = job.load()
    for shard in shards:
        yield attempt(predictor, shard)


def predict_in_processes(job: ShardJob, shards: Sequence[Shard], *, workers: int) -> Iterator[Outcome]:
    """Predict shards in several processes, and yield the outcomes as they come.

    If a process dies, its shard is given to the next free one, `RETRIES` times. When the iterator is closed, all processes end.

    Args:
        job: loads the model.
        shards: the shards.
        workers: the number of processes; they share the processor cores and the GPUs.

    Raises:
        IEError: the model cannot be loaded, or nothing can be written.
    """
    waiting = deque(shards)
    deaths: Counter[Shard] = Counter()
    busy: dict[Connection, _Worker] = {}
    threads = max(1, cores() // workers) if "OMP_NUM_THREADS" not in os.environ else cores()
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                number = min(set(range(workers)) - {worker.number for worker in busy.values()})
                worker = _Worker.start(job, threads, number)
                busy[worker.connection] = worker
                worker.give(waiting.popleft())
            for connection in cast("list[Connection]", wait(list(busy))):
                worker = busy[connection]
                answer = worker.answer()
                if answer is None:
                    del busy[connection]
                    shard, reason = worker.shard, worker.bury()
                    deaths[shard] += 1
                    if deaths[shard] > RETRIES:
                        yield Outcome(shard, error=died(shard, reason))
                    else:
                        waiting.append(shard)
                    continue
                if waiting:
                    worker.give(waiting.popleft())
                else:
                    del busy[connection]
                    worker.end()
                yield answer
    finally:
        for worker in busy.values():
            worker.kill()


@dataclass(slots=True)
class _Worker:
    """A process, its number, the connection to it, and the shard that it predicts.

    A process that replaces one that has died has the number of that one.
    """

    number: int
    process: SpawnProcess
    connection: Connection
    _shard: list[Shard] = field(default_factory=list)

    @classmethod
    def start(cls, job: ShardJob, threads: int, number: int) -> _Worker:
        """Start a process."""
        # Not forked: the threads of this process, e.g. those of a progress bar, may hold locks.
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(there, job, threads, number), daemon=True)
        process.start()
        there.close()  # so that the end of the process ends the connection
        return cls(number, process, here)

    @property
    def shard(self) -> Shard:
        """The shard that was given last."""
        return self._shard[-1]

    def give(self, shard: Shard) -> None:
        """Let the process predict a shard."""
        self._shard[:] = [shard]
        with suppress(OSError):  # it has died, as its answer will show
            self.connection.send(shard)

    def answer(self) -> Outcome | None:
        """Return the outcome; None if the process has died.

        Raises:
            BaseException: what ended the process if it is no error of the shard.
        """
        try:
            answer: Any = self.connection.recv()
        except (EOFError, OSError):
            return None
        if isinstance(answer, BaseException):
            raise answer
        return cast(Outcome, answer)

    def bury(self) -> str:
        """Wait for the end of a process that has died, and return the reason."""
        self.connection.close()
        self.process.join()
        code = self.process.exitcode or 0
        if code >= 0:
            return f"exit code {code}"
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"

    def end(self) -> None:
        """Let a process end that has nothing left to do."""
        self.connection.close()
        self.process.join()

    def kill(self) -> None:
        """End a process at once; what it has not finished is not kept."""
        self.process.terminate()
        self.end()


def _serve(connection: Connection, job: ShardJob, threads: int, number: int) -> None:
    """Predict the shards that are received, until the connection or the parent process ends."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # before torch is imported
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        predictor: Predictor | None = None
        while True:
            shard: Shard = connection.recv()
            predictor = predictor or job.load(number)
            connection.send(attempt(predictor, shard))
    except EOFError:
        return
    except BaseException as error:
        if not isinstance(error, IEError):
            error.add_note("".join(traceback.format_exception(error)))
        with suppress(Exception):  # what cannot be pickled ends the process, which is reported, too
            connection.send(error)
            return
        raise


def _end_with_parent() -> None:
    """End this process when its parent has ended, even by `kill -9`: what it writes could meet a command that was restarted."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
