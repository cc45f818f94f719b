"""The thread that runs the model: the windows of all requests in work share its batches.

The texts of a request are tokenised and cut into windows; `schedule` chooses which windows make a batch; a text whose
windows have all been run is annotated; after its last text the request has its answer. A second thread tokenises and
annotates what is long, so that the model does not wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from queue import SimpleQueue
from threading import Thread
from typing import Any

from ie_cli.document import Document
from ie_cli.formats.jsonl import to_fields
from ie_cli.inference.pipeline import Counts, Engine, Pending, Window, annotated, cut, most_windows, run_windows
from ie_cli.serving.capacity import BATCH_SECONDS, Capacity
from ie_cli.serving.schedule import Flow, Schedule

_SLICE = 2**12  # characters that are tokenised at once; a request with no more needs no second thread
_SAMPLE = 2**11  # characters of a larger request by which its tokens are estimated
_LONG = 2**12  # tokens of a text that the second thread annotates


class Busy(Exception):
    """No slot is free, or what is in work leaves no time for another request.

    Attributes:
        seconds: after which to try again.
    """

    def __init__(self, error: str, seconds: float = 1.0) -> None:
        super().__init__(error)
        self.seconds = seconds


class Abandoned(Exception):
    """Nobody waits for the answer any more."""


@dataclass(slots=True, eq=False)
class _Text:
    """A text whose windows are being run: how many have not been."""

    number: int
    pending: Pending
    waiting: int


class Job:
    """The texts of one request, and the native records that come of them.

    Args:
        tokens: estimated.
    """

    def __init__(self, texts: Sequence[str], tokens: float) -> None:
        self.future: Future[list[dict[str, Any]]] = Future()
        self.characters = sum(map(len, texts))
        self.flow: Flow[_Piece] = Flow(tokens)
        self._density = tokens / max(1, self.characters)
        self._texts = iter(enumerate(texts))
        self._records: list[dict[str, Any]] = [{}] * len(texts)
        self._left = len(texts)

    def begin(self) -> bool:
        """Say that work begins; whether anybody waits for it."""
        return self.future.running() or (not self.future.done() and self.future.set_running_or_notify_cancel())

    def next_texts(self) -> list[tuple[int, str]]:
        """Some of the texts that have not been tokenised, with their numbers; nothing at the end."""
        texts: list[tuple[int, str]] = []
        size = 0
        for number, text in self._texts:
            texts.append((number, text))
            size += len(text)
            if size >= _SLICE:
                break
        return texts

    def correct(self, characters: int, tokens: int) -> None:
        """Take how many tokens some of its text has become, in place of what was estimated for it."""
        self.flow.remaining += tokens - characters * self._density

    def add(self, number: int, record: dict[str, Any]) -> None:
        """Take the record of a text."""
        self._records[number] = record
        self._left -= 1

    def end(self, error: BaseException | None = None) -> bool:
        """Give out the error, or the records if all are there; whether the job has ended."""
        if error is None and self._left:
            return False
        if self.begin():
            if error is None:
                self.future.set_result(self._records)
            else:
                self.future.set_exception(error)
        return True


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """A window in the schedule."""

    job: Job
    text: _Text
    window: Window


class Worker:
    """The threads, and a slot for each request that may be in work or waiting.

    Args:
        slots: one is taken until the work has ended, also where nobody waits for it any more.
        seconds: within which an answer must come.
    """

    def __init__(self, engine: Engine, *, slots: int, seconds: float) -> None:
        self._engine, self._slots = engine, slots
        self.capacity = Capacity(seconds)
        self._calls: SimpleQueue[tuple[Job, Callable[[], object]] | None] = SimpleQueue()
        self._schedule: Schedule[_Piece] = Schedule()
        self._jobs: set[Job] = set()
        self._second = ThreadPoolExecutor(max_workers=1, thread_name_prefix="texts")
        self._thread = Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether all slots are taken."""
        return len(self._jobs) >= self._slots

    def submit(self, texts: Sequence[str]) -> Job:
        """Take the texts of a request; to be called from one thread only.

        Raises:
            Busy: all slots are taken, or what is in work leaves no time for as much text.
            TooMuch: even alone it would not be answered in time.
        """
        if self.busy:
            raise Busy(f"{self._slots} requests are in work or waiting, which is all that may")
        job = Job(texts, self._estimate(texts))
        self.capacity.require_time(job.flow.remaining, job.characters)
        wait = self.capacity.wait(job.flow.remaining, [other.flow.remaining for other in list(self._jobs)])
        if wait is not None:
            raise Busy("the requests in work take so long that this one would not be answered in time", wait)
        self._jobs.add(job)
        job.future.add_done_callback(lambda _: self._jobs.discard(job))
        self._calls.put((job, lambda: self._enter(job)))
        return job

    def _estimate(self, texts: Sequence[str]) -> float:
        """The tokens of some texts; of many by a sample of them, as languages differ."""
        characters = sum(map(len, texts))
        if characters <= _SLICE:
            return self.capacity.tokens(characters)
        sample: list[tuple[int, str]] = []
        left = _SAMPLE
        for text in texts:
            if left <= 0:
                break
            sample.append((len(sample), text[:left]))
            left -= len(text)
        try:
            size, made = self._tokenised(sample)
        except BaseException as error:
            raise _as_exception(error) from error
        return characters * _tokens(made) / size

    def cancel(self, job: Job) -> None:
        """Never begin a job; or, if it has begun, end it after the batch that is running."""
        job.future.cancel()
        self._calls.put((job, lambda: self._end(job, Abandoned())))

    def calibrate(self) -> None:
        """Measure the speed of the model, before there are requests; the first batch of a process is slow."""
        engine = replace(self._engine, counts=Counts())
        [tokens] = engine.tokenizer.encode(["王伟 lives in Paris. " * engine.plan.capacity])
        windows = cut(engine, Pending(Document(""), tokens))[:1]
        if not windows:
            return
        length = len(windows[0].ids)
        run_windows(engine, windows)
        while (seconds := _timed(engine, windows)) < BATCH_SECONDS / 2 and 2 * len(windows) <= most_windows(
            engine, length
        ):
            windows *= 2
        for took in (seconds, _timed(engine, windows), _timed(engine, windows)):
            self.capacity.measure(len(windows) * length, took)

    def close(self) -> None:
        """Cancel everything and wait for the threads: for one batch at most."""
        for job in list(self._jobs):
            self.cancel(job)
        self._calls.put(None)
        self._thread.join()
        self._second.shutdown(cancel_futures=True)

    # What follows runs in the thread of the model, which alone changes jobs and schedule; `_aside` is for the other one.

    def _work(self) -> None:
        while True:
            while self._calls.qsize() or not self._schedule.ready:
                call = self._calls.get()
                if call is None:
                    return
                job, work = call
                with self._failing(job):
                    work()
            try:
                self._run_batch()
            except BaseException as error:  # of no request in particular; without this thread none is ever answered
                for job in list(self._jobs):
                    self._end(job, _as_exception(error))

    def _enter(self, job: Job) -> None:
        if job.future.done():
            return
        self._schedule.add(job.flow)
        if job.characters <= _SLICE:
            while texts := job.next_texts():
                self._take(job, *self._tokenised(texts))
            self._end(job)  # a request may have no texts
        else:
            self._second.submit(self._aside, job, lambda: self._prepare(job))

    def _aside(self, job: Job, work: Callable[[], None]) -> None:
        """Work for a job in the second thread, whose problems are the job's."""
        try:
            if not job.future.done():
                work()
        except BaseException as error:  # a panic of a library in Rust is no Exception
            problem = _as_exception(error)
            self._calls.put((job, lambda: self._end(job, problem)))

    def _prepare(self, job: Job) -> None:
        """Tokenise some texts of a job; the rest takes its turn behind other jobs. In the second thread."""
        if texts := job.next_texts():
            found = self._tokenised(texts)
            self._calls.put((job, lambda: self._take(job, *found)))
            self._second.submit(self._aside, job, lambda: self._prepare(job))

    def _tokenised(self, texts: Sequence[tuple[int, str]]) -> tuple[int, list[tuple[_Text, list[Window]]]]:
        """Texts with their windows, and how many characters they have."""
        tokens = self._engine.tokenizer.encode([text for _, text in texts])
        made = []
        for (number, text), own in zip(texts, tokens, strict=True):
            pending = Pending(Document(text), own)
            windows = cut(self._engine, pending)
            made.append((_Text(number, pending, len(windows)), windows))
        return sum(len(text) for _, text in texts), made

    def _take(self, job: Job, characters: int, made: Sequence[tuple[_Text, list[Window]]]) -> None:
        """Put the windows of a job's texts into the schedule."""
        if job.future.done():
            return
        size = _tokens(made)
        job.correct(characters, size)
        self.capacity.observe(characters, size)
        for text, windows in made:
            for window in windows:
                job.flow.add(len(window.ids), _Piece(job, text, window))
            if not windows:
                self._finish(job, text)

    def _run_batch(self) -> None:
        batch = [piece for piece in self._schedule.next_batch(self._most) if piece.job.begin()]
        if not batch:
            return
        began = time.perf_counter()
        try:
            run_windows(self._engine, [piece.window for piece in batch])
        except BaseException as error:
            self._run_apart(batch, error)
        else:
            longest = max(len(piece.window.ids) for piece in batch)
            self.capacity.learn(len(batch) * longest, time.perf_counter() - began)
        for piece in batch:
            piece.text.waiting -= 1
            if not piece.text.waiting and not piece.job.future.done():
                self._finish(piece.job, piece.text)

    def _run_apart(self, batch: Sequence[_Piece], error: BaseException) -> None:
        """Run the windows of each job by themselves: one of them made the batch fail, and the others are not to blame."""
        jobs = dict.fromkeys(piece.job for piece in batch)
        for job in jobs:
            with self._failing(job):
                if len(jobs) == 1:
                    raise error
                run_windows(self._engine, [piece.window for piece in batch if piece.job is job])

    def _most(self, length: int) -> int:
        """How many windows of some length make a batch."""
        most, tokens = most_windows(self._engine, length), self.capacity.batch_tokens
        return most if tokens is None else min(most, max(1, int(tokens // length)))

    def _finish(self, job: Job, text: _Text) -> None:
        """Annotate a text whose windows have been run."""
        with self._failing(job):
            if len(text.pending.tokens) > _LONG:
                self._second.submit(self._aside, job, lambda: self._annotate(job, text))
                return
            job.add(text.number, to_fields(annotated(self._engine, text.pending)))
            self._end(job)

    def _annotate(self, job: Job, text: _Text) -> None:
        """Annotate a long text, in the second thread."""
        record = to_fields(annotated(self._engine, text.pending))

        def added() -> None:
            job.add(text.number, record)
            self._end(job)

        self._calls.put((job, added))

    def _end(self, job: Job, error: BaseException | None = None) -> None:
        """End a job with an error, or if it is complete."""
        if job.future.done() or job.end(error):
            self._schedule.remove(job.flow)

    @contextmanager
    def _failing(self, job: Job) -> Iterator[None]:
        """End a job with whatever is raised."""
        try:
            yield
        except BaseException as error:  # a panic of a library in Rust is no Exception
            self._end(job, _as_exception(error))


def _tokens(made: Sequence[tuple[_Text, list[Window]]]) -> int:
    return sum(len(window.ids) for _, windows in made for window in windows)


def _timed(engine: Engine, windows: Sequence[Window]) -> float:
    began = time.perf_counter()
    run_windows(engine, windows)
    return time.perf_counter() - began


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(str(error))
