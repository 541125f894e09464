"""A confidence sequence for the difference of two arms, valid at every moment at once.

An interval that is looked at after every answer must hold at all of these looks together. This one does:
it is the betting ("hedged capital") confidence sequence of Waudby-Smith and Ramdas, "Estimating means of
bounded random variables by betting", JRSS-B 86(1), 2024, section 4.4. For every possible mean m a gambler
bets on the observations; were m true, the capital would be a martingale, and by Ville's inequality it
would ever reach 1/alpha with probability at most alpha. The m whose gambler got that rich are ruled out.

The two arms become one sequence: each judged answer of the smaller arm is set against the mean of the
answers of the other arm that came since the one before. All values lie in [0, 1], so the differences lie in
[-1, 1], and their mean is the difference of the arms even while both drift with the time of day. What it
takes for granted: who gets which arm is decided without a look at the request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

GRID = 201
"""Means that are tried, from 0 to 1: the difference of the arms to within 0.01."""
_TRUNCATE = 0.5
"""Share of the capital that a bet may lose at most (c in the paper)."""
_CHUNK = 4096

CHAMPION, CANDIDATE = 0, 1


class Bounds(NamedTuple):
    """Of the difference candidate − champion."""

    low: float
    high: float
    pairs: int
    """Observations that the bounds stand on."""


def difference(observations: Iterable[tuple[int, float]], *, alpha: float = 0.05) -> Bounds:
    """The bounds after these `(arm, value)` in the order in which they became known.

    With probability 1 − alpha the true difference lies within the bounds after every number of observations.
    """
    pairs = matched(observations)
    low, high = sequence(pairs, alpha=alpha)
    if not len(pairs):
        return Bounds(-1.0, 1.0, 0)
    return Bounds(float(low[-1]), float(high[-1]), len(pairs))


def matched(observations: Iterable[tuple[int, float]]) -> np.ndarray:
    """One difference in [-1, 1] for each time that both arms have something new: float64 [pairs].

    A run of answers of one arm between two matches counts with its mean.
    """
    sums, counts = [0.0, 0.0], [0, 0]
    pairs: list[float] = []
    for arm, value in observations:
        if not 0.0 <= value <= 1.0:
            raise ValueError("values lie between 0 and 1")
        sums[arm] += value
        counts[arm] += 1
        if counts[0] and counts[1]:
            pairs.append(sums[CANDIDATE] / counts[CANDIDATE] - sums[CHAMPION] / counts[CHAMPION])
            sums, counts = [0.0, 0.0], [0, 0]
    return np.asarray(pairs, dtype=np.float64)


def sequence(
    differences: Sequence[float] | np.ndarray, *, alpha: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds of the mean difference after each observation, both float64 [n].

    They only ever tighten: what was once ruled out stays so.
    """
    if not 0 < alpha < 1:
        raise ValueError("alpha lies between 0 and 1")
    values = (np.asarray(differences, dtype=np.float64) + 1) / 2
    size = values.size
    lows, highs = np.empty(size), np.empty(size)
    if size == 0:
        return lows, highs
    means = np.linspace(0, 1, GRID)
    bets = _bets(values, alpha)
    up, down = np.zeros(GRID), np.zeros(GRID)  # log capital of those who bet on more, and on less
    alive = np.ones(GRID, dtype=bool)
    for start in range(0, size, _CHUNK):
        part = values[start : start + _CHUNK, None] - means
        bet = bets[start : start + _CHUNK, None]
        with np.errstate(divide="ignore"):
            more = np.minimum(bet, _TRUNCATE / np.maximum(means, 1e-12))
            less = np.minimum(bet, _TRUNCATE / np.maximum(1 - means, 1e-12))
        ups = up + np.cumsum(np.log1p(more * part), axis=0)
        downs = down + np.cumsum(np.log1p(-less * part), axis=0)
        up, down = ups[-1], downs[-1]
        # Half of the stake bets either way: the larger half alone must reach 1/alpha.
        ruled = np.maximum(ups, downs) + np.log(0.5) >= np.log(1 / alpha)
        kept = alive & ~np.logical_or.accumulate(ruled, axis=0)
        alive = kept[-1]
        first, last = kept.argmax(axis=1), GRID - 1 - kept[:, ::-1].argmax(axis=1)
        none = ~kept.any(axis=1)  # everything ruled out: happens with probability alpha at most
        # A mean between two of the grid may be the true one: the bound is the neighbour that was ruled out.
        lows[start : start + _CHUNK] = np.where(none, 0.5, means[np.maximum(first - 1, 0)])
        highs[start : start + _CHUNK] = np.where(none, 0.5, means[np.minimum(last + 1, GRID - 1)])
    return 2 * lows - 1, 2 * highs - 1


def _bets(values: np.ndarray, alpha: float) -> np.ndarray:
    """The predictable plug-in bets: each looks only at what came before it. float64 [n]."""
    steps = np.arange(1, values.size + 1)
    running = (0.5 + np.cumsum(values)) / (steps + 1)
    variance = (0.25 + np.cumsum((values - running) ** 2)) / (steps + 1)
    before = np.concatenate(([0.25], variance[:-1]))
    bets: np.ndarray = np.sqrt(2 * np.log(2 / alpha) / (before * steps * np.log(steps + 1)))
    return bets
