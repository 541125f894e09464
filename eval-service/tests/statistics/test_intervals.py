"""Intervals against textbook values, an independent implementation, and their own promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from eval_service.statistics.holm import holm
from eval_service.statistics.intervals import bootstrap_mean, wilson
from eval_service.statistics.paired import BOOTSTRAP, MCNEMAR, better, binomial_tail, compare, mcnemar


@pytest.mark.parametrize(("passed", "total"), [(0, 10), (1, 10), (30, 60), (177, 180), (180, 180)])
def test_wilson_agrees_with_scipy(passed: int, total: int) -> None:
    found = wilson(passed, total)
    expected = stats.binomtest(passed, total).proportion_ci(0.95, method="wilson")
    assert math.isclose(found.low, expected.low, abs_tol=1e-9)
    assert math.isclose(found.high, expected.high, abs_tol=1e-9)


def test_no_trials_leave_everything_open() -> None:
    assert wilson(0, 0) == (0.0, 0.0, 1.0)
    with pytest.raises(ValueError):
        wilson(3, 2)


def test_bca_agrees_with_scipy() -> None:
    values = np.random.default_rng(3).exponential(size=80)
    found = bootstrap_mean(list(values), resamples=20_000)
    expected = stats.bootstrap(
        (values,), np.mean, method="BCa", n_resamples=20_000, rng=1
    ).confidence_interval
    assert math.isclose(found.low, expected.low, abs_tol=0.02)
    assert math.isclose(found.high, expected.high, abs_tol=0.02)


def test_intervals_of_means_cover_the_truth_as_often_as_they_say() -> None:
    generator = np.random.default_rng(5)
    inside = 0
    for trial in range(300):
        low, high = bootstrap_mean(list(generator.beta(2, 5, size=40)), seed=trial, resamples=800)[1:]
        inside += low <= 2 / 7 <= high
    assert inside >= 0.9 * 300


def test_the_same_seed_gives_the_same_bounds() -> None:
    values = [0.1, 0.5, 0.9, 0.4]
    assert bootstrap_mean(values, seed=7) == bootstrap_mean(values, seed=7)
    assert bootstrap_mean([]) == (0, 0, 0)
    assert bootstrap_mean([0.4]) == (0.4, 0.4, 0.4)
    assert bootstrap_mean([0.4] * 9) == pytest.approx((0.4, 0.4, 0.4))


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (5, 5), (8, 1), (90, 2), (1, 400)])
def test_mcnemar_agrees_with_scipy(wins: int, losses: int) -> None:
    expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert mcnemar(wins, losses) == pytest.approx(expected, rel=1e-6)


def test_a_tail_may_be_smaller_than_a_float_of_its_parts() -> None:
    assert binomial_tail(2000, 2000) == pytest.approx(0.5**1000 * 0.5**1000, abs=1e-300)


def test_pass_or_fail_is_compared_by_mcnemar_and_scores_by_bootstrap() -> None:
    passes = compare([0, 0, 1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 1, 1, 1, 1])
    assert (passes.test, passes.wins, passes.losses, passes.items) == (MCNEMAR, 6, 1, 8)
    assert passes.difference == pytest.approx(5 / 8)
    scores = compare([0.2, 0.3, 0.4] * 10, [0.4, 0.5, 0.7] * 10)
    assert scores.test == BOOTSTRAP
    assert scores.p_value < 0.01
    slower = compare([1.0, 1.1, 0.9] * 10, [2.0, 2.4, 1.7] * 10, higher_is_better=False)
    assert slower.losses == 30
    assert slower.difference > 0
    with pytest.raises(ValueError):
        compare([1], [1, 0])


def test_not_worse_is_claimed_within_a_margin_and_not_beyond() -> None:
    generator = np.random.default_rng(1)
    base = generator.normal(1.0, 0.1, 200)
    alike = base + generator.normal(0, 0.02, 200)
    slower = base * 1.5
    lower = {"higher_is_better": False, "relative": True}
    assert better(list(base), list(alike), margin=-0.25, **lower) < 0.001  # type: ignore[arg-type]
    assert better(list(base), list(slower), margin=-0.25, **lower) > 0.99  # type: ignore[arg-type]
    assert better([0, 1] * 20, [0, 1] * 20, margin=-0.05) < 0.05
    assert better([0, 1] * 20, [0, 1] * 20) == 1.0  # alike is not better
    assert better([], []) == 1.0


def test_the_bootstrap_claims_falsely_as_rarely_as_it_says() -> None:
    generator = np.random.default_rng(11)
    false = 0
    for trial in range(400):
        base = generator.uniform(size=40)
        candidate = base + generator.normal(0, 0.1, 40)
        false += better(list(base), list(candidate), margin=0.0, seed=trial) < 0.05
    assert false <= 0.09 * 400


def test_holm_adjusts_in_place() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.9]) == [1.0, 1.0]
