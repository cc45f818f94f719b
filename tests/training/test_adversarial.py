"""`training.adversarial`: the gradients of the second pass, for every way of computing those of the first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from accelerate.utils import set_seed
from support.two_tasks import LINKS, NAMES, two_tasks
from torch import Tensor, nn

from ie_cli.errors import TrainingError
from ie_cli.modeling.batch import Batch, Replay
from ie_cli.recipe.schema import Recipe
from ie_cli.system.signals import Stop
from ie_cli.training.loop import Run
from ie_cli.training.micro_batching import split
from ie_cli.training.setup import prepare
from ie_cli.training.techniques.adversarial import FastGradient

EPSILON = 0.5
WORDS = "encoder.embeddings.word_embeddings.weight"


def begin(made: Recipe, directory: Path) -> Run:
    set_seed(3)
    setup = prepare(made)
    setup.model.double()
    run = Run.start(made, setup, directory / "run", stop=Stop())
    run.model.train()
    return run


def some_batches(run: Run, count: int) -> list[tuple[Batch, ...]]:
    return [batches for _, batches in zip(range(count), run._batches(), strict=False)]


def gradients(run: Run, steps: Sequence[tuple[Batch, ...]]) -> dict[str, Tensor]:
    """The gradients of a step before they are clipped."""
    found: dict[str, Tensor] = {}

    def clip() -> Tensor:
        found.update({name: p.grad.clone() for name, p in run.setup.model.named_parameters() if p.grad is not None})
        return torch.ones(())

    run._clip = clip  # type: ignore[method-assign]
    for step in steps:
        run._step(step)
    return found


def by_definition(model: nn.Module, batches: Sequence[tuple[Batch, float]]) -> dict[str, Tensor]:
    """The sum of the gradients of both passes over some batches, each times a factor, by plain autograd."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    words = model.get_parameter(WORDS)
    total: dict[str, Tensor] = {}

    def once(batch: Batch, factor: float) -> Mapping[str, Tensor]:
        losses = sum(model(batch).values(), torch.zeros(()))
        found = dict(zip(names, torch.autograd.grad(losses, parameters, allow_unused=True), strict=True))
        for name, gradient in found.items():
            if gradient is not None:
                total[name] = total.get(name, torch.zeros_like(gradient)) + factor * gradient
        return found

    for batch, factor in batches:
        g, before = once(batch, factor)[WORDS], words.detach().clone()
        with torch.no_grad():
            words.add_(EPSILON * g / g.norm())
        once(batch, factor)
        with torch.no_grad():
            words.copy_(before)
    return total


def assert_close(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        scale = float(other[name].abs().max())
        torch.testing.assert_close(one[name], other[name], rtol=1e-5, atol=1e-6 * scale + 1e-12, msg=name)


@pytest.mark.parametrize("balance", ["sum", {"name": "weights", "weights": {NAMES: 3.0}}])
def test_accumulated_batches_have_both_passes_each_with_its_own_move(balance: Any, tmp_path: Path) -> None:
    made = two_tasks(tmp_path, dropout=0.0, balance=balance, accumulation=2, adversarial=EPSILON)
    run = begin(made, tmp_path)
    steps = some_batches(run, 2)
    factors = run.balancer.weights if balance != "sum" else {}  # type: ignore[attr-defined]
    whole = [(batch, 0.5 * factors.get(batch.task, 1.0)) for step in steps for batch in step]
    words = run.setup.model.get_parameter(WORDS).detach().clone()
    expected = by_definition(run.setup.model, whole)
    assert_close(gradients(run, steps), expected)
    # AdamW moves a weight by its learning rate at most, and the embeddings were moved farther in between.
    after = run.setup.model.get_parameter(WORDS).detach()
    assert float((after - words).abs().max()) < 3 * made.training.learning_rate


def test_each_part_of_a_batch_is_moved_along_its_own_gradient(tmp_path: Path) -> None:
    run = begin(two_tasks(tmp_path, dropout=0.0, adversarial=EPSILON), tmp_path)
    [[batch]] = some_batches(run, 1)
    run.micro_batching.parts = 2
    parts = [(part, len(part) / len(batch)) for part in split(batch, 2)]
    expected = by_definition(run.setup.model, parts)
    assert_close(gradients(run, [(batch,)]), expected)


def test_the_gradients_that_a_balancer_combines_are_those_of_both_passes(tmp_path: Path) -> None:
    made = two_tasks(tmp_path, dropout=0.0, balance="min_norm", accumulation=2, adversarial=EPSILON)
    run = begin(made, tmp_path)
    steps = some_batches(run, 2)
    wanted = {
        task: by_definition(run.setup.model, [(batch, 0.5) for step in steps for batch in step if batch.task == task])
        for task in (NAMES, LINKS)
    }
    found: dict[str, Tensor] = {}
    at = [name for name, _ in run.setup.model.encoder.named_parameters()].index(WORDS.removeprefix("encoder."))

    def finish() -> None:
        found.update({task: cast(Any, run.balancer)._gradients[task][at].clone() for task in (NAMES, LINKS)})

    run.balancer.finish_step = finish  # type: ignore[method-assign]
    gradients(run, steps)
    assert_close(found, {task: one[WORDS] for task, one in wanted.items()})


class Table(nn.Module):
    """A model that consists of word embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Embedding(3, 2)
        self.encoder = self

    def get_input_embeddings(self) -> nn.Module:
        return self.weight


def passes(compute: Callable[[Tensor], Tensor], **options: Any) -> tuple[Tensor, Tensor]:
    """Return the embeddings before, and after two passes with a loss of the embeddings."""
    model, technique = Table(), FastGradient(EPSILON)
    technique.wrap_model(model)
    before = model.weight.weight.detach().clone()

    def once(batch: Batch) -> Tensor:
        loss = compute(model.weight.weight)
        loss.backward()
        return loss.detach()

    try:
        technique.compute_gradients(cast(Batch, options.get("batch", _plain())), once)
    finally:
        after = model.weight.weight.detach()
        assert torch.equal(after, before)
    return before, cast(Tensor, model.weight.weight.grad)


def _plain() -> Batch:
    empty = torch.zeros(1, 1, dtype=torch.long)
    return Batch(
        task="t",
        input_ids=empty,
        attention_mask=empty,
        text_mask=empty,
        entries={},
        collate=lambda *_: None,
        targets=None,
        documents=[0],
    )


def test_a_gradient_of_0_moves_nothing() -> None:
    _, gradient = passes(lambda weight: (0 * weight).sum())
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_the_embeddings_are_restored_after_an_error() -> None:
    calls = []

    def fails(weight: Tensor) -> Tensor:
        calls.append(weight.detach().clone())
        if len(calls) == 2:
            raise torch.OutOfMemoryError
        return weight.pow(2).sum()

    with pytest.raises(torch.OutOfMemoryError):
        passes(fails)
    assert float((calls[1] - calls[0]).norm()) == pytest.approx(EPSILON)


def test_a_comparison_of_pairs_cannot_be_computed_in_parts() -> None:
    batch = replace(_plain(), replay=Replay({}, {}))
    with pytest.raises(TrainingError, match="cannot compute a batch in parts") as caught:
        passes(lambda weight: weight.sum(), batch=batch)
    assert caught.value.hint == "lower training.batch_size."
