"""Weights of the gradients of several tasks, computed exactly from their Gram matrix ``G_ij = <g_i, g_j>``.

Sources: kexue.fm/archives/8870 (normalised gradients), 8896 (the minimum norm in the convex hull, MGDA), 8907 (main and
auxiliary tasks). The iterations of the articles are replaced by non-negative least squares, which is exact; that of 8907 can stop
before the optimum with two or more auxiliary tasks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

Doubles = npt.NDArray[np.float64]


def norms(gram: Doubles) -> Doubles:
    """Return the norms of the gradients ``[tasks]``."""
    found: Doubles = np.sqrt(np.clip(np.diag(gram), 0, None))
    return found


def unit_weights(gram: Doubles) -> Doubles:
    """Return the weights of ``Σ g_i / |g_i|``; 0 for a gradient of 0.

    Args:
        gram: float64 ``[tasks, tasks]``.
    """
    sizes = norms(gram)
    found: Doubles = np.divide(1.0, sizes, out=np.zeros_like(sizes), where=sizes > 0)
    return found


def min_norm_weights(gram: Doubles) -> Doubles:
    """Return the weights on the simplex for which ``|Σ a_i g_i|`` is smallest: no task's loss rises along this direction.

    A gradient of 0 would take all the weight, which would stop all other tasks; it gets the weight 0 instead, as if the task were
    absent.

    Args:
        gram: float64 ``[tasks, tasks]``.
    """
    sizes = norms(gram)
    active = sizes > 0
    weights = np.zeros(len(gram))
    if not active.any():
        return weights
    lengths = sizes[active]
    part = gram[np.ix_(active, active)] / np.outer(lengths, lengths)
    # |A a|² is smallest under Σ a = 1 where the solution of [A; 1ᵀ] a ≈ [0; 1], a ≥ 0, points. The columns of A have length 1,
    # so that a long gradient does not hide a short one; then a = b / |g|, and the sum is that of b / |g|.
    inverse = lengths.min() / lengths
    solution, _ = nnls(np.vstack([_factor(part), inverse[None]]), np.append(np.zeros(len(part)), 1.0))
    found = solution * inverse
    weights[active] = found / found.sum()
    return weights


def main_auxiliary_weights(gram: Doubles, main: int) -> Doubles:
    """Return the weights of the direction nearest to the main task's gradient along which no auxiliary loss rises.

    The main task has the weight 1. An auxiliary task has a weight above 0 only if its gradient conflicts with the main one.

    Args:
        gram: float64 ``[tasks, tasks]``.
        main: the number of the main task.
    """
    sizes = norms(gram)
    scale = np.where(sizes > 0, sizes, 1.0)
    columns = _factor(gram / np.outer(scale, scale))  # of length 1: the scale of an auxiliary loss has no effect
    others = [task for task in range(len(gram)) if task != main and sizes[task] > 0]
    weights = np.zeros(len(gram))
    weights[main] = 1.0
    if others and sizes[main] > 0:
        solution, _ = nnls(columns[:, others], -columns[:, main])
        weights[others] = solution * scale[main] / scale[others]
    return weights


def _factor(gram: Doubles) -> Doubles:
    """Return A with ``AᵀA = G``; rounding may have left slightly negative eigenvalues."""
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    factor: Doubles = np.sqrt(np.clip(values, 0, None))[:, None] * vectors.T
    return factor
