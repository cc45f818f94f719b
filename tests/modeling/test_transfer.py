"""A head that takes the weights of a trained one scores the labels of both as that one does, whatever their order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.heads import HIDDEN, SCHEMA, WINDOW_HEADS, built, codec_of_head
from support.toy_head import TOY, ToyHead

from ie_cli.data.label_schema import LabelSchema
from ie_cli.errors import ModelError
from ie_cli.inference.backends.torch import TorchOutputs
from ie_cli.modeling.heads.base import Head
from ie_cli.modeling.transfer import transfer_head
from ie_cli.recipe.heads import HEADS

window_head = pytest.mark.parametrize("name", [*WINDOW_HEADS, "toy"])


@pytest.fixture(autouse=True, scope="module")
def _toy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(HEADS, "toy", TOY)
        yield


def scores(
    name: str, schema: LabelSchema, head: torch.nn.Module, hidden: torch.Tensor
) -> dict[tuple[str, str], npt.NDArray[np.float32]]:
    """The scores by matrix and label."""
    codec = codec_of_head(name, schema)
    found = codec.scores(TorchOutputs(cast(Head, head), hidden), 0, np.arange(hidden.shape[1]))
    keys = [(matrix, label) for matrix, labels in codec.matrices.items() for label in labels]
    return dict(zip(keys, found, strict=True))


def names(known: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from([*known, "new", "another"]), min_size=1, unique=True).map(tuple)


@window_head
@settings(max_examples=20)
@given(labels=names(SCHEMA.labels), predicates=names(SCHEMA.predicates))
def test_shared_labels_keep_their_scores(name: str, labels: tuple[str, ...], predicates: tuple[str, ...]) -> None:
    other = LabelSchema(labels, predicates)
    source, target = built(name), built(name, other)
    with torch.no_grad():
        for parameter in source.parameters():  # or most of the two would be equal from the start
            parameter.add_(torch.randn(parameter.shape))
    hidden = torch.randn(1, 6, HIDDEN)
    fresh = {key: tensor.clone() for key, tensor in target.state_dict().items()}
    transfer_head(
        source,
        target,
        source_labels=codec_of_head(name).matrices,
        target_labels=codec_of_head(name, other).matrices,
    )
    before, now = scores(name, SCHEMA, source, hidden), scores(name, other, target, hidden)
    for key in now.keys() & before.keys():
        np.testing.assert_allclose(now[key], before[key], rtol=1e-5, atol=1e-4)
    for key, rows in cast(Any, target).label_rows().items():
        labels_of = codec_of_head(name, other).matrices[rows.matrix]
        new = [n for n, label in enumerate(labels_of) if label in ("new", "another")]
        shape = (rows.blocks, len(labels_of), -1)
        assert torch.equal(
            target.state_dict()[key].reshape(shape)[:, new], fresh[key].reshape(shape)[:, new]
        )  # new labels have fresh rows
        if rows.columns:
            across = target.state_dict()[key].reshape(*shape[:2], *shape[:2])
            assert torch.equal(across[:, :, :, new], fresh[key].reshape(*shape[:2], *shape[:2])[:, :, :, new])
            old = codec_of_head(name).matrices[rows.matrix]
            trained = source.state_dict()[key].reshape(rows.blocks, len(old), rows.blocks, len(old))
            for (i, one), (j, two) in product(enumerate(labels_of), repeat=2):
                if one in old and two in old:
                    assert torch.equal(across[:, i, :, j], trained[:, old.index(one), :, old.index(two)])


def test_a_head_that_hides_its_rows_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyHead, "label_rows", lambda head: {})
    other = LabelSchema(("A", "new"))
    with pytest.raises(ModelError, match=r"the tensor linear\.weight of ToyHead has the shape") as error:
        transfer_head(
            built("toy"),
            built("toy", other),
            source_labels={"tokens": SCHEMA.labels},
            target_labels={"tokens": other.labels},
        )
    assert "label_rows" in str(error.value.hint)
