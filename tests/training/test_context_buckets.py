"""Which texts are joined: each once in an epoch, others in each epoch, as many batches as without joining."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ie_cli.modeling.batch import Numbers, single_numbers
from ie_cli.recipe.context import ContextSection
from ie_cli.training.batching import TaskMixture, TasksInTurn
from ie_cli.training.context_buckets import ContextBuckets, Extent
from ie_cli.training.encoded_dataset import EncodedDataset
from ie_cli.training.sampling import Steps, TasksAtRandom, TasksTogether
from ie_cli.training.shares import SharedSteps


@dataclass
class Measured:
    """In the place of a dataset: the lengths of rows and what else their order depends on."""

    lengths: npt.NDArray[np.int32]
    with_text: npt.NDArray[np.bool_]
    negative: npt.NDArray[np.bool_]
    documents: npt.NDArray[np.int64]
    prefix: int = 1
    suffix: int = 1
    asked: list[list[Numbers]] = field(default_factory=list)

    @classmethod
    def of(cls, lengths: list[int], *, windows: dict[int, int] | None = None, negative: int = 0) -> Measured:
        """Rows of these lengths; some documents have several, and the first ones no gold items."""
        windows = windows or {}
        documents: list[int] = []
        while len(documents) < len(lengths):
            number = documents[-1] + 1 if documents else 0
            documents += [number] * windows.get(number, 1)
        numbers = np.array(documents[: len(lengths)], dtype=np.int64)
        alone = np.array([windows.get(number, 1) == 1 for number in numbers.tolist()], dtype=bool)
        return cls(np.array(lengths, np.int32), alone, np.arange(len(lengths)) < negative, numbers)

    def sampler(self, *, gap: int = 1, longest: int = 60, **options: Any) -> ContextBuckets:
        batches = {
            name: options.pop(name) for name in ("batch_size", "batch_tokens", "negatives", "seed") if name in options
        }
        section = ContextSection(**options)
        made = cast(EncodedDataset, self)
        return ContextBuckets(made, section, gap=gap, longest=longest, **{"batch_size": 4, **batches})


def groups(sampler: ContextBuckets) -> list[tuple[int, ...]]:
    return [sample for sample in chain.from_iterable(sampler) if isinstance(sample, tuple)]


ORDERS = st.sampled_from(["neighbours", "random"])


@given(
    lengths=st.lists(st.integers(2, 40), min_size=1, max_size=60),
    order=ORDERS,
    share=st.sampled_from([0.0, 0.3, 1.0]),
    texts=st.integers(2, 5),
    batches=st.sampled_from([{"batch_size": 1}, {"batch_size": 7}, {"batch_tokens": 70}]),
    windows=st.dictionaries(st.integers(0, 20), st.integers(2, 3), max_size=3),
)
def test_an_epoch_draws_every_row_once(
    lengths: list[int],
    order: Literal["neighbours", "random"],
    share: float,
    texts: int,
    batches: dict[str, int],
    windows: dict[int, int],
) -> None:
    data = Measured.of(lengths, windows=windows)
    sampler = data.sampler(order=order, share=share, texts=texts, seed=5, **batches)
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        drawn = list(sampler)
        assert len(drawn) == len(sampler)
        assert sorted(single_numbers(chain.from_iterable(drawn))) == list(range(len(lengths)))
        for group in groups(sampler):
            assert 2 <= len(group) <= texts
            assert share > 0
            assert data.with_text[list(group)].all()
            assert sum(lengths[row] - 2 for row in group) + len(group) - 1 <= 60
            if order == "neighbours":
                assert np.diff(data.documents[list(group)]).tolist() == [1] * (len(group) - 1)
        for batch in drawn:
            assert batch
            longest = max(
                sum(lengths[row] - 2 for row in single_numbers([s])) + len(single_numbers([s])) + 1 for s in batch
            )
            if "batch_tokens" in batches:
                assert len(batch) * longest <= batches["batch_tokens"] or len(batch) == 1
            else:
                assert len(single_numbers(batch)) <= batches["batch_size"] + texts - 1 + batches["batch_size"] // 2


@pytest.mark.parametrize("order", ["neighbours", "random"])
def test_the_share_of_joined_texts_is_that_of_the_recipe(order: str) -> None:
    data = Measured.of([10] * 4000)
    for share in (0.0, 0.25, 0.5, 1.0):
        joined = len(single_numbers(groups(data.sampler(order=order, share=share, texts=4))))
        assert joined / 4000 == pytest.approx(share, abs=0.04)
    sizes = np.bincount([len(group) for group in groups(data.sampler(order=order, share=1.0, texts=4))])
    assert sizes[2:] == pytest.approx([sizes.sum() / 3] * 3, rel=0.15)


@example(count=401, seed=0)
@given(count=st.integers(40, 900), seed=st.integers(0, 99))
def test_the_number_of_steps_is_that_without_joining(count: int, seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(3, 25, count).tolist()
    sampler = Measured.of(lengths).sampler(share=0.7, texts=4, seed=seed, batch_size=8)
    steps = set()
    for epoch in range(3):
        sampler.set_epoch(epoch)
        steps.add(len(sampler))
        sentences = [len(single_numbers(batch)) for batch in sampler]
        assert max(sentences) <= 8 + 4
    assert steps == {-(-len(lengths) // 8)}


@pytest.mark.parametrize("order", ["neighbours", "random"])
def test_epochs_join_other_texts_and_seeds_repeat(order: str) -> None:
    def draw(seed: int, epoch: int) -> list[list[Numbers]]:
        sampler = Measured.of([10] * 50).sampler(order=order, share=1.0, texts=2, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert draw(1, 3) == draw(1, 3)
    assert draw(1, 3) != draw(2, 3)
    pairs = {sample for epoch in range(8) for batch in draw(1, epoch) for sample in batch if isinstance(sample, tuple)}
    assert len(pairs) > 45  # of the 49 pairs of neighbours, not only those that begin at even places


def test_texts_without_gold_are_drawn_by_their_share() -> None:
    sampler = Measured.of([10] * 100, negative=60).sampler(share=1.0, negatives=0.5)
    drawn = single_numbers(chain.from_iterable(sampler))
    assert len(set(drawn)) == len(drawn) == 70
    assert set(drawn) >= set(range(60, 100))


def test_buckets_pad_little() -> None:
    random = np.random.default_rng(0)
    lengths = random.integers(5, 60, 3000)
    sampler = Measured.of(lengths.tolist()).sampler(gap=0, longest=250, share=0.6, texts=4, batch_size=16)
    tokens = padded = 0
    for batch in sampler:
        sizes = [
            int(lengths[single_numbers([sample])].sum() - 2 * len(single_numbers([sample])) + 2) for sample in batch
        ]
        tokens, padded = tokens + sum(sizes), padded + len(sizes) * max(sizes)
    assert padded < 1.1 * tokens


@pytest.mark.parametrize("batches", [{"batch_size": 6}, {"batch_tokens": 130}])
def test_the_heaviest_batch_holds_the_longest_samples(batches: dict[str, int]) -> None:
    sampler = Measured.of([20] * 30 + [50] * 3).sampler(share=1.0, texts=3, gap=0, longest=60, **batches)
    heaviest = sampler.heaviest()
    sizes = [
        50 if sample[0] >= 30 else 18 * len(sample) + 2
        for sample in ((s if isinstance(s, tuple) else (s,)) for s in heaviest)
    ]
    assert sizes[0] == max(sampler.sizes.tolist()) == 56
    if "batch_size" in batches:
        assert len(single_numbers(heaviest)) == 6
    else:
        assert len(heaviest) == 130 // sizes[0]


def test_the_extent_is_that_of_nearly_all_samples() -> None:
    data = Measured.of([10] * 600 + [50])
    assert data.sampler(share=1.0, texts=4).extent() == Extent(texts=4, tokens=4 * 8 + 3)
    assert data.sampler(share=0.0).extent() == Extent(texts=1, tokens=8)


@dataclass
class Numbered:
    """In the place of a task's windows: a batch is the task's name with its samples."""

    task: str
    count: int

    def __len__(self) -> int:
        return self.count

    def batch(self, samples: list[Numbers]) -> Any:
        return self.task, samples


@pytest.mark.parametrize("kind", [TasksInTurn, TasksAtRandom, TasksTogether])
def test_each_of_several_tasks_has_its_own_joined_texts(kind: type[TasksInTurn]) -> None:
    mixture = TaskMixture({"a": Numbered("a", 30), "b": Numbered("b", 20)})  # type: ignore[dict-item]
    samplers = [Measured.of([10] * 30).sampler(share=1.0), Measured.of([10] * 20).sampler(share=1.0, order="random")]
    sampler = kind(samplers, mixture.first, seed=3)
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        found: dict[str, list[Numbers]] = {"a": [], "b": []}
        for shares in SharedSteps(sampler, mixture.first):
            for task, samples in Steps(mixture).__getitems__(shares):  # type: ignore[misc]
                found[task] += samples
        expected = {name: list(chain.from_iterable(own)) for name, own in zip("ab", samplers, strict=True)}
        for name, samples in found.items():
            first = samples[: len(expected[name])]
            assert first == expected[name][: len(samples)]
            assert any(isinstance(sample, tuple) for sample in first)
