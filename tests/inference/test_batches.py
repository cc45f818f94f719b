"""Batches that are launched ahead: the same predictions, and a GPU that computes while the CPU decodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.heads import PAIR_HEADS, WINDOW_HEADS, schema_of_head
from support.pair_engines import TEXT, extractor_of
from torch import Tensor

from ie_cli.document import Document
from ie_cli.inference.backends import torch as torch_backend
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import TrainedTask
from ie_cli.inference.pipeline import Engine, extract
from ie_cli.modeling.device_queue import InOrder

HEADS = [*WINDOW_HEADS, *PAIR_HEADS]
TEXTS = st.text(TEXT, max_size=50)
PAIRS = st.lists(st.builds(Document, TEXTS, text_pair=st.none() | TEXTS), min_size=1, max_size=12)


class Unfinished(InOrder):
    """A queue whose tensors have no values yet when they are handed over: only in the right context, they do."""

    ahead = 1

    def __init__(self) -> None:
        self.events: list[str] = []
        self._handed: list[list[tuple[Tensor, Tensor]]] = []

    def hand_over(self, tensors: Iterable[Tensor]) -> Any:
        self._handed.append([(tensor, tensor.clone()) for tensor in tensors])
        number = len(self._handed) - 1
        self.events.append(f"launch {number}")
        self._fill(number, finished=False)
        return number

    def _fill(self, number: int, *, finished: bool) -> None:
        with torch.inference_mode():
            for tensor, values in self._handed[number]:
                tensor.copy_(values if finished else torch.full_like(values, float("nan")))

    @contextmanager
    def after(self, mark: Any) -> Iterator[None]:
        if self.events[-1] != f"decode {mark}":
            self.events.append(f"decode {mark}")
        self._fill(mark, finished=True)
        yield
        self._fill(mark, finished=False)

    def bring(self, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        return {name: array.copy() for name, array in super().bring(tensors).items()}


def model_of(name: str) -> Extractor:
    """A model with a head, beside one that finds spans, so that there are windows and pairs."""
    tasks = {"first": ({"name": name}, TrainedTask(schema_of_head(name)))}
    if name in PAIR_HEADS:
        tasks["second"] = ({"name": "global_pointer"}, TrainedTask(schema_of_head("global_pointer")))
    return extractor_of(tasks)


MODELS = {name: model_of(name) for name in HEADS}


def predicted(engine: Engine, documents: list[Document]) -> list[Any]:
    found = list(extract(engine, documents))
    return [
        (
            [(e, e.score) for e in d.entities],
            [(r, r.score, r.subject.score, r.object.score) for r in d.relations],
            d.label,
            d.score,
        )
        for d in found
    ] + [engine.counts]


@pytest.mark.parametrize("name", HEADS)
@settings(max_examples=12, deadline=None)
@given(documents=PAIRS, size=st.integers(1, 5), lookahead=st.integers(1, 12), ahead=st.integers(1, 4))
def test_predictions_do_not_depend_on_what_is_launched_ahead(
    name: str, documents: list[Document], size: int, lookahead: int, ahead: int
) -> None:
    """Neither do they read anything before the device is done with it."""

    def engine(ahead: int) -> Engine:
        made = MODELS[name].engine(batch_size=size, threshold=0.3, split="never")
        return replace(made, ahead=ahead, lookahead=lookahead)

    plain = predicted(engine(0), documents)
    assert predicted(engine(ahead), documents) == plain
    queue = Unfinished()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_backend, "queue_of", lambda device: queue)
        assert predicted(engine(ahead), documents) == plain
        assert predicted(engine(0), documents) == plain


def test_a_batch_is_launched_before_the_one_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Unfinished()
    monkeypatch.setattr(torch_backend, "queue_of", lambda device: queue)
    engine = MODELS["gplinker"].engine(batch_size=2, split="never")
    assert engine.ahead == 1
    list(extract(engine, [Document("王伟在青川")] * 7))
    assert queue.events == [
        "launch 0", "launch 1", "decode 0", "launch 2", "decode 1", "launch 3", "decode 2", "decode 3",
    ]  # fmt: skip


def test_a_cpu_decodes_each_batch_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = MODELS["gplinker"].engine(batch_size=2, split="never")
    assert engine.ahead == 0
    queue = Unfinished()
    monkeypatch.setattr(torch_backend, "queue_of", lambda device: queue)
    list(extract(engine, [Document("王伟在青川")] * 5))
    assert queue.events == ["launch 0", "decode 0", "launch 1", "decode 1", "launch 2", "decode 2"]


class Clock:
    """A backend with a clock instead of a GPU: launching takes 1, computing `computing`, and decoding `decoding`."""

    ahead = 1

    def __init__(self, backend: Any, *, computing: int, decoding: int) -> None:
        self._backend, self._computing, self._decoding = backend, computing, decoding
        self.now = self._device_is_free_at = 0

    def run(self, ids: Any, mask: Any) -> Any:
        self.now += 1
        self._device_is_free_at = max(self._device_is_free_at, self.now) + self._computing
        ready, outputs = self._device_is_free_at, self._backend.run(ids, mask)

        class Timed:
            def matrix(timed, name: str) -> Any:  # noqa: N805
                self.now = max(self.now, ready) + self._decoding
                return outputs["first"].matrix(name)

        return {"first": Timed()}


@pytest.mark.parametrize(("computing", "decoding"), [(10, 4), (4, 10)])
def test_the_time_is_that_of_the_slower_of_computing_and_decoding(computing: int, decoding: int) -> None:
    batches, times = 20, []
    for ahead in (0, 1):
        engine = MODELS["global_pointer"].engine(batch_size=2, split="never")
        clock = Clock(engine.backend, computing=computing, decoding=decoding)
        list(extract(replace(engine, backend=clock, ahead=ahead), [Document("王伟在青川")] * 2 * batches))
        times.append(clock.now)
    assert times[0] == batches * (1 + computing + decoding)
    assert times[1] <= batches * (max(computing, 1 + decoding)) + 1 + min(computing, decoding) + 1
