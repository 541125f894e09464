"""Confidence intervals of proportions and means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

RESAMPLES = 4_000
_CHUNK = 2_000_000
"""Numbers drawn at once, so that memory stays bounded whatever the size of the sample."""


class Interval(NamedTuple):
    """An estimate and the bounds of its interval."""

    value: float
    low: float
    high: float


def wilson(successes: int, trials: int, *, level: float = 0.95) -> Interval:
    """Of a proportion (Wilson, 1927): right also near 0 and 1, where p ± 1.96·se is not.

    Without trials nothing is known: 0 within [0, 1].
    """
    if not 0 <= successes <= trials:
        raise ValueError("successes lie between 0 and the number of trials")
    if trials == 0:
        return Interval(0.0, 0.0, 1.0)
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / trials
    scale = 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    # At the ends the bound is exactly 0 or 1; rounding would put it a hair beside.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == trials else min(1.0, middle + half)
    return Interval(share, low, high)


def bootstrap_mean(
    values: Sequence[float], *, level: float = 0.95, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Of a mean, bias-corrected and accelerated (Efron, 1987); of percentiles where BCa is undefined.

    The same values and seed give the same bounds. One value is its own interval, none is 0 within [0, 0].
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0:
        return Interval(0.0, 0.0, 0.0)
    mean = float(sample.mean())
    if sample.size == 1 or float(np.ptp(sample)) == 0.0:
        return Interval(mean, mean, mean)
    means = resampled_means(sample, seed=seed, resamples=resamples)
    low, high = _bca_levels(sample, means, mean, level)
    bounds = np.quantile(means, [low, high])
    return Interval(mean, float(bounds[0]), float(bounds[1]))


def resampled_means(sample: np.ndarray, *, seed: int, resamples: int) -> np.ndarray:
    """Means of `resamples` samples drawn with replacement: float64 [resamples]."""
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    rows = max(1, _CHUNK // sample.size)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = generator.integers(0, sample.size, size=(count, sample.size))
        means[start : start + count] = sample[drawn].mean(axis=1)
    return means


def _bca_levels(sample: np.ndarray, means: np.ndarray, mean: float, level: float) -> tuple[float, float]:
    """The quantiles at which BCa cuts."""
    tail = (1 - level) / 2
    normal = NormalDist()
    # Half of the ties count as below, or a discrete sample would look biased.
    below = float(np.mean(means < mean) + np.mean(means == mean) / 2)
    if not 0 < below < 1:
        return tail, 1 - tail
    bias = normal.inv_cdf(below)
    without = (sample.sum() - sample) / (sample.size - 1)  # the jackknife's means
    spread = without.mean() - without
    squares = float((spread**2).sum())
    acceleration = float((spread**3).sum()) / (6 * squares**1.5) if squares > 0 else 0.0

    def cut(quantile: float) -> float:
        shift = bias + normal.inv_cdf(quantile)
        return normal.cdf(bias + shift / (1 - acceleration * shift))

    return cut(tail), cut(1 - tail)
