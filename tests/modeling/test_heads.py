"""Properties of every head in the table of heads, and the formulas of single heads.

The properties of heads for pairs of texts are in test_pair_heads.py, and learning is in tests/training.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator
from typing import Any, cast, get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.heads import (
    APART,
    EXAMPLES,
    HIDDEN,
    PLAN,
    SCHEMA,
    TOKENIZER,
    WINDOW_HEADS,
    built,
    codec_of_head,
    example,
    windows_for,
)
from support.perfect import Perfect
from support.references import rotation
from support.toy_head import TOY

from ie_cli.codecs.base import Codec, Decoding, Outputs
from ie_cli.codecs.factors import entry_scores, factors_of
from ie_cli.document import Document
from ie_cli.errors import ModelError
from ie_cli.inference.backends.onnx import OnnxOutputs
from ie_cli.inference.backends.torch import TorchOutputs
from ie_cli.inference.pipeline import Engine, Extraction, extract
from ie_cli.modeling.batch import Batch
from ie_cli.modeling.heads.base import Head, MatrixHead
from ie_cli.modeling.losses import span_classes, streamed
from ie_cli.recipe.heads import HEADS, HeadSection, PointerSection
from ie_cli.triples import text_triples

every_head = pytest.mark.parametrize("name", [*HEADS, "toy"])
window_head = pytest.mark.parametrize("name", [*WINDOW_HEADS, "toy"])  # the toy's scores are not a score matrix
WITH_ROPE = [name for name, spec in HEADS.items() if "rope" in spec.section.model_fields]


@pytest.fixture(autouse=True, scope="module")
def _toy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(HEADS, "toy", TOY)
        yield


def head_of(name: str, **options: Any) -> Head:
    return cast(Head, built(name, **options))


def scores(name: str, outputs: Outputs, length: int, *, first: int = 0) -> list[npt.NDArray[np.float32]]:
    """Return all scores of the first sample on tokens from `first`, label by label."""
    return list(codec_of_head(name).scores(outputs, 0, np.arange(first, first + length)))


def scores_by_matrix(name: str, outputs: Outputs, length: int, **options: int) -> dict[str, npt.NDArray[np.float32]]:
    """Return the same scores by matrix; ``[labels, length, length]`` each."""
    found = iter(scores(name, outputs, length, **options))
    named = codec_of_head(name).matrices
    by_matrix = {matrix: np.stack([next(found) for _ in names]) for matrix, names in named.items()}
    assert next(found, None) is None
    return by_matrix


def head_scores(name: str, head: Head, hidden: torch.Tensor, *, length: int) -> list[npt.NDArray[np.float32]]:
    return scores(name, TorchOutputs(head, hidden), length)


def item_counts(codec: Codec, document: Document, kinds: Iterable[str]) -> dict[str, int]:
    """Count the distinct items of each kind; entities whose labels are roles are no items."""
    roles = codec.schema.roles
    return {kind: 0 if roles and kind == "entities" else len(set(getattr(document, kind))) for kind in kinds}


# The table


@every_head
def test_a_recipe_names_a_head_as_the_table_does(name: str) -> None:
    assert get_args(HEADS[name].section.model_fields["name"].annotation) == (name,)
    assert HEADS[name].tasks


@every_head
def test_the_section_and_the_signature_agree(name: str) -> None:
    section = HEADS[name].section
    parameters = inspect.signature(HEADS[name].builder()).parameters.values()
    options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert [p.kind for p in parameters if p.name not in options] == [inspect.Parameter.POSITIONAL_ONLY] * 2
    assert options == {option: section.model_fields[option].default for option in options}
    assert not options.keys() & HeadSection.model_fields.keys()  # these are for decoding
    if issubclass(section, PointerSection):
        assert PointerSection.model_fields.keys() - HeadSection.model_fields.keys() <= options.keys()


@every_head
def test_decoding_is_changed_by_fields_that_the_weights_do_not_depend_on(name: str) -> None:
    section = HEADS[name].section
    assert HeadSection.decoding & section.model_fields.keys() <= section.decoding <= section.model_fields.keys()
    parameters = inspect.signature(HEADS[name].builder()).parameters
    assert not section.decoding & parameters.keys()
    assert section.training <= parameters.keys()  # the others do not matter to a model that is trained on


def all_outputs(head: Head, batch: int, length: int) -> dict[str, torch.Tensor]:
    """Return the outputs of both passes for random hidden states."""
    hidden = torch.randn(batch, length, HIDDEN)
    named = dict(head.outputs(hidden))
    for query, arguments in head.queries.items():
        given = dict.fromkeys(arguments, torch.ones(batch, dtype=torch.int64))
        named |= {f"{query}.{output}": tensor for output, tensor in head.query(query, hidden, given).items()}
    return named


@window_head
def test_outputs_are_named_by_the_matrices_of_the_codec(name: str) -> None:
    codec, head, hidden = codec_of_head(name), head_of(name), torch.randn(2, 7, HIDDEN)
    first_pass = codec.matrices.keys() - head.queries.keys()
    named = head.outputs(hidden)
    assert all(output.count(".") == 1 for output in named)
    assert {output.split(".")[0] for output in named} == first_pass == head.blocks(hidden).keys()
    assert head.queries.keys() <= codec.matrices.keys()
    one, other = all_outputs(head, 2, 7), all_outputs(head, 3, 9)
    labels: dict[str, int] = {}  # as a graph is distinguished from that of another model
    for output, tensor in one.items():
        shape, constant = other[output].shape, torch.equal(tensor, other[output])
        assert constant or (len(tensor), len(other[output])) == (2, 3)
        fixed = [size for axis, size in enumerate(tensor.shape) if axis in {1, tensor.ndim - 1} and size == shape[axis]]
        if fixed:
            labels.setdefault(output.split(".")[0], fixed[0])
    assert labels == {matrix: len(rows) for matrix, rows in codec.matrices.items()}


@window_head
@pytest.mark.parametrize("block_bytes", [1, streamed.BLOCK_BYTES])
def test_blocks_and_outputs_have_the_same_scores(name: str, block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (streamed, span_classes):
        monkeypatch.setattr(module, "BLOCK_BYTES", block_bytes)
    head, hidden = head_of(name), torch.randn(1, 7, HIDDEN)
    with torch.inference_mode():
        graph = {output: tensor.numpy() for output, tensor in head.outputs(hidden).items()}
    one = head_scores(name, head, hidden, length=7)
    other = scores(name, OnnxOutputs(graph, "", TorchOutputs(head, hidden).query), 7)
    assert len(one) == len(other) >= len(SCHEMA.labels)
    for left, right in zip(one, other, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)


@window_head
def test_columns_and_targets_are_of_the_kinds_that_the_codec_names(name: str) -> None:
    codec, document = codec_of_head(name), APART
    [tokens] = TOKENIZER.encode([document.text])
    targets = codec.encode(document, tokens, PLAN)
    assert targets.columns.keys() == codec.columns.keys()
    assert all(targets.columns[column].shape[1] == width for column, width in codec.columns.items())
    assert targets.counts.keys() == targets.unreachable.keys()
    assert targets.counts == item_counts(codec, document, targets.counts)
    assert any(targets.counts.values())
    if HEADS[name].section.nests:
        assert not any(targets.unreachable.values())
    else:
        assert len(targets.columns["spans"]) + len(targets.unreachable["entities"]) == targets.counts["entities"]
    window = codec.window(targets, 0, PLAN.capacity, 3)
    assert {column: len(rows) for column, rows in window.items()} == {
        column: len(rows) for column, rows in targets.columns.items()
    }


@every_head
def test_the_identity_of_stored_columns_is_json_and_constant(name: str) -> None:
    identity = codec_of_head(name).identity
    assert list(identity) == json.loads(json.dumps(identity)) == list(codec_of_head(name).identity)


@every_head
def test_a_query_that_a_head_does_not_answer_is_an_error(name: str) -> None:
    with pytest.raises(ModelError, match="no output 'weather' that takes arguments"):
        head_of(name).query("weather", torch.randn(1, 3, HIDDEN), {})


# Padding, emptiness, precision


def losses(head: Head, *arguments: Any) -> dict[str, torch.Tensor]:
    """Return the losses of a head with the same random choices in each call."""
    torch.manual_seed(0)
    return head.losses(*arguments)


@window_head
def test_a_sentence_scores_the_same_beside_a_longer_one(name: str) -> None:
    head, hidden = head_of(name), torch.randn(1, 5, HIDDEN)
    longer = torch.cat([torch.cat([hidden, torch.randn(1, 4, HIDDEN)], dim=1), torch.randn(1, 9, HIDDEN)])
    together, alone = (head_scores(name, head, states, length=5) for states in (longer, hidden))
    assert together
    for beside, by_itself in zip(together, alone, strict=True):
        assert by_itself.size
        np.testing.assert_allclose(beside, by_itself, atol=1e-5)


def batch_for(name: str, head: Head, *documents: Document) -> Batch:
    windows = windows_for(name, cast(torch.nn.Module, head), documents)
    return windows.batch(range(len(documents)))


@window_head
def test_padding_changes_no_loss(name: str) -> None:
    head = head_of(name)
    batch = batch_for(name, head, example(7))
    hidden = torch.randn(1, 9, HIDDEN)
    padded = torch.cat([hidden, 100 * torch.randn(1, 4, HIDDEN)], dim=1)
    wide = torch.cat([batch.text_mask, torch.zeros(1, 4, dtype=torch.bool)], dim=1)
    short = losses(head, hidden, batch.text_mask, batch.targets)
    long = losses(head, padded, wide, head.collate(batch.entries, wide))
    assert short.keys() == long.keys()
    for part, loss in short.items():
        assert loss.shape == ()
        assert loss > 0
        torch.testing.assert_close(loss, long[part])


@pytest.mark.slow
@window_head
def test_without_annotation_the_loss_is_finite_and_pushes_down(name: str) -> None:
    head = head_of(name)
    module = cast(torch.nn.Module, head)
    with torch.no_grad():
        for parameter in module.parameters():  # fresh weights of some heads predict nothing
            parameter.copy_(torch.randn(parameter.shape))
    batch = batch_for(name, head, example(5, most=0), Document(""))
    assert batch.text_mask.sum(1).tolist() == [5, 0]
    hidden = torch.randn(*batch.input_ids.shape, HIDDEN)
    before = sum(loss.item() for loss in head.losses(hidden, batch.text_mask, batch.targets).values())
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(300):
        losses = head.losses(hidden, batch.text_mask, batch.targets)
        assert all(bool(loss.isfinite()) for loss in losses.values())
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
    assert sum(loss.item() for loss in losses.values()) < 0.1 * before
    outputs, mask = TorchOutputs(head, hidden), batch.text_mask.numpy()
    decoded = codec_of_head(name).decoder(Decoding()).decode(outputs, mask)
    assert {part: len(found.entries) for part, found in decoded.parts.items()} == dict.fromkeys(decoded.parts, 0)
    if isinstance(head, MatrixHead):
        there = mask[0].nonzero()[0]
        for matrix, rows in scores_by_matrix(name, outputs, len(there), first=there[0]).items():
            upper = cast(Any, head.tables[matrix]).upper
            assert (rows[:, *np.triu_indices(5)] if upper else rows).max() < 0


@window_head
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_encoders_give_finite_losses_and_gradients(name: str, dtype: torch.dtype) -> None:
    head = head_of(name)
    batch = batch_for(name, head, example(6), example(4))
    hidden = (torch.randn(*batch.input_ids.shape, HIDDEN) * 30).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = head.losses(hidden, batch.text_mask, batch.targets)
    torch.stack(list(losses.values())).sum().backward()
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert all(bool(loss.isfinite()) for loss in losses.values())
    assert hidden.grad is not None
    assert torch.isfinite(hidden.grad).all()


@window_head
def test_weights_are_by_label_of_each_matrix(name: str) -> None:
    head = head_of(name)
    batch = batch_for(name, head, example(7), example(3, seed=1))
    hidden = torch.randn(*batch.input_ids.shape, HIDDEN)
    rows = {matrix: len(names) for matrix, names in codec_of_head(name).matrices.items()}
    plain = losses(head, hidden, batch.text_mask, batch.targets)
    for factor in (1.0, 0.0, 2.5):
        weights = {matrix: torch.full((count,), factor) for matrix, count in rows.items()}
        weighted = losses(head, hidden, batch.text_mask, batch.targets, weights)
        assert weighted.keys() == plain.keys()
        for part, loss in plain.items():
            torch.testing.assert_close(weighted[part], factor * loss)


@pytest.mark.parametrize("name", WITH_ROPE)
def test_scores_depend_on_order_only_with_rotary_positions(name: str) -> None:
    hidden = torch.randn(1, 1, HIDDEN).expand(1, 6, HIDDEN)
    turned = head_scores(name, head_of(name), hidden, length=6)
    assert max(np.ptp(row) for row in turned) > 1e-3
    for row in head_scores(name, head_of(name, rope=False), hidden, length=6):
        np.testing.assert_allclose(row, row[0, 0], atol=1e-5)


# Gold to targets and back


@pytest.mark.parametrize("name", WINDOW_HEADS)
@settings(max_examples=40)
@given(documents=st.lists(EXAMPLES, min_size=1, max_size=5, unique_by=lambda document: len(document.text)))
def test_decoding_undoes_encoding(name: str, documents: list[Document]) -> None:
    """Perfect scores give back the gold, except what the codec counts as unreachable."""
    codec = codec_of_head(name)
    part = Extraction.build("task", codec, Decoding())
    engine = Engine(cast(Any, Perfect(name, documents)), TOKENIZER, PLAN, (part,), batch_size=3)
    for gold, found in zip(documents, extract(engine, documents), strict=True):
        [tokens] = TOKENIZER.encode([gold.text])
        unreachable = codec.encode(gold, tokens, PLAN).unreachable
        missing = {kind: {item for item, _ in items} for kind, items in unreachable.items()}
        if "relations" in missing:
            expected = text_triples(gold.text, gold.relations) - missing["relations"]
            assert text_triples(found.text, found.relations) == expected
        if not codec.schema.roles:
            assert found.entities == sorted(set(gold.entities) - missing["entities"])
            assert set(found.relations) <= set(gold.relations)


@window_head
@settings(max_examples=30)
@given(length=st.integers(1, 9), seed=st.integers(0, 2**20))
def test_decoded_items_can_be_encoded_and_have_positive_scores(name: str, length: int, seed: int) -> None:
    """Whatever a head finds with any weights can be encoded as gold, and its entries have positive scores."""
    head = built(name)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    hidden = torch.randn(1, length + TOKENIZER.special_tokens, HIDDEN, generator=generator)
    codec, outputs = codec_of_head(name), TorchOutputs(cast(Head, head), hidden)

    class Fixed:
        def run(self, ids: object, mask: object) -> dict[str, TorchOutputs]:
            return {"task": outputs}

    engine = Engine(cast(Any, Fixed()), TOKENIZER, PLAN, (Extraction.build("task", codec, Decoding()),))
    [found] = extract(engine, [Document("x" * length)])
    [tokens] = TOKENIZER.encode([found.text])
    targets = codec.encode(found, tokens, PLAN)
    assert not any(targets.unreachable.values())
    assert targets.counts == item_counts(codec, found, targets.counts)
    if isinstance(head, MatrixHead):
        shift = len(TOKENIZER.prefix)
        window = codec.window(targets, 0, PLAN.capacity, shift)
        dense = scores_by_matrix(name, outputs, length + TOKENIZER.special_tokens)
        for matrix, entries in codec.entries(
            {column: np.insert(rows, 0, 0, axis=1) for column, rows in window.items()}
        ).items():
            assert (dense[matrix][tuple(entries[:, 1:].T)] > 0).all()


# What a head computes


def dense(head: torch.nn.Module, hidden: torch.Tensor) -> Iterator[npt.NDArray[np.float32]]:
    return entry_scores(
        factors_of(TorchOutputs(cast(Head, head), hidden).matrix("entities")), 0, np.arange(hidden.shape[1])
    )


@pytest.mark.parametrize("rope", [True, False])
def test_efficient_scores_are_the_formula(rope: bool) -> None:
    head = cast(MatrixHead, built("efficient_global_pointer", head_size=8, rope=rope).double())
    scorer: Any = head.tables["entities"]
    hidden = torch.randn(1, 5, HIDDEN, dtype=torch.float64)
    x = scorer.projection(hidden)[0]
    bias = (x @ scorer.bias.weight.T + scorer.bias.bias) / 2
    labels = len(SCHEMA.labels)
    found = list(dense(head, hidden))
    assert len(found) == labels
    for i in range(5):
        for j in range(5):
            q, k = x[i, :8], x[j, 8:]
            if rope:
                q, k = rotation(i, 8) @ q, rotation(j, 8) @ k
            for r in range(labels):
                expected = q @ k / 8**0.5 + bias[i, r] + bias[j, labels + r]
                assert found[r][i, j] == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("rope", [True, False])
def test_full_scores_are_the_formula(rope: bool) -> None:
    head = cast(MatrixHead, built("global_pointer", head_size=8, rope=rope).double())
    scorer: Any = head.tables["entities"]
    hidden = torch.randn(1, 5, HIDDEN, dtype=torch.float64)
    for r, found in enumerate(dense(head, hidden)):
        x = hidden[0] @ scorer.weight[r].T + scorer.bias[r]
        for i in range(5):
            for j in range(5):
                q, k = x[i, :8], x[j, 8:]
                if rope:
                    q, k = rotation(i, 8) @ q, rotation(j, 8) @ k
                assert found[i, j] == pytest.approx((q @ k / 8**0.5).item(), abs=1e-5)
