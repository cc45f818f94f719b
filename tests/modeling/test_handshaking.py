"""The losses of handshaking tagging, compared with dense scores in float64, and the head that uses them."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.heads import HIDDEN, built
from support.references import drawn_sides
from torch import Tensor

from ie_cli.codecs.base import Decoding, build_codec
from ie_cli.data.label_schema import LabelSchema
from ie_cli.errors import DataError
from ie_cli.inference.backends.torch import TorchOutputs
from ie_cli.modeling.heads.tplinker import PRIOR, TPLinkerHead
from ie_cli.modeling.losses import handshaking
from ie_cli.modeling.losses.handshaking import Tagged, Taggers, handshaking_loss
from ie_cli.recipe.heads import TPLinkerSection
from ie_cli.triples import ROLES

SIZE = 3


def dense_losses(left: Tensor, right: Tensor, taggers: Taggers, mask: Tensor, gold: Tagged) -> list[Tensor]:
    """Compute the losses entry by entry, with the softmax of all tags."""
    links = len(taggers.weight) // 4
    tags = {(s, c, i, j) for s, c, i, j in gold.entries.tolist()}
    sums: list[list[Tensor]] = [[0 * left.sum()] for _ in range(3)]
    starts, ends = gold.sides or (mask, mask)
    counted = [(starts, ends), (starts, starts), (ends, ends)]
    for sample, text in enumerate(mask.tolist()):
        tokens = [n for n, there in enumerate(text) if there]
        for i, j in ((i, j) for i in tokens for j in tokens if i <= j):
            scores = taggers.weight @ torch.tanh(left[sample, i] + right[sample, j]) + taggers.bias
            groups = [(0, (0,))] + [
                (1 + m, (1 + m * links + r, 1 + (2 + m) * links + r)) for m in (0, 1) for r in range(links)
            ]
            for loss, columns in groups:
                if not (counted[loss][0][sample, i] and counted[loss][1][sample, j]):
                    continue
                logits = torch.cat([scores.new_zeros(1), scores[list(columns)]])
                true = next((n + 1 for n, c in enumerate(columns) if (sample, c, i, j) in tags), 0)
                sums[loss].append(taggers.share[columns[0]] * (logits.logsumexp(0) - logits[true]))
    return [torch.stack(parts).sum() / len(mask) for parts in sums]


def random_gold(
    random: np.random.Generator, mask: Tensor, links: int, sides: tuple[Tensor, Tensor] | None = None
) -> Tagged:
    starts, ends = sides or (mask, mask)
    counted = {"entities": (starts, ends), "start_links": (starts, starts), "end_links": (ends, ends)}
    found: dict[str, list[list[int]]] = {"entities": [], "start_links": [], "end_links": []}
    taken = set()
    for matrix, entries in found.items():
        for _ in range(5):
            sample = int(random.integers(len(mask)))
            if not mask[sample].any():
                continue
            a, b = random.choice(np.nonzero(mask[sample].numpy())[0], 2).tolist()
            row = (
                [sample, 0, min(a, b), max(a, b)]
                if matrix == "entities"
                else [sample, int(random.integers(links)), a, b]
            )
            if not (counted[matrix][0][sample, min(a, b)] and counted[matrix][1][sample, max(a, b)]):
                continue
            if (matrix, row[0], row[1], min(a, b), max(a, b)) not in taken:  # never both directions
                taken.add((matrix, row[0], row[1], min(a, b), max(a, b)))
                entries.append(row)
    rows = [torch.tensor(entries, dtype=torch.int64).reshape(-1, 4) for entries in found.values()]
    return Tagged.build(rows[0], rows[1], rows[2], mask, links, sides=sides)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    batch=st.integers(1, 3),
    length=st.integers(1, 7),
    links=st.integers(1, 3),
    entries=st.sampled_from([1, 5, 40, 10**6]),
    equal=st.booleans(),
    limited=st.booleans(),
)
def test_losses_and_gradients_are_those_of_dense_scores(
    seed: int, batch: int, length: int, links: int, entries: int, equal: bool, limited: bool
) -> None:
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    mask = torch.rand(batch, length) < 0.8  # with gaps: nothing depends on where the text tokens are
    columns = 1 + 4 * links
    shapes = ((batch, length, SIZE), (batch, length, SIZE), (columns, SIZE), (columns,))
    inputs = [(3 * torch.randn(shape, dtype=torch.float64)).requires_grad_() for shape in shapes]
    each = torch.rand(1 + 2 * links, dtype=torch.float64)
    share = torch.cat([each, each[1:]])
    gold = random_gold(random, mask, links, drawn_sides(torch.default_generator, mask) if limited else None)
    factors = torch.ones(3, dtype=torch.float64) if equal else torch.rand(3, dtype=torch.float64)
    left, right, weight, bias = inputs
    expected = torch.stack(dense_losses(left, right, Taggers(weight, bias, share), mask, gold))
    wanted = torch.autograd.grad((expected * factors).sum(), inputs, allow_unused=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handshaking, "BLOCK_BYTES", entries * (columns + SIZE) * 8)
        losses = torch.stack(handshaking_loss(left, right, Taggers(weight, bias, share), mask, gold))
        grads = torch.autograd.grad((losses * factors).sum(), inputs)
    torch.testing.assert_close(losses, expected)
    for grad, want in zip(grads, wanted, strict=True):
        torch.testing.assert_close(grad, torch.zeros_like(grad) if want is None else want)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.sampled_from([1, 50, 400, 10**6]))
def test_blocks_contain_every_entry_once_and_fit_in_memory(lengths: list[int], entries: int) -> None:
    ends = sorted(lengths, reverse=True)
    seen = np.zeros((len(ends), 40, 40), dtype=np.int64)
    for samples, rows, stop in handshaking._blocks(ends, entries):
        seen[samples, rows, rows.start : stop] += 1
        height, width = rows.stop - rows.start, stop - rows.start
        assert (samples.stop - samples.start) * height * width <= entries or height == samples.stop - samples.start == 1
    for sample, end in enumerate(ends):
        assert (seen[sample][np.triu_indices(40)] <= 1).all()
        assert (seen[sample, :end, :end][np.triu_indices(end)] == 1).all()


def test_large_scores_give_finite_losses_and_gradients() -> None:
    left, right = (torch.full((1, 2, SIZE), 1e3 * sign, requires_grad=True) for sign in (1, 1))
    weight = torch.full((5, SIZE), 1e4, requires_grad=True)
    bias = torch.tensor([1e5, -1e5, 1e5, 0.0, 1e5], requires_grad=True)
    mask = torch.ones(1, 2, dtype=torch.bool)
    none = torch.zeros(0, 4, dtype=torch.int64)
    gold = Tagged.build(none, torch.tensor([[0, 0, 0, 1]]), none, mask, 1)
    losses = handshaking_loss(left, right, Taggers(weight, bias, torch.ones(5)), mask, gold)
    torch.stack(losses).sum().backward()
    assert all(bool(loss.isfinite()) for loss in losses)
    assert all(x.grad is not None and bool(x.grad.isfinite().all()) for x in (left, right, weight, bias))


def test_invalid_gold_is_reported() -> None:
    mask = torch.tensor([[True, True, False]])
    none = torch.zeros(0, 4, dtype=torch.int64)
    forth, back = torch.tensor([[0, 1, 0, 1]]), torch.tensor([[0, 1, 1, 0]])
    with pytest.raises(DataError, match="lies on padding or a special token"):
        Tagged.build(none, torch.tensor([[0, 1, 2, 0]]), none, mask, 2)
    with pytest.raises(DataError, match="has both directions of a link"):
        Tagged.build(none, none, torch.cat([forth, back]), mask, 2)
    assert Tagged.build(none, forth, back, mask, 2).entries.tolist() == [[0, 2, 0, 1], [0, 8, 0, 1]]


@pytest.mark.parametrize("entities_first", [0.0, 0.25, 1.0])
def test_weights_of_the_losses_are_those_of_the_paper(entities_first: float) -> None:
    head = cast(TPLinkerHead, built("tplinker", entities_first=entities_first))
    z, links = 2 * head.links + 1, head.links
    for progress in (0.0, 0.1, 0.25, 0.6, 1.0):
        head.begin_step(progress)
        done = progress / entities_first if entities_first else 1.0
        assert head.loss_weights() == pytest.approx(
            (max(1 / z + 1 - done, 1 / z), min(links / z * done, links / z) / links)
        )


def test_entities_come_first() -> None:
    head = cast(TPLinkerHead, built("tplinker", entities_first=0.5))
    mask = torch.ones(1, 4, dtype=torch.bool)
    row = torch.tensor([[0, 0, 1, 2]])
    gold = head.collate({"entities": row, "start_links": row, "end_links": row}, mask)
    hidden = torch.randn(1, 4, HIDDEN)
    after = head.losses(hidden, mask, gold)
    z = 2 * head.links + 1
    for progress in (0.0, 0.25, 0.5):
        head.begin_step(progress)
        losses = head.losses(hidden, mask, gold)
        done = progress / 0.5
        torch.testing.assert_close(losses["entities"], after["entities"] * z * (1 / z + 1 - done))
        for name in ("start_links", "end_links"):
            torch.testing.assert_close(losses[name], after[name] * done)


def test_tags_are_rare_before_training() -> None:
    head = cast(TPLinkerHead, built("tplinker"))
    outputs = head.outputs(torch.randn(1, 9, HIDDEN))
    for name in ("entities", "start_links", "end_links"):
        assert (outputs[f"{name}.bias"] == PRIOR).all()


def test_three_hundred_predicates_are_trained_and_decoded() -> None:
    schema = LabelSchema(ROLES, tuple(f"p{n}" for n in range(300)))
    head = cast(Any, built("tplinker", schema, head_size=32))
    codec = build_codec(TPLinkerSection(name="tplinker"), schema)
    mask = torch.ones(2, 16, dtype=torch.bool)
    gold = {"entities": [[0, 0, 1, 2], [0, 0, 5, 7]], "start_links": [[0, 299, 5, 1]], "end_links": [[0, 299, 7, 2]]}
    targets = head.collate({name: torch.tensor(rows) for name, rows in gold.items()}, mask)
    hidden = torch.randn(2, 16, HIDDEN)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(30):
        optimizer.zero_grad()
        torch.stack(list(head.losses(hidden, mask, targets).values())).sum().backward()
        optimizer.step()
    found = codec.decoder(Decoding()).decode(TorchOutputs(head, hidden), mask.numpy())
    assert found.parts["links"].entries.tolist() == [[0, 299, 0, 5, 7, 1, 1, 2]]
    assert not found.truncated
