"""Properties of the heads for pairs of texts, as test_heads.py has them for windows, and their formulas."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from support.heads import CLASSES, GRADES, HIDDEN, PAIR_HEADS, built, codec_of_head, windows_for
from support.pair_corpora import pair_documents
from torch import Tensor

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.inference.backends.onnx import OnnxOutputs
from ie_cli.inference.backends.torch import TorchOutputs
from ie_cli.modeling.batch import Batch
from ie_cli.modeling.heads.base import Head
from ie_cli.modeling.heads.pairs import PairTargets
from ie_cli.modeling.transfer import transfer_head

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *(
        (name, {"pooling": pooling})
        for name in ("cosent", "sbert", "infersent")
        for pooling in ("cls", "mean", "first_last")
    ),
    ("cross_encoder", {}),
    ("cross_encoder", {"loss": "cosent"}),
]
every_variant = pytest.mark.parametrize(("name", "options"), VARIANTS)
every_schema = pytest.mark.parametrize("schema", [CLASSES, GRADES], ids=["classes", "grades"])


def head_of(name: str, options: dict[str, Any], schema: LabelSchema = CLASSES) -> Head:
    return cast(Head, built(name, schema, **options))


def batch_for(head: Head, name: str, schema: LabelSchema, documents: list[Document]) -> Batch:
    return windows_for(name, cast(torch.nn.Module, head), documents, schema=schema).batch(range(len(documents)))


def gold(schema: LabelSchema, count: int = 12) -> list[Document]:
    if schema.grades is not None:
        return pair_documents(count, graded=True)
    return [
        Document(pair.text, text_pair=pair.text_pair, label=schema.labels[int(pair.label or 0)])
        for pair in pair_documents(count, classes=3)
    ]


def states(batch: Batch, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random outputs of the last and the first layer."""
    generator = torch.Generator().manual_seed(seed)
    last, first = torch.randn(2, *batch.input_ids.shape, HIDDEN, generator=generator)
    return last, first


def losses(head: Head, batch: Batch, last: Tensor, first: Tensor, weights: Any = None) -> dict[str, Tensor]:
    read = head.read(last, batch.attention_mask, first if head.needs_first_layer else None)
    return head.losses(read, batch.text_mask, batch.targets, weights)


@every_variant
@every_schema
def test_one_loss_that_is_positive_and_learns(name: str, options: dict[str, Any], schema: LabelSchema) -> None:
    head = head_of(name, options, schema)
    batch = batch_for(head, name, schema, gold(schema))
    assert len(batch) == 12
    assert len(batch.input_ids) == 12 * batch.rows
    assert torch.equal(batch.text_mask, batch.attention_mask)
    last, first = (part.requires_grad_() for part in states(batch))
    parameters = [last, first, *cast(torch.nn.Module, head).parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.05)
    values = []
    for _ in range(150):
        [loss] = losses(head, batch, last, first).values()
        assert loss.shape == ()
        assert loss >= 0
        values.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    lowest = 0.0  # of the cross-entropy of shares, the least is their entropy
    if schema.grades is not None and name in ("infersent", "cross_encoder") and "loss" not in options:
        shares = batch.targets.shares
        lowest = float(torch.nn.functional.binary_cross_entropy(shares, shares))
    assert values[-1] - lowest < 0.1 * (values[0] - lowest)


@every_variant
def test_outputs_are_what_is_read_or_asked_for(name: str, options: dict[str, Any]) -> None:
    codec, head = codec_of_head(name, **options), head_of(name, options)
    batch = batch_for(head, name, CLASSES, gold(CLASSES, 3))
    last, first = states(batch)
    read = head.read(last, batch.attention_mask, first if head.needs_first_layer else None)
    assert read.dtype == torch.float32
    assert read.shape[0] == len(batch.input_ids)
    [(output, tensor)] = head.outputs(read).items()
    assert torch.equal(tensor, read)
    classes = len(codec.matrices["pairs"]) or 1
    assert (output, tensor.shape[1]) == (
        ("pairs.logits", classes) if codec.reads == "pair" else ("pairs.vector", HIDDEN)
    )
    torch_outputs = TorchOutputs(head, read)
    graph = OnnxOutputs(
        {name: part.numpy() for name, part in head.outputs(read.detach()).items()}, "", torch_outputs.query
    )
    for row in range(len(read)):
        one, other = (np.stack(list(codec.scores(source, row, np.arange(3)))) for source in (torch_outputs, graph))
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, read[row : row + 1].detach().numpy())
    assert set(head.queries) <= set(codec.matrices)


def test_infersent_predicts_what_it_has_learned() -> None:
    head = head_of("infersent", {})
    documents = gold(CLASSES, 6)
    batch = batch_for(head, "infersent", CLASSES, documents)
    read = head.read(*states(batch)[:1], batch.attention_mask, None)
    first = torch.arange(0, 12, 2)
    logits = head.query("pairs", read, {"first": first, "second": first + 1})["logits"]
    loss = torch.nn.functional.cross_entropy(logits, batch.targets.levels.long())
    torch.testing.assert_close(loss, head.losses(read, batch.text_mask, batch.targets)["pairs"])
    assert logits.shape == (6, 3)
    turned = head.query("pairs", read, {"first": first + 1, "second": first})["logits"]
    assert not torch.equal(turned, logits)  # u and v have weights of their own


@pytest.mark.parametrize("pooling", ["cls", "mean", "first_last"])
def test_pooling_is_the_formula_whatever_the_padding(pooling: str) -> None:
    head = head_of("cosent", {"pooling": pooling})
    last, first = torch.randn(2, 3, 7, HIDDEN)
    mask = torch.arange(7) < torch.tensor([7, 4, 1])[:, None]
    read = head.read(last, mask, first if pooling == "first_last" else None)
    for row, length in enumerate((7, 4, 1)):
        own, lowest = last[row, :length], first[row, :length]
        expected = {"cls": own[0], "mean": own.mean(0), "first_last": (own + lowest).mean(0) / 2}[pooling]
        torch.testing.assert_close(read[row], expected)


@every_variant
def test_padding_changes_no_loss(name: str, options: dict[str, Any]) -> None:
    head = head_of(name, options)
    batch = batch_for(head, name, CLASSES, gold(CLASSES))
    last, first = states(batch)
    wider = [torch.cat([part, 100 * torch.randn(len(part), 4, HIDDEN)], dim=1) for part in (last, first)]
    mask = torch.cat([batch.attention_mask, torch.zeros(len(last), 4, dtype=torch.bool)], dim=1)
    read = head.read(wider[0], mask, wider[1] if head.needs_first_layer else None)
    [(key, long)] = head.losses(read, mask, batch.targets).items()
    torch.testing.assert_close(long, losses(head, batch, last, first)[key])


@pytest.mark.parametrize(
    ("name", "options", "schema"),
    [("cosent", {}, CLASSES), ("cosent", {}, GRADES), ("sbert", {}, GRADES)],
)
def test_a_cosine_is_the_same_for_a_swapped_pair(name: str, options: dict[str, Any], schema: LabelSchema) -> None:
    head, documents = head_of(name, options, schema), gold(schema)
    batch = batch_for(head, name, schema, documents)
    read = head.read(states(batch)[0], batch.attention_mask, None)
    swapped = read.reshape(-1, 2, HIDDEN).flip(1).reshape(-1, HIDDEN)
    found = [head.losses(part, batch.text_mask, batch.targets)["pairs"] for part in (read, swapped)]
    torch.testing.assert_close(*found)


def test_the_order_of_the_pairs_of_a_batch_does_not_matter() -> None:
    for name, options in VARIANTS:
        head, documents = head_of(name, options), gold(CLASSES)
        windows = windows_for(name, cast(torch.nn.Module, head), documents, schema=CLASSES)
        order = np.random.default_rng(0).permutation(len(documents))
        batch, shuffled = windows.batch(range(len(documents))), windows.batch(order.tolist())
        assert shuffled.targets.levels.tolist() == batch.targets.levels[order].tolist()
        rows = (order[:, None] * batch.rows + np.arange(batch.rows)).ravel()
        last, first = states(batch)
        one = losses(head, batch, last, first)["pairs"]
        torch.testing.assert_close(losses(head, shuffled, last[rows], first[rows])["pairs"], one)


@every_variant
@every_schema
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_finite_losses_in_float32(
    name: str, options: dict[str, Any], schema: LabelSchema, dtype: torch.dtype
) -> None:
    head = head_of(name, options, schema)
    batch = batch_for(head, name, schema, gold(schema))
    last, first = ((part * 30).to(dtype).requires_grad_() for part in states(batch))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        [loss] = losses(head, batch, last, first).values()
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert last.grad is not None
    assert last.grad.isfinite().all()


@pytest.mark.parametrize(
    ("name", "options"), [v for v in VARIANTS if v[0] != "cosent" and v[1].get("loss") != "cosent"]
)
def test_weights_are_by_class(name: str, options: dict[str, Any]) -> None:
    head = head_of(name, options)
    batch = batch_for(head, name, CLASSES, gold(CLASSES))
    last, first = states(batch)
    plain = losses(head, batch, last, first)["pairs"]
    for factor in (1.0, 0.0, 2.5):
        weighted = losses(head, batch, last, first, {"pairs": torch.full((3,), factor)})["pairs"]
        torch.testing.assert_close(weighted, factor * plain)
    one = sum(losses(head, batch, last, first, {"pairs": torch.eye(3)[n]})["pairs"] for n in range(3))
    torch.testing.assert_close(one, plain)


def test_losses_are_additive_where_the_head_says_so() -> None:
    for name, options in VARIANTS:
        head = head_of(name, options)
        batch = batch_for(head, name, CLASSES, gold(CLASSES))
        last, first = states(batch)
        whole = losses(head, batch, last, first)["pairs"]
        parts = []
        for begin, end in ((0, 4), (4, 12)):
            part = batch.part(begin, end)
            assert part.rows == batch.rows
            rows, length = slice(begin * batch.rows, end * batch.rows), part.input_ids.shape[1]
            parts.append(losses(head, part, last[rows, :length], first[rows, :length])["pairs"] * (end - begin) / 12)
        assert torch.isclose(sum(parts[1:], parts[0]), whole, rtol=1e-5).item() == head.additive
        assert head.additive == (name != "cosent" and options.get("loss") != "cosent")


def test_one_level_alone_has_nothing_to_rank() -> None:
    for name, options in (("cosent", {}), ("cross_encoder", {"loss": "cosent"})):
        head = head_of(name, options)
        read = torch.randn(4, HIDDEN if name == "cosent" else 1, requires_grad=True)
        levels = torch.ones(4 if name == "cross_encoder" else 2)
        loss = head.losses(read, torch.ones(4, 1, dtype=torch.bool), PairTargets(levels, levels))["pairs"]
        loss.backward()
        assert loss.item() == 0.0
        assert read.grad is not None
        assert not read.grad.any()


def test_a_zero_vector_has_a_finite_gradient() -> None:
    head = head_of("cosent", {})
    read = torch.cat([torch.zeros(2, HIDDEN), torch.randn(6, HIDDEN)]).requires_grad_()
    levels = torch.tensor([0.0, 1.0, 0.0, 1.0])
    head.losses(read, torch.ones(8, 1, dtype=torch.bool), PairTargets(levels, levels))["pairs"].backward()
    assert read.grad is not None
    assert read.grad.isfinite().all()


@pytest.mark.parametrize("name", [name for name in PAIR_HEADS if name != "cosent"])
def test_shared_classes_keep_their_weights(name: str) -> None:
    other = LabelSchema(("yes", "new", "no"))
    source, target = built(name), built(name, other)
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(torch.randn(parameter.shape))
    fresh = target.state_dict()["classifier.weight"].clone()
    matrices = [codec_of_head(name, schema).matrices for schema in (CLASSES, other)]
    transfer_head(source, target, source_labels=matrices[0], target_labels=matrices[1])
    found, trained = target.state_dict()["classifier.weight"], source.state_dict()["classifier.weight"]
    assert torch.equal(found, torch.stack([trained[2], fresh[1], trained[0]]))
