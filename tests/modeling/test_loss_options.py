"""Options of losses: label smoothing, sampled negatives, R-Drop and dropout of the input, against their definitions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.heads import APART, HIDDEN, WINDOW_HEADS, built, codec_of_head, windows_for
from support.references import gold_entries, shared_scores
from torch import Tensor, nn

from ie_cli.errors import ModelError
from ie_cli.modeling.batch import Batch
from ie_cli.modeling.heads.base import Head, Scorer, SpanScorer
from ie_cli.modeling.losses import label_blocks
from ie_cli.modeling.losses.divergence import divergence
from ie_cli.modeling.losses.factorised import Gold, valid_entries
from ie_cli.modeling.losses.label_blocks import LabelScores
from ie_cli.modeling.losses.negative_sampling import sampled
from ie_cli.modeling.losses.options import LossOptions
from ie_cli.modeling.losses.soft_labels import soft_factorised_loss, soft_label_loss
from ie_cli.modeling.model import ExtractionModel
from ie_cli.recipe.heads import HEADS

SPAN_HEADS = [name for name, spec in HEADS.items() if "r_drop" in spec.section.loss_options]


def in_blocks(scores: Tensor) -> LabelScores:
    return LabelScores(scores.shape[1], lambda first, last: scores[:, first:last])


def targets_of(scores: Tensor, valid: Tensor, entries: Tensor, smoothing: float) -> Tensor:
    """The smoothed labels ``[batch, labels, L, L]``, entry by entry."""
    targets = torch.zeros(scores.shape, dtype=torch.float64)
    for sample in range(len(valid)):
        targets[sample] = smoothing / max(1, int(valid[sample].sum()))
    for sample, label, i, j in entries.tolist():
        targets[sample, label, i, j] = 1 - smoothing
    return targets


def soft_loss(scores: Tensor, valid: Tensor, targets: Tensor) -> Tensor:
    """The formula of kexue.fm/archives/9064 on a dense tensor; ``[batch, labels]``."""
    weight = valid[:, None].double()
    positive = (weight * targets * (-scores).exp()).sum((2, 3)).log1p()
    return positive + (weight * (1 - targets) * scores.exp()).sum((2, 3)).log1p()


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    labels=st.integers(1, 4),
    length=st.integers(1, 7),
    scale=st.sampled_from([0.1, 3.0, 20.0]),
    smoothing=st.sampled_from([0.001, 0.1, 0.5, 0.99]),
    upper=st.booleans(),
    in_one_block=st.booleans(),
)
def test_label_smoothing_is_the_soft_form_in_float64(
    seed: int, labels: int, length: int, scale: float, smoothing: float, upper: bool, in_one_block: bool
) -> None:
    random = torch.Generator().manual_seed(seed)
    scores = (torch.randn(2, labels, length, length, generator=random) * scale).requires_grad_()
    mask = torch.rand(2, length, generator=random) < 0.8
    entries = gold_entries(random, mask, labels, 6, upper=upper)
    gold, valid = Gold.build(entries, mask, upper=upper), valid_entries(mask, upper=upper)
    weights = torch.rand(labels, generator=random) + 0.5
    with pytest.MonkeyPatch.context() as patch:
        if not in_one_block:
            patch.setattr(label_blocks, "BLOCK_BYTES", 1)
        loss = soft_label_loss(in_blocks(scores), valid, gold, smoothing=smoothing, weights=weights)
        [gradient] = torch.autograd.grad(loss, [scores])
    exact = scores.detach().double().requires_grad_()
    expected = (soft_loss(exact, valid, targets_of(exact, valid, entries, smoothing)) * weights).sum() / 2
    [wanted] = torch.autograd.grad(expected, [exact])
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient.double(), wanted, rtol=1e-4, atol=1e-5)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    labels=st.integers(1, 4),
    length=st.integers(1, 7),
    scale=st.sampled_from([0.1, 3.0, 20.0, 60.0]),
    smoothing=st.sampled_from([0.001, 0.1, 0.99]),
    count=st.sampled_from([0, 3, 40]),
    upper=st.booleans(),
)
def test_the_factorised_form_is_the_soft_form_in_float64(
    seed: int, labels: int, length: int, scale: float, smoothing: float, count: int, upper: bool
) -> None:
    random = torch.Generator().manual_seed(seed)
    shapes = ((2, length, length), (2, labels, length), (2, labels, length))
    fast = [(torch.randn(shape, generator=random) * scale).requires_grad_() for shape in shapes]
    mask = torch.rand(2, length, generator=random) < 0.8
    entries = gold_entries(random, mask, labels, count, upper=upper)
    gold = Gold.build(entries, mask, upper=upper)
    torch.manual_seed(seed)
    valid = sampled(valid_entries(mask, upper=upper), gold, 1.0)
    weights = torch.rand(labels, generator=random) + 0.5
    pair, start, end = fast
    loss = soft_factorised_loss((pair, start, end), mask, valid, gold, smoothing=smoothing, weights=weights)
    exact = [x.detach().double().requires_grad_() for x in fast]
    scores = shared_scores(*exact)
    each = soft_loss(scores, valid, targets_of(scores, valid, entries, smoothing))
    expected = (each * weights).sum() / 2
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-5)
    for x, y in zip(torch.autograd.grad(loss, fast), torch.autograd.grad(expected, exact), strict=True):
        torch.testing.assert_close(x.double(), y, rtol=1e-4, atol=5e-5)


def test_the_soft_loss_is_smallest_where_the_probabilities_are_the_targets() -> None:
    mask = torch.ones(1, 4, dtype=torch.bool)
    entries = torch.tensor([[0, 0, 1, 2]])
    gold, valid = Gold.build(entries, mask), valid_entries(mask)
    targets = targets_of(torch.zeros(1, 1, 4, 4), valid, entries, 0.2)
    scores = (targets.logit() / 2).requires_grad_()  # σ(2s) = t
    soft_label_loss(in_blocks(scores), valid, gold, smoothing=0.2).backward()  # type: ignore[no-untyped-call]
    assert float(cast(Tensor, scores.grad).abs().max()) < 1e-12


def test_entries_inside_words_do_not_diverge() -> None:
    s, t = torch.randn(2, 2, 3, 4, 4)
    mask = torch.ones(2, 4, dtype=torch.bool)
    sides = (mask.clone(), mask.clone())
    sides[0][:, 1], sides[1][:, 2] = False, False
    changed = t.clone()
    changed[:, :, 1], changed[:, :, :, 2] = 9.0, -9.0
    one, two = (divergence(in_blocks(s), in_blocks(x), mask, sides=sides) for x in (t, changed))
    assert float(one) == pytest.approx(float(two))
    assert float(one) < float(divergence(in_blocks(s), in_blocks(t), mask))


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), labels=st.integers(1, 4), length=st.integers(1, 7), upper=st.booleans())
def test_the_divergence_is_the_mean_of_both_divergences_of_probabilities(
    seed: int, labels: int, length: int, upper: bool
) -> None:
    random = torch.Generator().manual_seed(seed)
    s, t = ((torch.randn(2, labels, length, length, generator=random) * 3).requires_grad_() for _ in range(2))
    mask = torch.rand(2, length, generator=random) < 0.8
    weights = torch.rand(labels, generator=random) + 0.5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_blocks, "BLOCK_BYTES", 1)
        found = divergence(in_blocks(s), in_blocks(t), mask, upper=upper, weights=weights)
        gradients = torch.autograd.grad(found, [s, t])
    a, b = (x.detach().double().requires_grad_() for x in (s, t))
    p, q = a.sigmoid(), b.sigmoid()
    one = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    other = q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()
    each = ((one + other) / 2 * valid_entries(mask, upper=upper)[:, None]).sum((0, 2, 3))
    expected = (each * weights).sum() / 2
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)
    for x, y in zip(gradients, torch.autograd.grad(expected, [a, b]), strict=True):
        torch.testing.assert_close(x.double(), y, rtol=1e-4, atol=1e-6)


def test_sampled_negatives_are_as_many_as_the_tokens_times_lambda_and_gold_always_counts() -> None:
    torch.manual_seed(0)
    mask = torch.ones(2, 30, dtype=torch.bool)
    mask[1, 20:] = False
    gold, valid = Gold.build(torch.tensor([[0, 0, 3, 4], [0, 1, 3, 4], [1, 2, 5, 5]]), mask), valid_entries(mask)
    assert sampled(valid, gold, None) is valid
    draws = torch.stack([sampled(valid, gold, 0.5) for _ in range(200)])
    assert bool(draws[:, 0, 3, 4].all())
    assert bool(draws[:, 1, 5, 5].all())
    assert not bool((draws & ~valid).any())
    others = draws.sum((2, 3)).double().mean(0) - 1
    torch.testing.assert_close(others, torch.tensor([15.0, 10.0], dtype=torch.float64), rtol=0.05, atol=0)
    assert torch.equal(sampled(valid, gold, 1000.0), valid)
    nothing = torch.zeros(2, 30, dtype=torch.bool)
    assert not bool(sampled(valid_entries(nothing), Gold.build(torch.zeros(0, 4).long(), nothing), 0.5).any())


def batch_of(name: str) -> tuple[Head, Batch, Tensor]:
    head = built(name)
    batch = windows_for(name, head, [APART]).batch([0])
    return cast(Head, head), batch, torch.randn(*batch.input_ids.shape, HIDDEN, generator=torch.manual_seed(1))


def scorers(head: Head) -> list[tuple[str, Scorer]]:
    return list(cast(Any, head)._scorers())


@pytest.mark.parametrize("name", SPAN_HEADS)
def test_a_head_has_the_loss_of_its_own_scores(name: str) -> None:
    head, batch, hidden = batch_of(name)
    head.set_loss_options(LossOptions(smoothing=0.1))
    losses = head.losses(hidden, batch.text_mask, batch.targets)
    labels = {matrix: len(names) for matrix, names in codec_of_head(name).matrices.items()}
    for matrix, scorer in scorers(head):
        scores = cast(SpanScorer, scorer).label_scores(hidden).block(0, labels[matrix])
        valid, entries = valid_entries(batch.text_mask, upper=scorer.upper), batch.targets[matrix].entries
        expected = soft_loss(scores.double(), valid, targets_of(scores, valid, entries, 0.1)).sum()
        torch.testing.assert_close(losses[matrix].double(), expected, rtol=1e-5, atol=1e-6)
        head.set_loss_options(LossOptions())
        exact = soft_loss(scores.double(), valid, targets_of(scores, valid, entries, 0.0)).sum()
        plain = head.losses(hidden, batch.text_mask, batch.targets)[matrix]
        torch.testing.assert_close(plain.double(), exact, rtol=1e-5, atol=1e-6)
        head.set_loss_options(LossOptions(smoothing=0.1))


@pytest.mark.parametrize("name", SPAN_HEADS)
def test_a_head_counts_the_sampled_negatives_alone(name: str) -> None:
    head, batch, hidden = batch_of(name)
    head.set_loss_options(LossOptions(negatives=0.5))
    torch.manual_seed(2)
    losses = head.losses(hidden, batch.text_mask, batch.targets)
    torch.manual_seed(2)
    for matrix, scorer in scorers(head):
        gold = batch.targets[matrix]
        valid = valid_entries(batch.text_mask, upper=scorer.upper)
        chosen = sampled(valid, gold, 0.5)
        assert int(chosen.sum()) < int(valid.sum())
        labels = len(codec_of_head(name).matrices[matrix])
        scores = cast(SpanScorer, scorer).label_scores(hidden).block(0, labels)
        expected = soft_loss(scores.double(), chosen, targets_of(scores, chosen, gold.entries, 0.0)).sum()
        torch.testing.assert_close(losses[matrix].double(), expected, rtol=1e-5, atol=1e-6)


def test_the_softmax_over_spans_counts_the_sampled_negatives_alone() -> None:
    head, batch, hidden = batch_of("biaffine")
    [(matrix, scorer)] = scorers(head)
    torch.manual_seed(2)
    chosen = sampled(valid_entries(batch.text_mask), batch.targets[matrix], 0.5)
    head.set_loss_options(LossOptions(negatives=0.5))
    torch.manual_seed(2)
    loss = head.losses(hidden, batch.text_mask, batch.targets)[matrix]
    factors = cast(Any, scorer).factors(hidden)
    scores = torch.einsum("bid,rde,bje->bijr", factors.first, factors.weight, factors.last)
    scores = scores + factors.start[:, :, None] + factors.end.transpose(1, 2)[:, None]
    classes = torch.cat([torch.zeros_like(scores[..., :1]), scores], dim=3).log_softmax(3)
    labels = torch.zeros(scores.shape[:3], dtype=torch.int64)
    sample, label, i, j = batch.targets[matrix].entries.unbind(1)
    labels[sample, i, j] = label + 1
    each = -classes.gather(3, labels[..., None])[..., 0]
    torch.testing.assert_close(loss, (each * chosen).sum())


def test_the_smoothed_softmax_spreads_over_all_tags() -> None:
    head, batch, hidden = batch_of("softmax")
    head.set_loss_options(LossOptions(smoothing=0.2))
    [loss] = head.losses(hidden, batch.text_mask, batch.targets).values()
    logs = cast(Any, head).emissions(hidden).double().log_softmax(2)
    gold = logs.gather(2, batch.targets[..., None])[..., 0]
    each = -(0.8 * gold + 0.2 * logs.mean(2))
    torch.testing.assert_close(loss.double(), each[batch.text_mask].sum(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(HEADS))
def test_a_head_has_the_options_that_its_section_names(name: str) -> None:
    head, supported = cast(Head, built(name)), HEADS[name].section.loss_options
    options = {"label_smoothing": LossOptions(smoothing=0.1), "negative_sampling": LossOptions(negatives=0.5)}
    for field, value in options.items():
        if field in supported:
            head.set_loss_options(value)
        elif name != "biaffine":
            with pytest.raises(ModelError, match="have no options"):
                head.set_loss_options(value)
    if "r_drop" not in supported and name != "biaffine":
        with pytest.raises(ModelError, match="cannot be compared"):
            head.divergences(
                torch.zeros(1, 2, HIDDEN), torch.zeros(1, 2, HIDDEN), torch.ones(1, 2, dtype=torch.bool), None
            )


class Encoder(nn.Module):
    """An encoder whose output is one of some given tensors for every copy of a batch."""

    def __init__(self, *outputs: Tensor) -> None:
        super().__init__()
        self.outputs = [output.clone().requires_grad_() for output in outputs]
        self.rows = list[int]()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        self.rows.append(len(input_ids))
        assert torch.equal(input_ids[: len(input_ids) // len(self.outputs)], input_ids[-len(self.outputs[-1]) :])
        return SimpleNamespace(last_hidden_state=torch.cat(self.outputs))


@pytest.mark.parametrize("name", SPAN_HEADS)
def test_r_drop_is_half_of_the_losses_and_the_divergence_of_two_passes(name: str) -> None:
    head, batch, hidden = batch_of(name)
    other = hidden + torch.randn(hidden.shape) / 10
    encoder = Encoder(hidden, other)
    model = ExtractionModel(encoder, {"task": cast(nn.Module, head)}).train()
    model.r_drop = 3.0
    weights = {matrix: torch.rand(len(names)) + 0.5 for matrix, names in codec_of_head(name).matrices.items()}
    losses = model(batch, {"task": weights})
    assert encoder.rows == [2]  # one pass with both copies
    one, two = (head.losses(x, batch.text_mask, batch.targets, weights) for x in (hidden, other))
    for matrix, scorer in scorers(head):
        scores = cast(SpanScorer, scorer)
        apart = divergence(
            scores.label_scores(hidden),
            scores.label_scores(other),
            batch.text_mask,
            upper=scorer.upper,
            weights=weights[matrix],
        )
        torch.testing.assert_close(losses[f"task.{matrix}"], (one[matrix] + two[matrix] + 3 * apart) / 2)
    sum(losses.values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
    assert all(float(cast(Tensor, x.grad).abs().sum()) > 0 for x in encoder.outputs)


@pytest.mark.parametrize("name", WINDOW_HEADS)
def test_the_input_of_a_head_is_dropped_in_training_alone(name: str) -> None:
    head = built(name, input_dropout=0.5)
    batch = windows_for(name, head, [APART]).batch([0])
    model = ExtractionModel(Encoder(torch.ones(*batch.input_ids.shape, HIDDEN)), {"task": head})
    seen = []
    cast(Any, head).losses = lambda hidden, *_: seen.append(hidden.detach()) or {}
    model.train()(batch)
    model.eval()(batch)
    assert sorted(set(seen[0].flatten().tolist())) == [0.0, 2.0]
    assert 0.3 < float((seen[0] == 0).double().mean()) < 0.7
    assert torch.equal(seen[1], torch.ones_like(seen[1]))
