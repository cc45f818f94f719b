"""Copy the weights of a trained head to a head for other labels; labels are matched by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ie_cli.errors import ModelError
from ie_cli.modeling.heads.base import Head, LabelRows

Matrices = Mapping[str, Sequence[str]]
"""The names of the labels of each score matrix, as in `Codec.matrices`."""


def transfer_head(source: nn.Module, target: nn.Module, *, source_labels: Matrices, target_labels: Matrices) -> None:
    """Copy what both heads have: rows of the labels of both, and everything that the labels share.

    Rows of labels that only the target has keep their values.

    Args:
        source: a trained head.
        target: a head of the same kind, built with the same options.
        source_labels: the labels of the source.
        target_labels: the labels of the target.

    Raises:
        ModelError: a shape depends on the labels, but `Head.label_rows` does not name the parameter.
    """
    rows = cast(Head, target).label_rows()
    stored = source.state_dict()
    with torch.no_grad():
        for name, tensor in target.state_dict().items():
            if name in rows:
                matrix = rows[name].matrix
                _copy_rows(stored[name], tensor, rows[name], source_labels[matrix], target_labels[matrix])
            elif stored[name].shape == tensor.shape:
                tensor.copy_(stored[name])
            else:
                raise ModelError(
                    f"the tensor {name} of {type(target).__name__} has the shape {list(stored[name].shape)} in the model to "
                    f"start from, and {list(tensor.shape)} here",
                    hint="the method label_rows of the head must name every parameter with rows of labels.",
                )


def _copy_rows(source: Tensor, target: Tensor, rows: LabelRows, old: Sequence[str], new: Sequence[str]) -> None:
    places = {name: place for place, name in enumerate(old)}
    pairs = [(places[name], place) for place, name in enumerate(new) if name in places]
    if not pairs:
        return
    chosen, into = (torch.tensor(side) for side in zip(*pairs, strict=True))
    if rows.columns:
        square = source.reshape(rows.blocks, len(old), rows.blocks, len(old))
        copied = square[:, chosen[:, None], :, chosen].to(target)
        target.reshape(rows.blocks, len(new), rows.blocks, len(new))[:, into[:, None], :, into] = copied
        return
    by_label = source.reshape(rows.blocks, len(old), *source.shape[1:])
    target.reshape(rows.blocks, len(new), *target.shape[1:])[:, into] = by_label[:, chosen].to(target)
