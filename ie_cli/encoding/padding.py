"""Pad sequences of token ids to arrays with masks, in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def pad(
    sequences: Sequence[npt.NDArray[Any]], pad_id: int, *, at_least: int = 0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Pad sequences of ids to the longest one, or to `at_least`; return ids int64 and mask bool ``[batch, L]``.

    >>> pad([np.array([5, 6]), np.array([7])], 0)[0].tolist()
    [[5, 6], [7, 0]]
    """
    lengths = np.array([len(sequence) for sequence in sequences])
    mask = np.arange(lengths.max(initial=at_least)) < lengths[:, None]
    ids = np.full(mask.shape, pad_id, dtype=np.int64)
    ids[mask] = np.concatenate(sequences)
    return ids, mask


def text_mask(mask: npt.NDArray[np.bool_], prefix: int, suffix: int) -> npt.NDArray[np.bool_]:
    """Return the mask without the special tokens at both ends; bool ``[batch, L]``."""
    text = mask.copy()
    text[:, :prefix] = False
    columns = np.arange(mask.shape[1])
    text &= columns < (mask.sum(axis=1) - suffix)[:, None]
    return text
