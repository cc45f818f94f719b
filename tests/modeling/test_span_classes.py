"""The loss over the classes of spans: its value and its gradients are those of a dense form, in any number of blocks."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.heads import HIDDEN, built, codec_of_head
from support.references import drawn_sides, gold_entries, rotation, within_sides
from torch.utils._python_dispatch import TorchDispatchMode

from ie_cli.codecs.base import Decoding
from ie_cli.data.label_schema import LabelSchema
from ie_cli.errors import DataError
from ie_cli.inference.backends.torch import TorchOutputs
from ie_cli.modeling.losses import span_classes
from ie_cli.modeling.losses.factorised import Gold
from ie_cli.modeling.losses.span_classes import ClassFactors, require_one_label, span_class_loss

SIZE = 4


def one_label(entries: torch.Tensor) -> torch.Tensor:
    """Keep one label of each span."""
    by_span = {(sample, i, j): label for sample, label, i, j in entries.tolist()}
    kept = [[sample, label, i, j] for (sample, i, j), label in by_span.items()]
    return torch.tensor(kept, dtype=torch.int64).reshape(-1, 4)


def dense(
    factors: list[torch.Tensor],
    sides: tuple[torch.Tensor, torch.Tensor],
    entries: torch.Tensor,
    weights: torch.Tensor,
) -> torch.Tensor:
    """Compute the cross-entropy of each span in turn, with the score 0 for the class "none"."""
    first, last, weight, start, end = factors
    scores = torch.einsum("bid,rde,bje->bijr", first, weight, last) + start[:, :, None] + end.transpose(1, 2)[:, None]
    gold = {(sample, i, j): label for sample, label, i, j in entries.tolist()}
    total = 0 * sum(factor.sum() for factor in factors)
    for sample, i, j in sides[0][:, :, None].logical_and(sides[1][:, None]).nonzero().tolist():
        if i <= j:
            classes = torch.cat([scores.new_zeros(1), scores[sample, i, j]])
            label = gold.get((sample, i, j))
            share = weights.mean() if label is None else weights[label]
            total = total - share * classes.log_softmax(0)[0 if label is None else label + 1]
    return total / len(first)


def draw(seed: int, labels: int, length: int, scale: float) -> tuple[torch.Generator, list[torch.Tensor], torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    shapes = ((2, length, SIZE), (2, length, SIZE), (labels, SIZE, SIZE), (2, length, labels), (2, labels, length))
    factors = [(torch.randn(shape, generator=random) * scale).requires_grad_() for shape in shapes]
    return random, factors, torch.rand(2, length, generator=random) < 0.8


@given(
    seed=st.integers(0, 10**6),
    labels=st.integers(1, 5),
    length=st.integers(1, 8),
    kind=st.sampled_from([(torch.float32, 0.3), (torch.float32, 1.0), (torch.float64, 5.0)]),
    count=st.integers(0, 10),
    block=st.sampled_from([1, 200, 1000, 2**25]),
    limited=st.booleans(),
)
def test_equals_the_dense_form(
    seed: int, labels: int, length: int, kind: tuple[torch.dtype, float], count: int, block: int, limited: bool
) -> None:
    dtype, scale = kind
    random, drawn, mask = draw(seed, labels, length, scale)
    fast = [x.detach().to(dtype).requires_grad_() for x in drawn]
    exact = [x.detach().double().requires_grad_() for x in fast]
    entries = one_label(gold_entries(random, mask, labels, count, upper=True))
    weights = torch.rand(labels, generator=random) + 0.5
    sides = drawn_sides(random, mask) if limited else (mask, mask)
    gold = Gold.build(within_sides(entries, sides), mask, sides=sides if limited else None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(span_classes, "BLOCK_BYTES", block)
        loss = span_class_loss(ClassFactors(*fast), mask, gold, weights=weights)
        loss.backward()
    reference = dense(exact, sides, gold.entries, weights.double())
    reference.backward()
    assert loss >= 0
    precision = 1e-10 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(loss.double(), reference, rtol=precision, atol=precision)
    for x, y in zip(fast, exact, strict=True):
        assert x.grad is not None
        assert y.grad is not None
        tolerance = precision * float(y.grad.abs().max().clamp_min(1.0))
        torch.testing.assert_close(x.grad.double(), y.grad, rtol=10 * precision, atol=tolerance)


@given(seed=st.integers(0, 10**6), score=st.floats(-200, 200), other=st.floats(-200, 200))
def test_a_confident_span_loses_no_precision(seed: int, score: float, other: float) -> None:
    """The loss of one gold span is log(1 + e^-s), also where e^-s is far below the resolution of s."""
    zero = torch.zeros(1, 1, 2)
    start = torch.tensor([[[score, other]]], dtype=torch.float32)
    mask = torch.ones(1, 1, dtype=torch.bool)
    factors = ClassFactors(zero, zero, torch.zeros(2, 2, 2), start, torch.zeros(1, 2, 1))
    loss = span_class_loss(factors, mask, Gold.build(torch.tensor([[0, 0, 0, 0]]), mask))
    own, rest = start[0, 0].double()
    rest = torch.logaddexp(rest, torch.zeros_like(rest))
    exact = torch.logaddexp(rest - own, torch.zeros_like(rest))
    assert float(loss) == pytest.approx(float(exact), rel=1e-4, abs=1e-37)


def test_gradients_pass_through_a_following_factor() -> None:
    _, factors, mask = draw(0, 3, 5, 1.0)
    gold = Gold.build(torch.zeros(0, 4, dtype=torch.int64), mask)
    single = torch.autograd.grad(span_class_loss(ClassFactors(*factors), mask, gold), factors)
    double = torch.autograd.grad(2 * span_class_loss(ClassFactors(*factors), mask, gold), factors)
    for one, two in zip(single, double, strict=True):
        torch.testing.assert_close(2 * one, two)


def test_evaluation_computes_no_gradient() -> None:
    _, factors, mask = draw(0, 3, 5, 1.0)
    none = torch.zeros(0, 4, dtype=torch.int64)
    fixed = [factor.detach() for factor in factors]
    loss = span_class_loss(ClassFactors(*fixed), mask, Gold.build(none, mask))
    assert not loss.requires_grad
    reference = dense([factor.double() for factor in fixed], (mask, mask), none, torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(loss.double(), reference, rtol=1e-5, atol=1e-5)


def test_a_span_with_two_labels_is_an_error() -> None:
    mask = torch.ones(2, 4, dtype=torch.bool)
    gold = Gold.build(torch.tensor([[1, 0, 2, 3], [1, 2, 2, 3], [0, 0, 2, 3]]), mask)
    with pytest.raises(DataError, match=r"the span \(sample, first, last\) = \[1, 2, 3\] has several labels"):
        require_one_label(gold)
    with pytest.raises(DataError, match="has several labels"):
        built("biaffine").collate({"entities": gold.entries}, mask)  # type: ignore[operator]


@pytest.mark.parametrize("rope", [True, False])
def test_scores_are_the_formula(rope: bool) -> None:
    """The scores are differences of the paper's scores, with a class of its own for "none"."""
    head: Any = built("biaffine", head_size=8, rope=rope).double()
    scorer = head.tables["entities"]
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    hidden = torch.randn(1, 5, HIDDEN, dtype=torch.float64)
    first, last = (layer(hidden[0]) for layer in (scorer.start, scorer.end))
    weight = torch.cat([scorer.none_weight[None], scorer.weight])
    linear = torch.cat([scorer.none_linear[None], scorer.linear])
    block = next(scorer.blocks(hidden))
    found = torch.einsum("bid,dre,bje->brij", block["first"], block["weight"], block["last"])
    found += block["start"].transpose(1, 2)[..., None] + block["end"][:, :, None]
    for i in range(5):
        for j in range(5):
            s, e = first[i], last[j]
            if rope:
                s, e = rotation(i, 8) @ s, rotation(j, 8) @ e
            classes = torch.einsum("d,rde,e->r", s, weight, e) / 8**0.5 + linear @ torch.cat([first[i], last[j]])
            torch.testing.assert_close(found[0, :, i, j], classes[1:] + scorer.bias - classes[0], rtol=1e-4, atol=1e-4)


def test_dropout_is_for_training_only() -> None:
    head: Any = built("biaffine", dropout=0.5)
    hidden = torch.randn(1, 5, HIDDEN)
    mask = torch.ones(1, 5, dtype=torch.bool)
    none = head.collate({"entities": torch.zeros(0, 4, dtype=torch.int64)}, mask)
    with torch.no_grad():
        evaluated = [head.losses(hidden, mask, none)["entities"].item() for _ in range(2)]
        trained = [head.train().losses(hidden, mask, none)["entities"].item() for _ in range(2)]
    assert evaluated[0] == evaluated[1]
    assert trained[0] != trained[1]


class Largest(TorchDispatchMode):
    """Records the size of the largest tensor that is computed."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.numbers = max(self.numbers, out.numel())
        return out


def test_many_labels_need_the_memory_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tensor [batch, L, labels, L] of 300 labels would have 4,915,200 numbers."""
    schema = LabelSchema(tuple(f"label {n}" for n in range(300)))
    head: Any = built("biaffine", schema, head_size=16)
    hidden, mask = torch.randn(4, 64, HIDDEN, requires_grad=True), torch.ones(4, 64, dtype=torch.bool)
    gold = head.collate({"entities": torch.tensor([[0, 299, 3, 5], [3, 7, 0, 0]])}, mask)
    monkeypatch.setattr(span_classes, "BLOCK_BYTES", 2**21)  # two lines of scores of each sample and label
    with Largest() as largest:
        head.losses(hidden, mask, gold)["entities"].backward()
    assert hidden.grad is not None
    assert 4 * 64 * 300 < largest.numbers <= 2**21 / 4
    with torch.no_grad(), Largest() as largest:
        head.outputs(hidden)
    assert largest.numbers == 4 * 64 * 300  # no vector for each token and label
    with torch.no_grad():
        head.tables["entities"].bias[299] = 20.0
    decoder = codec_of_head("biaffine", schema).decoder(Decoding())
    decoded = decoder.decode(TorchOutputs(cast(Any, head), hidden.detach()), mask.numpy())
    assert set(decoded.parts["spans"].entries[:, 1]) == {299}
    assert len(decoded.parts["spans"].entries) == 4 * 512
    assert decoded.truncated == {0, 1, 2, 3}
