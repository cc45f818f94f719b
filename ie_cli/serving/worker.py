"""One thread that runs the model; requests wait for it in a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import Outputs
from ie_cli.document import Document
from ie_cli.formats.jsonl import to_fields
from ie_cli.inference.pipeline import Backend, Engine, extract


class Busy(Exception):
    """As many requests as may be are in work or waiting."""


class Abandoned(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class _Stoppable:
    """A backend that ends between two batches when it is told to."""

    backend: Backend
    stop: Event

    def run(self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]) -> Mapping[str, Outputs]:
        if self.stop.is_set():
            raise Abandoned
        return self.backend.run(input_ids, attention_mask)

    def write(self, folder: Path) -> None:
        self.backend.write(folder)


class Job:
    """The texts of one request, and the native records that come of them."""

    def __init__(self, engine: Engine, texts: Sequence[str]) -> None:
        self._stop = Event()
        self._engine = replace(engine, backend=_Stoppable(engine.backend, self._stop))
        self._texts = texts
        self.future: Future[list[dict[str, Any]]] = Future()

    def run(self) -> list[dict[str, Any]]:
        """Annotate; in the thread of the model."""
        try:
            return [to_fields(document) for document in extract(self._engine, map(Document, self._texts))]
        except Exception:
            raise
        except BaseException as error:  # a panic of a library in Rust: no handler of errors would take it
            raise RuntimeError(str(error)) from error

    def cancel(self) -> None:
        """Never begin it; or, where it has begun, end it after the batch that is running."""
        self._stop.set()
        if self.future.cancel():
            self._texts = ()  # it stands in the row until its turn comes


class Worker:
    """The thread, and a slot for each request that may be in work or waiting.

    Args:
        slots: one is taken until the work has ended, also where nobody waits for it any more.
    """

    def __init__(self, engine: Engine, *, slots: int) -> None:
        self._engine, self._slots = engine, slots
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._jobs: set[Job] = set()

    @property
    def busy(self) -> bool:
        """Whether all slots are taken."""
        return len(self._jobs) >= self._slots

    def submit(self, texts: Sequence[str]) -> Job:
        """Put texts in the row; to be called from one thread only.

        Raises:
            Busy: all slots are taken.
        """
        if self.busy:
            raise Busy
        job = Job(self._engine, texts)
        job.future = self._thread.submit(job.run)
        self._jobs.add(job)
        job.future.add_done_callback(lambda _: self._jobs.discard(job))
        return job

    def close(self) -> None:
        """Cancel everything and wait for the thread: for one batch at most."""
        for job in list(self._jobs):
            job.cancel()
        self._thread.shutdown()
