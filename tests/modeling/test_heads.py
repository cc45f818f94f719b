"""The laws of DESIGN, over every head: padding, emptiness, precision; round trip and learning are in test_train."""

from __future__ import annotations

import inspect
from typing import get_args

import numpy as np
import pytest
import torch
from support.references import rotation

from ie_cli.codecs.factors import LabelFactors, SharedFactors
from ie_cli.modeling.heads import HEADS
from ie_cli.modeling.losses.factorised import Gold
from ie_cli.recipe.schema import Head

HIDDEN, LABELS = 16, 3
SIZES = {"gplinker": (LABELS, 4)}
TABLES = [("efficient_global_pointer", 0), ("global_pointer", 0), ("gplinker", 0), ("gplinker", 1), ("gplinker", 2)]


def build(name: str, table: int = 0, *, rope: bool = True) -> torch.nn.Module:
    """The scorer of one table of a head."""
    torch.manual_seed(0)
    return HEADS[name](HIDDEN, *SIZES.get(name, (LABELS,)), head_size=8, rope=rope).scorers[table]


def test_every_table_of_every_head_is_tested() -> None:
    built = {name: HEADS[name](HIDDEN, *SIZES.get(name, (LABELS,))) for name in HEADS}
    assert [(name, table) for name, head in built.items() for table in range(len(head.scorers))] == TABLES


def dense_scores(head: torch.nn.Module, hidden: torch.Tensor) -> np.ndarray:
    """``[batch, labels, L, L]`` put together from the factors."""
    parts = []
    for part in head.factors(hidden):  # type: ignore[operator]
        if isinstance(part, SharedFactors):
            return part.pair[:, None] + part.start[..., None] + part.end[:, :, None]
        assert isinstance(part, LabelFactors)
        parts.append(part.query @ part.key.swapaxes(2, 3))
    return np.concatenate(parts, axis=1)


def test_the_table_the_recipe_and_the_signatures_agree() -> None:
    sections = {get_args(s.model_fields["name"].annotation)[0]: s for s in get_args(get_args(Head)[0])}
    assert sections.keys() == HEADS.keys()
    for name, section in sections.items():
        options = {
            p.name: p.default for p in inspect.signature(HEADS[name]).parameters.values() if p.kind is p.KEYWORD_ONLY
        }
        assert options.keys() <= section.model_fields.keys()
        for option, default in options.items():
            assert section.model_fields[option].default == default


@pytest.mark.parametrize("rope", [True, False])
def test_efficient_scores_are_the_formula(rope: bool) -> None:
    head = build("efficient_global_pointer", rope=rope).double()
    hidden = torch.randn(1, 5, HIDDEN, dtype=torch.float64)
    x = head.projection(hidden)[0]
    bias = (x @ head.bias.weight.T + head.bias.bias) / 2
    for i in range(5):
        for j in range(5):
            q, k = x[i, :8], x[j, 8:]
            if rope:
                q, k = rotation(i, 8) @ q, rotation(j, 8) @ k
            for r in range(LABELS):
                expected = q @ k / 8**0.5 + bias[i, r] + bias[j, LABELS + r]
                assert dense_scores(head, hidden)[0, r, i, j] == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize(("name", "table"), TABLES)
def test_a_sentence_scores_the_same_beside_a_longer_one(name: str, table: int) -> None:
    head = build(name, table)
    hidden = torch.randn(1, 5, HIDDEN)
    longer = torch.cat([torch.cat([hidden, torch.randn(1, 4, HIDDEN)], dim=1), torch.randn(1, 9, HIDDEN)])
    beside = dense_scores(head, longer)[:1, :, :5, :5]
    np.testing.assert_allclose(beside, dense_scores(head, hidden), atol=1e-5)


@pytest.mark.parametrize(("name", "table"), TABLES)
def test_padding_changes_no_loss(name: str, table: int) -> None:
    head = build(name, table)
    hidden = torch.randn(1, 5, HIDDEN)
    padded = torch.cat([hidden, 100 * torch.randn(1, 4, HIDDEN)], dim=1)
    mask = torch.tensor([[False, True, True, True, False]])
    wide = torch.cat([mask, torch.zeros(1, 4, dtype=torch.bool)], dim=1)
    cells = torch.tensor([[0, 1, 1, 3]])
    short = head.loss(hidden, mask, Gold.build(cells, mask))  # type: ignore[operator]
    long = head.loss(padded, wide, Gold.build(cells, wide))  # type: ignore[operator]
    torch.testing.assert_close(short, long)


@pytest.mark.parametrize(("name", "table"), TABLES)
def test_without_annotation_the_loss_is_finite_and_pushes_down(name: str, table: int) -> None:
    head = build(name, table)
    mask = torch.tensor([[True] * 5, [False] * 5])
    none = Gold.build(torch.zeros(0, 4, dtype=torch.int64), mask)
    hidden = torch.randn(2, 5, HIDDEN)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(300):
        loss = head.loss(hidden, mask, none)  # type: ignore[operator]
        assert torch.isfinite(loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scores = dense_scores(head, hidden)[0]
    assert scores[:, np.triu_indices(5)[0], np.triu_indices(5)[1]].max() < 0


@pytest.mark.parametrize(("name", "table"), TABLES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_encoders_give_finite_losses_and_gradients(name: str, table: int, dtype: torch.dtype) -> None:
    head = build(name, table)
    hidden = (torch.randn(2, 6, HIDDEN) * 30).to(dtype).requires_grad_()
    mask = torch.ones(2, 6, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = head.loss(hidden, mask, Gold.build(torch.tensor([[0, 1, 2, 3]]), mask))  # type: ignore[operator]
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert hidden.grad is not None
    assert torch.isfinite(hidden.grad).all()


@pytest.mark.parametrize(("name", "table"), [pair for pair in TABLES if pair[1] == 0])
def test_order_is_seen_with_rotary_positions_only(name: str, table: int) -> None:
    hidden = torch.randn(1, 1, HIDDEN).expand(1, 6, HIDDEN)
    turned = dense_scores(build(name, table), hidden)[0, 0]
    flat = dense_scores(build(name, table, rope=False), hidden)[0, 0]
    assert np.ptp(turned) > 1e-3
    np.testing.assert_allclose(flat, flat[0, 0], atol=1e-5)
