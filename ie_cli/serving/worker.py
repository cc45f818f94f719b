"""The thread that runs the model: windows of all active requests share its batches.

The texts of a request are tokenised and split into windows; `schedule` chooses the windows of each batch; a text is
annotated when all its windows have been run; a request is answered after its last text. A second thread tokenises and
annotates long texts, so that the model does not wait for them.
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
from ie_cli.errors import counted
from ie_cli.formats.jsonl import to_fields
from ie_cli.inference.batches import max_windows, run_windows
from ie_cli.inference.pipeline import Counts, Engine, Pending, Window, merge_windows, split_windows, tokenise
from ie_cli.serving.capacity import BATCH_SECONDS, Capacity
from ie_cli.serving.schedule import Flow, Schedule

_SLICE = 2**12  # characters tokenised at once; smaller requests do not use the second thread
_SAMPLE = 2**11  # characters of a larger request from which its tokens are estimated
_LONG = 2**12  # tokens from which a text is annotated in the second thread


class Busy(Exception):
    """All slots are taken, or the active requests leave no time for another one.

    Attributes:
        seconds: time after which to retry.
    """

    def __init__(self, error: str, seconds: float = 1.0) -> None:
        super().__init__(error)
        self.seconds = seconds


class Abandoned(Exception):
    """The client no longer waits for the answer."""


def at_capacity(slots: int) -> str:
    """Return the error for a request that exceeds the number of slots."""
    return f"{counted(slots, 'request is', 'requests are')} running or queued, which is the limit"


@dataclass(slots=True, eq=False)
class _Text:
    """A text whose windows are being run, and the number of those still waiting."""

    number: int
    pending: Pending
    waiting: int


class Job:
    """The texts of one request, and their records in the native format.

    Args:
        texts: the texts.
        tokens: estimated number of tokens.
    """

    def __init__(self, texts: Sequence[Document], tokens: float) -> None:
        self.future: Future[list[dict[str, Any]]] = Future()
        self.characters = sum(map(size_of, texts))
        self.flow: Flow[_ScheduledWindow] = Flow(tokens)
        self._density = tokens / max(1, self.characters)
        self._texts = iter(enumerate(texts))
        self._records: list[dict[str, Any]] = [{}] * len(texts)
        self._left = len(texts)

    def begin(self) -> bool:
        """Mark the job as running; return whether the client still waits for it."""
        return self.future.running() or (not self.future.done() and self.future.set_running_or_notify_cancel())

    def next_texts(self) -> list[tuple[int, Document]]:
        """Return some texts that have not been tokenised, with their numbers; an empty list at the end."""
        texts: list[tuple[int, Document]] = []
        size = 0
        for number, text in self._texts:
            texts.append((number, text))
            size += size_of(text)
            if size >= _SLICE:
                break
        return texts

    def correct(self, characters: int, tokens: int) -> None:
        """Replace the estimate for some of the text by its number of tokens."""
        self.flow.remaining += tokens - characters * self._density

    def add(self, number: int, record: dict[str, Any]) -> None:
        """Store the record of a text."""
        self._records[number] = record
        self._left -= 1

    def end(self, error: BaseException | None = None) -> bool:
        """End the job with the error, or with the records if it is complete; return whether it has ended."""
        if error is None and self._left:
            return False
        if self.begin():
            if error is None:
                self.future.set_result(self._records)
            else:
                self.future.set_exception(error)
        return True


@dataclass(frozen=True, slots=True, eq=False)
class _ScheduledWindow:
    """A window in the schedule, with its job and text."""

    job: Job
    text: _Text
    window: Window


class Worker:
    """The threads, and slots for running and queued requests.

    Args:
        engine: what predicts.
        slots: number of slots; each is taken until the work has ended, even if the client no longer waits.
        seconds: time limit for an answer.
    """

    def __init__(self, engine: Engine, *, slots: int, seconds: float) -> None:
        self._engine, self._slots = engine, slots
        self.capacity = Capacity(seconds)
        self._calls: SimpleQueue[tuple[Job, Callable[[], object]] | None] = SimpleQueue()
        self._schedule: Schedule[_ScheduledWindow] = Schedule()
        self._jobs: set[Job] = set()
        self._second = ThreadPoolExecutor(max_workers=1, thread_name_prefix="texts")
        self._thread = Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @property
    def needs_pairs(self) -> bool:
        """Whether every task compares two texts."""
        return self._engine.needs_pairs

    @property
    def busy(self) -> bool:
        """Whether all slots are taken."""
        return len(self._jobs) >= self._slots

    def submit(self, texts: Sequence[str | Document]) -> Job:
        """Queue the texts or pairs of a request; call this from one thread only.

        Raises:
            Busy: all slots are taken, or the active requests leave no time for so much text.
            TooMuch: the request could not be answered in time even if it were the only one.
        """
        if self.busy:
            raise Busy(at_capacity(self._slots))
        documents = [Document(text) if isinstance(text, str) else text for text in texts]
        job = Job(documents, self._estimate(documents))
        self.capacity.require_time(job.flow.remaining, job.characters)
        wait = self.capacity.wait(job.flow.remaining, [other.flow.remaining for other in list(self._jobs)])
        if wait is not None:
            raise Busy("the active requests leave no time to answer this one within the time limit", wait)
        self._jobs.add(job)
        job.future.add_done_callback(lambda _: self._jobs.discard(job))
        self._calls.put((job, lambda: self._enter(job)))
        return job

    def _estimate(self, texts: Sequence[Document]) -> float:
        """Estimate the number of tokens in some texts; if they are long, from a sample, because languages differ."""
        characters = sum(map(size_of, texts))
        if characters <= _SLICE:
            return self.capacity.tokens(characters)
        sample: list[tuple[int, Document]] = []
        left = _SAMPLE
        for text in texts:
            if left <= 0:
                break
            second = None if text.text_pair is None else text.text_pair[:left]
            sample.append((len(sample), Document(text.text[:left], text_pair=second)))
            left -= size_of(text)
        try:
            size, prepared = self._tokenise(sample)
        except BaseException as error:
            raise _as_exception(error) from error
        return characters * _count_tokens(prepared) / size

    def cancel(self, job: Job) -> None:
        """Cancel a job; if it is running, it ends after the current batch."""
        job.future.cancel()
        self._calls.put((job, lambda: self._end(job, Abandoned())))

    def calibrate(self) -> None:
        """Measure the speed of the model before the first request, after one batch to warm up."""
        engine = replace(self._engine, counts=Counts(), splitter=None)  # a full window, not a sentence
        text = "王伟 lives in Paris. " * engine.plan.capacity
        windows = split_windows(engine, tokenise(engine, [Document(text, text_pair=text)]))[:1]
        if not windows:
            return
        length = len(windows[0].ids)
        run_windows(engine, windows)
        while (seconds := _time_batch(engine, windows)) < BATCH_SECONDS / 2 and 2 * len(windows) <= max_windows(
            engine, length
        ):
            windows *= 2
        for duration in (seconds, _time_batch(engine, windows), _time_batch(engine, windows)):
            self.capacity.measure(len(windows) * length, duration)

    def close(self) -> None:
        """Cancel all jobs and wait for the threads, for one batch at most."""
        for job in list(self._jobs):
            self.cancel(job)
        self._calls.put(None)
        self._thread.join()
        self._second.shutdown(cancel_futures=True)

    # The methods below run in the model thread, which alone changes jobs and the schedule, unless they say otherwise.

    def _work(self) -> None:
        while True:
            while self._calls.qsize() or not self._schedule.ready:
                call = self._calls.get()
                if call is None:
                    return
                job, work = call
                with self._ending_on_error(job):
                    work()
            try:
                self._run_batch()
            except BaseException as error:  # not due to one request; the thread must survive to answer later ones
                for job in list(self._jobs):
                    self._end(job, _as_exception(error))

    def _enter(self, job: Job) -> None:
        if job.future.done():
            return
        self._schedule.add(job.flow)
        if job.characters <= _SLICE:
            while texts := job.next_texts():
                self._schedule_texts(job, *self._tokenise(texts))
            self._end(job)  # a request may have no texts
        else:
            self._second.submit(self._in_second_thread, job, lambda: self._prepare(job))

    def _in_second_thread(self, job: Job, work: Callable[[], None]) -> None:
        """Do some work for a job in the second thread; an error ends the job."""
        try:
            if not job.future.done():
                work()
        except BaseException as error:  # a panic in Rust code is not an Exception
            problem = _as_exception(error)
            self._calls.put((job, lambda: self._end(job, problem)))

    def _prepare(self, job: Job) -> None:
        """Tokenise some texts of a job in the second thread; the rest is queued behind other jobs."""
        if texts := job.next_texts():
            found = self._tokenise(texts)
            self._calls.put((job, lambda: self._schedule_texts(job, *found)))
            self._second.submit(self._in_second_thread, job, lambda: self._prepare(job))

    def _tokenise(self, texts: Sequence[tuple[int, Document]]) -> tuple[int, list[tuple[_Text, list[Window]]]]:
        """Return the number of characters in some texts, and the texts with their windows."""
        prepared = []
        all_pending = tokenise(self._engine, [text for _, text in texts])
        for (number, _), pending in zip(texts, all_pending, strict=True):
            windows = split_windows(self._engine, [pending])
            prepared.append((_Text(number, pending, len(windows)), windows))
        return sum(size_of(text) for _, text in texts), prepared

    def _schedule_texts(self, job: Job, characters: int, prepared: Sequence[tuple[_Text, list[Window]]]) -> None:
        """Add the windows of some texts of a job to the schedule."""
        if job.future.done():
            return
        tokens = _count_tokens(prepared)
        job.correct(characters, tokens)
        self.capacity.observe(characters, tokens)
        for text, windows in prepared:
            for window in windows:
                job.flow.add(len(window.ids), _ScheduledWindow(job, text, window))
            if not windows:
                self._finish(job, text)

    def _run_batch(self) -> None:
        batch = [piece for piece in self._schedule.next_batch(self._max_windows) if piece.job.begin()]
        if not batch:
            return
        start = time.perf_counter()
        try:
            run_windows(self._engine, [piece.window for piece in batch])
        except BaseException as error:
            self._run_separately(batch, error)
        else:
            longest = max(len(piece.window.ids) for piece in batch)
            self.capacity.learn(len(batch) * longest, time.perf_counter() - start)
        for piece in batch:
            piece.text.waiting -= 1
            if not piece.text.waiting and not piece.job.future.done():
                self._finish(piece.job, piece.text)

    def _run_separately(self, batch: Sequence[_ScheduledWindow], error: BaseException) -> None:
        """Run the windows of each job separately after a batch failed, so that only the job that causes the error fails."""
        jobs = dict.fromkeys(piece.job for piece in batch)
        for job in jobs:
            with self._ending_on_error(job):
                if len(jobs) == 1:
                    raise error
                run_windows(self._engine, [piece.window for piece in batch if piece.job is job])

    def _max_windows(self, length: int) -> int:
        """Return the maximum number of windows of a length in a batch."""
        limit, tokens = max_windows(self._engine, length), self.capacity.batch_tokens
        return limit if tokens is None else min(limit, max(1, int(tokens // length)))

    def _finish(self, job: Job, text: _Text) -> None:
        """Annotate a text after its last window has been run."""
        with self._ending_on_error(job):
            if len(text.pending.tokens) > _LONG:
                self._second.submit(self._in_second_thread, job, lambda: self._annotate(job, text))
                return
            job.add(text.number, to_fields(merge_windows(self._engine, text.pending)))
            self._end(job)

    def _annotate(self, job: Job, text: _Text) -> None:
        """Annotate a long text in the second thread."""
        record = to_fields(merge_windows(self._engine, text.pending))

        def added() -> None:
            job.add(text.number, record)
            self._end(job)

        self._calls.put((job, added))

    def _end(self, job: Job, error: BaseException | None = None) -> None:
        """End a job if there is an error or the job is complete."""
        if job.future.done() or job.end(error):
            self._schedule.remove(job.flow)

    @contextmanager
    def _ending_on_error(self, job: Job) -> Iterator[None]:
        """End a job with any error that is raised."""
        try:
            yield
        except BaseException as error:  # a panic in Rust code is not an Exception
            self._end(job, _as_exception(error))


def size_of(document: Document) -> int:
    """Return the number of characters in a text, or in both texts of a pair."""
    return len(document.text) + len(document.text_pair or "")


def _count_tokens(prepared: Sequence[tuple[_Text, list[Window]]]) -> int:
    return sum(len(window.ids) for _, windows in prepared for window in windows)


def _time_batch(engine: Engine, windows: Sequence[Window]) -> float:
    start = time.perf_counter()
    run_windows(engine, windows)
    return time.perf_counter() - start


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(str(error))
