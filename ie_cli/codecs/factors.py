"""The factors that the scores of a table are made of; the tensor ``[rows, L, L]`` is never built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import Floats, Index


@dataclass(frozen=True, slots=True)
class SharedFactors:
    """Of a head with one span scorer and two biases per label: ``s_r(i,j) = pair(i,j) + start_r(i) + end_r(j)``.

    *Shapes:* pair ``[batch, L, L]``, start and end ``[batch, labels, L]``; float32.
    """

    pair: Floats
    start: Floats
    end: Floats


@dataclass(frozen=True, slots=True)
class LabelFactors:
    """Of a head with one span scorer per label, for some labels from `first` on: ``s_r(i,j) = query_r(i)·key_r(j)``.

    *Shapes:* query and key ``[batch, labels, L, head_size]``; float32, rotated and scaled.
    """

    first: int
    query: Floats
    key: Floats


Factors = SharedFactors | LabelFactors


def factors_of(blocks: Iterable[Mapping[str, npt.NDArray[Any]]]) -> Iterator[Factors]:
    """The blocks of a table as factors: ``pair, start, end`` of a shared scorer, ``query, key`` of a scorer per row."""
    first = 0
    for block in blocks:
        if "pair" in block:
            yield SharedFactors(block["pair"], block["start"], block["end"])
        else:
            yield LabelFactors(first, block["query"], block["key"])
            first += block["query"].shape[1]


def shared_factors(blocks: Iterable[Mapping[str, npt.NDArray[Any]]]) -> SharedFactors:
    """The factors of a table that has one scorer for all rows."""
    part = next(factors_of(blocks))
    if not isinstance(part, SharedFactors):
        raise TypeError(f"expected shared factors, got {type(part).__name__}")
    return part


def cell_scores(factors: Iterable[Factors], sample: int, there: Index) -> Iterator[Floats]:
    """The scores s of a sample on the text tokens `there`, row by row; ``[len(there), len(there)]`` each."""
    for part in factors:
        if isinstance(part, SharedFactors):
            pair = part.pair[sample][np.ix_(there, there)]
            start, end = part.start[sample][:, there], part.end[sample][:, there]
            for row in range(len(start)):
                yield pair + start[row, :, None] + end[row, None, :]
        else:
            query, key = part.query[sample][:, there], part.key[sample][:, there]
            for row in range(len(query)):
                yield query[row] @ key[row].T
