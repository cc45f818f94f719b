"""The factors of a score matrix; the tensor ``[labels, L, L]`` is never built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import Floats, Index


@dataclass(frozen=True, slots=True)
class SharedFactors:
    """Factors of a head with one span scorer and two biases per label: ``s_r(i,j) = pair(i,j) + start_r(i) + end_r(j)``.

    *Shapes:* pair ``[batch, L, L]``, start and end ``[batch, labels, L]``; float32.
    """

    pair: Floats
    start: Floats
    end: Floats


@dataclass(frozen=True, slots=True)
class LabelFactors:
    """Factors of a head with one span scorer per label, for the labels from `first`: ``s_r(i,j) = query_r(i)·key_r(j)``.

    *Shapes:* query and key ``[batch, labels, L, head_size]``; float32, rotated and scaled.
    """

    first: int
    query: Floats
    key: Floats


Factors = SharedFactors | LabelFactors


def factors_of(blocks: Iterable[Mapping[str, npt.NDArray[Any]]]) -> Iterator[Factors]:
    """Yield the blocks of a score matrix as factors: ``pair, start, end`` if shared, ``query, key`` if per label."""
    first = 0
    for block in blocks:
        if "pair" in block:
            yield SharedFactors(block["pair"], block["start"], block["end"])
        else:
            yield LabelFactors(first, block["query"], block["key"])
            first += block["query"].shape[1]


def shared_factors(blocks: Iterable[Mapping[str, npt.NDArray[Any]]]) -> SharedFactors:
    """Return the factors of a score matrix that has one scorer for all labels."""
    part = next(factors_of(blocks))
    if not isinstance(part, SharedFactors):
        raise TypeError(f"expected shared factors, got {type(part).__name__}")
    return part


def entry_scores(factors: Iterable[Factors], sample: int, tokens: Index) -> Iterator[Floats]:
    """Yield the scores s of a sample on these text tokens, label by label; ``[len(tokens), len(tokens)]`` each."""
    for part in factors:
        if isinstance(part, SharedFactors):
            pair = part.pair[sample][np.ix_(tokens, tokens)]
            start, end = part.start[sample][:, tokens], part.end[sample][:, tokens]
            for label in range(len(start)):
                yield pair + start[label, :, None] + end[label, None, :]
        else:
            query, key = part.query[sample][:, tokens], part.key[sample][:, tokens]
            for label in range(len(query)):
                yield query[label] @ key[label].T
