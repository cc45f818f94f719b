"""The thread of the model: the same records as `extract`, whoever shares the batches; errors and time stay with their request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import stub_serve
from support.waiting import until

from ie_cli.document import Document
from ie_cli.encoding.windows import WindowPlan
from ie_cli.formats.jsonl import to_fields
from ie_cli.inference.pipeline import extract
from ie_cli.inference.splitting import Splitter
from ie_cli.serving import worker as module
from ie_cli.serving.capacity import TooMuch
from ie_cli.serving.worker import Abandoned, Busy, Worker

TEXTS = st.text(st.sampled_from("王伟a👩 "), max_size=40)
SECONDS = 20


@pytest.fixture
def backend() -> stub_serve.Backend:
    return stub_serve.Backend(SECONDS)


@pytest.fixture
def worker(backend: stub_serve.Backend) -> Iterator[Worker]:
    made = Worker(stub_serve.engine(backend), slots=100, seconds=SECONDS)
    yield made
    backend.go.set()
    made.close()


def expected(texts: list[str]) -> list[dict[str, Any]]:
    engine = stub_serve.engine(stub_serve.Backend())
    return [to_fields(document) for document in extract(engine, map(Document, texts))]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(TEXTS, max_size=5), min_size=1, max_size=5), st.sampled_from([2**12, 8]))
def test_records_are_those_of_extract_whoever_shares_the_batches(requests: list[list[str]], small: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SLICE", small)  # with 8 characters the second thread does most of it
        patch.setattr(module, "_LONG", small)
        worker = Worker(stub_serve.engine(stub_serve.Backend()), slots=100, seconds=SECONDS)
        jobs = [worker.submit(texts) for texts in requests]
        assert [job.future.result(SECONDS) for job in jobs] == [expected(texts) for texts in requests]
        until(lambda: not worker._jobs)
        worker.close()


def test_texts_are_cut_as_by_extract() -> None:
    engine = replace(stub_serve.engine(stub_serve.Backend()), splitter=Splitter("sentences"))
    texts = ["王伟a。王。伟。 王伟！", "王伟", "", "。"]
    worker = Worker(engine, slots=100, seconds=SECONDS)
    try:
        found = worker.submit(texts).future.result(SECONDS)
    finally:
        worker.close()
    assert found == [to_fields(document) for document in extract(engine, map(Document, texts))]
    assert [len(record["entities"]) for record in found] == [2, 1, 0, 0]
    assert engine.counts.cut == 2


def test_requests_that_wait_share_a_batch(worker: Worker, backend: stub_serve.Backend) -> None:
    first = worker.submit(["慢"])
    assert backend.begun.wait(SECONDS)
    others = [worker.submit(["王伟"]) for _ in range(4)]
    backend.go.set()
    for job in (first, *others):
        job.future.result(SECONDS)
    assert [len(batch) for batch in backend.batches] == [1, 2, 2]  # two windows a batch


def test_a_short_text_overtakes_a_long_one(worker: Worker, backend: stub_serve.Backend) -> None:
    long = worker.submit(["慢" + "王伟" * 3000])
    assert backend.begun.wait(SECONDS)
    done_first = []
    short = worker.submit(["王伟"])
    short.future.add_done_callback(lambda _: done_first.append(not long.future.done()))
    backend.go.set()
    assert short.future.result(SECONDS) == expected(["王伟"])
    assert long.future.result(SECONDS) == expected(["慢" + "王伟" * 3000])
    assert done_first == [True]
    alone = [2, *(stub_serve.TOKENS.index(char) for char in "王伟"), 3]
    [place] = [n for n, batch in enumerate(backend.batches) if any(row[:4] == alone for row in batch)]
    assert place <= 2  # of some 500


def test_an_error_affects_only_its_own_request(worker: Worker, backend: stub_serve.Backend) -> None:
    first = worker.submit(["慢"])
    assert backend.begun.wait(SECONDS)
    good, bad = worker.submit(["王伟"]), worker.submit(["坏伟"])
    backend.go.set()
    assert first.future.result(SECONDS)
    assert good.future.result(SECONDS) == expected(["王伟"])
    with pytest.raises(RuntimeError, match="broken by"):
        bad.future.result(SECONDS)
    assert any(len(batch) == 2 for batch in backend.batches)  # they did share one


def test_an_error_in_the_second_thread_ends_the_request(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        """What a library in Rust raises is no Exception."""

    def broken(texts: list[str]) -> None:
        raise Panic("broken")

    monkeypatch.setattr(worker._engine.tokenizer, "encode", broken)
    for texts in (["x"], ["x" * 10_000]):
        with pytest.raises(RuntimeError, match="broken"):
            worker.submit(texts).future.result(SECONDS)
    until(lambda: not worker._jobs)


def test_if_no_thread_can_be_started_the_request_ends_and_the_model_continues(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(worker._second, "submit", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            worker.submit(["王" * 10_000]).future.result(SECONDS)
        patch.setattr(module, "_LONG", 1)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            worker.submit(["王伟"]).future.result(SECONDS)
    assert worker.submit(["王伟"]).future.result(SECONDS) == expected(["王伟"])
    until(lambda: not worker._jobs)


def test_an_error_outside_requests_ends_active_ones_and_the_model_continues(
    worker: Worker, backend: stub_serve.Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(most: object) -> None:
        raise MemoryError("broken")

    first = worker.submit(["慢"])
    assert backend.begun.wait(SECONDS)
    with monkeypatch.context() as patch:
        patch.setattr(worker._schedule, "next_batch", broken)
        others = [worker.submit(["王伟"]), worker.submit(["王" * 10_000])]
        backend.go.set()
        assert first.future.result(SECONDS)
        for job in others:
            with pytest.raises(MemoryError, match="broken"):
                job.future.result(SECONDS)
    assert worker.submit(["王伟"]).future.result(SECONDS) == expected(["王伟"])
    until(lambda: not worker._jobs)


def test_cancelled_requests_are_not_run(worker: Worker, backend: stub_serve.Backend) -> None:
    first = worker.submit(["慢" + "王" * 100])
    assert backend.begun.wait(SECONDS)
    waiting = worker.submit(["伟" * 10_000])
    worker.cancel(waiting)
    worker.cancel(first)
    assert waiting.future.cancelled()
    assert not first.future.done()  # its batch is running
    backend.go.set()
    with pytest.raises(Abandoned):
        first.future.result(SECONDS)
    assert worker.submit(["王伟"]).future.result(SECONDS) == expected(["王伟"])
    assert len(backend.batches) <= 3


def test_time_decides_what_is_taken(worker: Worker, backend: stub_serve.Backend) -> None:
    worker.capacity.measure(200, 1.0)  # tokens, seconds
    with pytest.raises(TooMuch):
        worker.submit(["王" * 10_000])
    slow = worker.submit(["慢" * 500])
    assert backend.begun.wait(SECONDS)
    worker.submit(["王" * 500])
    with pytest.raises(Busy) as busy:
        worker.submit(["王" * 1500])
    assert busy.value.seconds > 0
    short = worker.submit(["王伟"])  # it goes first
    backend.go.set()
    assert short.future.result(SECONDS)
    assert slow.future.result(SECONDS)


def test_a_large_request_is_judged_by_its_own_text(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A language with few tokens for its characters is not refused for ever because none of it was taken before."""
    worker.capacity.measure(200, 1.0)  # 2800 tokens in time
    with pytest.raises(TooMuch) as error:
        worker.submit(["王" * 10_000])
    assert 1500 < error.value.characters < 2000  # windows overlap
    encode = worker._engine.tokenizer.encode
    monkeypatch.setattr(worker._engine.tokenizer, "encode", lambda texts: encode([text[::8] for text in texts]))
    sparse = worker.submit(["王" * 10_000])
    assert sparse.future.result(SECONDS)
    assert sparse.flow.remaining == pytest.approx(0)


def test_the_speed_is_measured_before_the_first_request(worker: Worker, backend: stub_serve.Backend) -> None:
    worker.calibrate()
    assert worker.capacity.max_characters is not None
    assert backend.batches
    assert worker._engine.counts.windows == 0
    assert worker.submit(["王伟"]).future.result(SECONDS) == expected(["王伟"])


def test_the_speed_is_that_of_full_windows_even_if_texts_are_cut(backend: stub_serve.Backend) -> None:
    engine = replace(stub_serve.engine(backend), splitter=Splitter("sentences"), plan=WindowPlan(60, 8))
    worker = Worker(engine, slots=9, seconds=SECONDS)
    try:
        worker.calibrate()
    finally:
        worker.close()
    full = engine.plan.capacity + engine.tokenizer.special_tokens
    assert {len(row) for batch in backend.batches for row in batch} == {full}


def test_closing_ends_what_waits(backend: stub_serve.Backend) -> None:
    worker = Worker(stub_serve.engine(backend), slots=9, seconds=SECONDS)
    jobs = [worker.submit(["慢"]), *(worker.submit(["王" * 10_000]) for _ in range(3))]
    assert backend.begun.wait(SECONDS)
    closing = threading.Thread(target=worker.close)
    closing.start()
    backend.go.set()
    closing.join(SECONDS)
    assert not closing.is_alive()
    assert all(job.future.done() for job in jobs)
