"""Distributions with a given entropy: ``p_i^γ / Σ_j p_j^γ``, with γ such that the entropy H is what is wanted.

Source: kexue.fm/archives/8829. The article finds γ by Newton's method from γ = 1, which fails in one case of eight: a step may
reach a negative γ, which reverses the order. H falls strictly with γ, from log(number of non-zero p) at γ = 0 to log(number of
maxima) for γ → ∞, so a bracket of log γ always encloses the solution. A Newton step is taken only inside the bracket; if it
does not halve the error, the bracket is halved instead. A power keeps the order of the probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

TOLERANCE = 1e-10
"""The maximum difference between the entropy of the result and the target, in nats."""
_BLOCK = 2**16  # probabilities that are processed at once, so that they stay in the cache
_STEPS = 200  # a step halves the error or the bracket, so this many are never needed


@dataclass(frozen=True, slots=True)
class NormalisedEntropy:
    """Distributions with their exponents.

    *Shapes:* probabilities ``[…, n]``, the others ``[…]``.

    Attributes:
        probabilities: ``p^γ / Σ p^γ``; what was 0 is still 0.
        exponents: γ; 0 for a uniform distribution over all non-zero p, infinity for one over the maxima.
        reached: whether the entropy is the target. If not, the target is outside the range that p can reach, and the
            distribution is that of the nearest end of the range.
    """

    probabilities: Floats
    exponents: Floats
    reached: Mask


def entropy(probabilities: npt.ArrayLike) -> Floats:
    """Return ``−Σ p log p`` in nats for distributions ``[…, n]``, which need not be normalised; ``[…]``.

    Raises:
        ValueError: see `normalise_entropy`.
    """
    logits = _log(probabilities)
    rows = _Rows.build(logits.reshape(-1, logits.shape[-1]))
    found: Floats = rows.moments(rows.spread)[0].reshape(logits.shape[:-1])
    return found


def normalise_entropy(probabilities: npt.ArrayLike, target: npt.ArrayLike) -> NormalisedEntropy:
    """Raise probabilities to the power that gives their distribution an entropy.

    Args:
        probabilities: distributions ``[…, n]``; they need not be normalised.
        target: the entropy in nats, one for all distributions or ``[…]``: log(k) is that of k equally probable classes.

    Raises:
        ValueError: a number is negative or not finite, a distribution is all zeros or empty, or a target is not a number.
    """
    return normalise_logit_entropy(_log(probabilities), target)


def normalise_logit_entropy(logits: npt.ArrayLike, target: npt.ArrayLike) -> NormalisedEntropy:
    """Do the same for logits or log-probabilities; γ is then an inverse temperature.

    Args:
        logits: ``[…, n]``; minus infinity is a probability of 0.
        target: as for `normalise_entropy`.

    Raises:
        ValueError: a number is infinity or not a number, a distribution is all zeros or empty, or a target is not a number.
    """
    values = _validated(np.asarray(logits, dtype=np.float64))
    shape = values.shape[:-1]
    targets = np.broadcast_to(np.asarray(target, dtype=np.float64), shape)
    if np.isnan(targets).any():
        raise ValueError("the target of the entropy must be a number, got nan")
    flat, wanted = values.reshape(-1, values.shape[-1]), targets.reshape(-1)
    probabilities, exponents = np.empty(flat.shape), np.empty(len(flat))
    reached = np.empty(len(flat), dtype=np.bool_)
    step = max(1, _BLOCK // flat.shape[1])
    for first in range(0, len(flat), step):
        part = slice(first, first + step)
        probabilities[part], exponents[part], reached[part] = _normalise(flat[part], wanted[part])
    return NormalisedEntropy(probabilities.reshape(values.shape), exponents.reshape(shape), reached.reshape(shape))


def _log(probabilities: npt.ArrayLike) -> Floats:
    values = np.asarray(probabilities, dtype=np.float64)
    if not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError("probabilities must be finite and at least 0")
    with np.errstate(divide="ignore"):
        return _validated(np.log(values))


def _validated(logits: Floats) -> Floats:
    if logits.ndim == 0 or not logits.shape[-1]:
        raise ValueError(f"expected distributions [..., n] of at least one class, got the shape {list(logits.shape)}")
    if np.isnan(logits).any() or np.isposinf(logits).any():
        raise ValueError("logits must be numbers below infinity")
    if np.isneginf(logits).all(axis=-1).any():
        raise ValueError("a distribution consists of zeros alone")
    return logits


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of logits, shifted and scaled so that those of non-zero probabilities are from −1 to 0.

    Attributes:
        scaled: logits ``[rows, n]``, 0 also where the probability is 0.
        live: 1 where the probability is not 0, else 0 ``[rows, n]``; None if all are 1.
        spread: by how much the largest logit exceeds the smallest of a non-zero probability ``[rows]``; 1 if by nothing.
    """

    scaled: Floats
    live: Floats | None
    spread: Floats

    @classmethod
    def build(cls, logits: Floats) -> _Rows:
        live = ~np.isneginf(logits)
        largest = logits.max(axis=1)
        half = np.where(
            live, logits / 2 - largest[:, None] / 2, 0.0
        )  # halves, so that the difference does not overflow
        lowest = half.min(axis=1)
        scaled = half / np.where(lowest < 0, -lowest, 1.0)[:, None]
        spread = np.where(lowest < 0, -2 * np.maximum(lowest, -1e307), 1.0)
        return cls(scaled, None if live.all() else live.astype(np.float64), spread)

    def take(self, rows: Mask) -> _Rows:
        return _Rows(self.scaled[rows], None if self.live is None else self.live[rows], self.spread[rows])

    def weights(self, scale: Floats) -> Floats:
        """Return ``e^{scale · logits}``, 0 where the probability is 0."""
        weights: Floats = np.exp(scale[:, None] * self.scaled)
        return weights if self.live is None else weights * self.live

    def moments(self, scale: Floats) -> tuple[Floats, Floats]:
        """Return the entropy of ``p^γ`` with γ · spread = `scale`, and its derivative by log γ, ``−γ² Var(log p)``."""
        weights = self.weights(scale)
        total = weights.sum(axis=1)
        weighted = weights * self.scaled
        mean = weighted.sum(axis=1) / total
        square = np.einsum("ij,ij->i", weighted, self.scaled) / total
        with np.errstate(over="ignore", invalid="ignore"):  # a slope that is not finite gives no step
            slope = -(scale**2) * (square - mean**2)
        return np.log(total) - scale * mean, slope


def _normalise(logits: Floats, target: Floats) -> tuple[Floats, Floats, Mask]:
    """Return probabilities, exponents, and whether the target was reached, of rows ``[rows, n]``."""
    rows = _Rows.build(logits)
    ties = (logits == logits.max(axis=1, keepdims=True)).sum(axis=1)
    support = (~np.isneginf(logits)).sum(axis=1)
    lowest, highest = np.log(ties), np.log(support)
    flat = ties == support  # a uniform row has the same entropy for any exponent
    sharp, even = (target <= lowest) & ~flat, (target >= highest) & ~flat
    scale = rows.spread.copy()
    between = ~(flat | sharp | even)
    if between.any():
        scale[between] = _solve(rows.take(between), target[between])
    scale[even] = 0
    weights = rows.weights(scale)
    weights[sharp] = logits[sharp] == logits[sharp].max(axis=1, keepdims=True)
    with np.errstate(over="ignore"):
        exponents = np.where(sharp, np.inf, scale / rows.spread)
    missed = np.maximum(lowest - target, target - highest)
    return weights / weights.sum(axis=1, keepdims=True), exponents, missed <= TOLERANCE


def _solve(rows: _Rows, target: Floats) -> Floats:
    """Return γ · spread for targets that can be reached."""
    # Outside this bracket, the entropy differs from that of the ends by less than float64 resolves.
    gap = -np.where(rows.scaled < 0, rows.scaled, -np.inf).max(axis=1)  # from the maximum to the next value
    low, high = np.full(len(target), 1e-8), np.minimum(800 / np.maximum(gap, 1e-297), 1e300)
    scale = np.clip(rows.spread, low, high)  # γ = 1
    before = np.full(len(target), np.inf)
    active = np.arange(len(target))
    for _ in range(_STEPS):
        now = scale[active]
        found, slope = rows.moments(now)
        error = found - target[active]
        going = np.abs(error) > TOLERANCE / 2
        active, rows, error, slope, now = active[going], rows.take(going), error[going], slope[going], now[going]
        if not len(active):
            break
        low[active] = np.where(error > 0, now, low[active])
        high[active] = np.where(error > 0, high[active], now)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = now * np.exp(-error / slope)  # in log γ
        bad = ~((newton > low[active]) & (newton < high[active])) | (np.abs(error) > before[active] / 2)
        scale[active] = np.where(bad, np.sqrt(low[active]) * np.sqrt(high[active]), newton)
        before[active] = np.abs(error)
    return scale
