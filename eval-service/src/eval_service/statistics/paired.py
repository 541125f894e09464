"""Two measurements of the same items: is the second better, and by how much?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from eval_service.statistics.intervals import RESAMPLES, bootstrap_mean, resampled_means
from eval_service.statistics.result import Paired

MCNEMAR = "mcnemar"
BOOTSTRAP = "paired_bootstrap"


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided p value: of wins + losses items on which both differ, half would go either way."""
    return min(1.0, 2 * binomial_tail(max(wins, losses), wins + losses))


def binomial_tail(at_least: int, trials: int) -> float:
    """P(X ≥ at_least) of a fair coin's heads in `trials` throws, exact also where it is tiny."""
    if at_least <= 0:
        return 1.0
    logs = [
        math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1) - trials * math.log(2)
        for k in range(at_least, trials + 1)
    ]
    return min(1.0, math.fsum(math.exp(each) for each in logs))


def compare(
    base: Sequence[float], candidate: Sequence[float], *, higher_is_better: bool = True, seed: int = 0
) -> Paired:
    """The two-sided comparison of values on the same items, in the same order.

    McNemar's exact test where all values are 0 or 1, the paired bootstrap otherwise. The interval is the
    bootstrap's, of the mean difference. Raises ValueError for lists of different length.
    """
    if len(base) != len(candidate):
        raise ValueError("paired values come in pairs")
    one, two = np.asarray(base, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    differences = two - one
    gains = differences if higher_is_better else -differences
    wins, losses = int((gains > 0).sum()), int((gains < 0).sum())
    interval = bootstrap_mean(differences, seed=seed)  # type: ignore[arg-type]
    binary = bool(np.isin(one, (0.0, 1.0)).all() and np.isin(two, (0.0, 1.0)).all())
    if binary:
        p_value, test = mcnemar(wins, losses), MCNEMAR
    else:
        up = at_most(gains, 0.0, seed=seed)
        down = at_most(-gains, 0.0, seed=seed)
        p_value, test = min(1.0, 2 * min(up, down)), BOOTSTRAP
    return Paired(*interval, p_value, test, len(differences), wins, losses)


def better(
    base: Sequence[float],
    candidate: Sequence[float],
    *,
    margin: float = 0.0,
    relative: bool = False,
    higher_is_better: bool = True,
    seed: int = 0,
) -> float:
    """One-sided p value of "the candidate's gain is at most `margin`": small means that it is larger.

    A negative margin asks whether the candidate is *not worse* by that much. A relative margin is a share
    of the base's mean: -0.25 on seconds allows a quarter more of them.
    """
    one, two = np.asarray(base, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    if one.size != two.size:
        raise ValueError("paired values come in pairs")
    sign = 1.0 if higher_is_better else -1.0
    if relative:
        # gain/|mean base| > margin, written as a mean over items, so that no ratio need be resampled.
        return at_most(sign * (two - one) - margin * np.abs(one), 0.0, seed=seed)
    gains = sign * (two - one)
    if margin == 0.0 and np.isin(one, (0.0, 1.0)).all() and np.isin(two, (0.0, 1.0)).all():
        return binomial_tail(int((gains > 0).sum()), int((gains != 0).sum()))
    return at_most(gains, margin, seed=seed)


def at_most(gains: np.ndarray, margin: float, *, seed: int, resamples: int = RESAMPLES) -> float:
    """One-sided p value of "the mean gain is at most `margin`", by the studentised bootstrap.

    Never below 1 / (resamples + 1), which is all that so many samples can say.
    """
    if gains.size == 0:
        return 1.0
    excess = float(gains.mean()) - margin
    deviation = float(gains.std())
    if deviation == 0.0 or gains.size == 1:
        # Every item says the same: as many fair coins falling the same way.
        return 0.5**gains.size if excess > 0 else 1.0
    observed = excess / deviation
    means = resampled_means(gains, seed=seed, resamples=resamples)
    squares = resampled_means(gains**2, seed=seed, resamples=resamples)  # the same seed draws the same items
    deviations = np.sqrt(np.maximum(squares - means**2, 0.0))
    centred = means - gains.mean()
    drawn = np.divide(
        centred, deviations, out=np.where(centred >= 0, np.inf, -np.inf), where=deviations > 1e-12
    )
    # A resample of one value repeated says nothing of the spread; it counts against the claim.
    return float((1 + (drawn >= observed).sum()) / (resamples + 1))
