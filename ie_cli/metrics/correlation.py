"""Correlation of gold values and scores, with ties, and average precision; 0 where one side is constant."""

from __future__ import annotations

import math
import warnings
from types import ModuleType

import numpy as np
import numpy.typing as npt

from ie_cli.errors import DataError
from ie_cli.metrics.best_threshold import Doubles
from ie_cli.system.distribution import install_hint


def spearman(gold: Doubles, scores: Doubles) -> float:
    """Return the rank correlation; equal values share the mean of their ranks."""
    if is_constant(gold) or is_constant(scores):
        return 0.0
    rank = _stats().rankdata
    return pearson(rank(gold), rank(scores))


def pearson(gold: Doubles, scores: Doubles) -> float:
    """Return the linear correlation."""
    if is_constant(gold) or is_constant(scores):
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # nearly constant values: the result is then inexact, but there is no better one
        found = float(_stats().pearsonr(_scaled(gold), _scaled(scores)).statistic)
    return found if math.isfinite(found) else 0.0


def average_precision(positive: npt.NDArray[np.bool_], scores: Doubles) -> float:
    """Return the sum of the precision at each distinct score, weighted by the recall gained there; 0 without positives."""
    values, groups = np.unique(-scores, return_inverse=True)  # the highest score first
    members = np.bincount(groups, minlength=len(values))
    gained = np.bincount(groups, weights=positive, minlength=len(values))
    if not positive.any():
        return 0.0
    return float((gained * gained.cumsum() / members.cumsum()).sum() / gained.sum())


def is_constant(values: Doubles) -> bool:
    """Return whether there are no two different values."""
    return not len(values) or bool(values.min() == values.max())


def _scaled(values: Doubles) -> Doubles:
    """Return the values divided by the largest, so that their squares do not overflow."""
    scaled: Doubles = values / np.abs(values).max()
    return scaled


def _stats() -> ModuleType:
    """Import `scipy.stats`, which takes about a second, when it is needed."""
    try:
        from scipy import stats
    except ModuleNotFoundError as error:
        raise DataError(
            f"scoring pairs of texts requires {error.name}, which is not installed", hint=f"{install_hint()}."
        ) from error
    return stats  # type: ignore[no-any-return]
