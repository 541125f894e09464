"""The canary's test may be looked at after every answer, and still errs as rarely as it says."""

from __future__ import annotations

import numpy as np
import pytest

from eval_service.statistics.sequential import CANDIDATE, CHAMPION, difference, matched, sequence

TRIALS = 1000


def arms(
    generator: np.random.Generator, size: int, share: float, champion: float, candidate: float
) -> np.ndarray:
    """Differences of `size` requests of which `share` go to the candidate; probabilities of a good answer."""
    which = generator.random(size) < share
    good = generator.random(size) < np.where(which, candidate, champion)
    return matched((int(arm), float(value)) for arm, value in zip(which, good, strict=True))


@pytest.mark.parametrize(("share", "good"), [(0.5, 0.5), (0.5, 0.9), (0.1, 0.7)])
def test_the_same_model_on_both_arms_is_falsely_promoted_in_at_most_5_of_100(
    share: float, good: float
) -> None:
    """1,000 canaries of 2,000 requests each, looked at after every answer."""
    generator = np.random.default_rng(2026)
    promoted = 0
    for _ in range(TRIALS):
        low, high = sequence(arms(generator, 2000, share, good, good))
        promoted += bool((low > 0).any())
        assert (low <= high).all()
    assert promoted <= 0.05 * TRIALS


def test_a_worse_model_is_falsely_called_not_worse_in_at_most_5_of_100() -> None:
    """At the edge of the margin itself, where it is hardest."""
    generator = np.random.default_rng(7)
    promoted = sum(
        bool((sequence(arms(generator, 1000, 0.5, 0.8, 0.75))[0] > -0.05).any()) for _ in range(TRIALS)
    )
    assert promoted <= 0.05 * TRIALS


def needed(share: float, champion: float, candidate: float, size: int) -> tuple[float, float]:
    """Share of 200 canaries that see the difference within `size` requests, and the median of when."""
    generator = np.random.default_rng(3)
    seen: list[int] = []
    for _ in range(200):
        which = generator.random(size) < share
        good = generator.random(size) < np.where(which, candidate, champion)
        pairs = matched((int(arm), float(value)) for arm, value in zip(which, good, strict=True))
        low, high = sequence(pairs)
        hits = np.flatnonzero((low > 0) if candidate > champion else (high < 0))
        if hits.size:
            seen.append(int(size * (hits[0] + 1) / len(pairs)))
    return len(seen) / 200, float(np.median(seen)) if seen else float("inf")


def test_real_differences_are_found_soon() -> None:
    """The power that `README.md` states."""
    power, middle = needed(0.5, 0.5, 0.95, 400)
    assert power >= 0.99
    assert middle <= 150
    assert needed(0.5, 0.9, 0.6, 800)[0] >= 0.95  # a worse one is rolled back
    assert needed(0.2, 0.6, 0.8, 4000)[0] >= 0.95


def test_bounds_hold_the_truth_and_only_tighten() -> None:
    generator = np.random.default_rng(4)
    low, high = sequence(arms(generator, 6000, 0.5, 0.6, 0.8))
    assert low[-1] <= 0.2 <= high[-1]
    assert high[-1] - low[-1] < 0.25
    assert (np.diff(low) >= 0).all()
    assert (np.diff(high) <= 0).all()


def test_pieces_add_up_to_the_whole() -> None:
    """Longer than one chunk of the computation."""
    values = np.random.default_rng(9).choice([-1.0, 0.0, 1.0], size=9000)
    low, high = sequence(values)
    short_low, short_high = sequence(values[:5000])
    assert np.array_equal(low[:5000], short_low)
    assert np.array_equal(high[:5000], short_high)


def test_nothing_seen_says_nothing() -> None:
    assert difference([]) == (-1.0, 1.0, 0)
    assert difference([(CHAMPION, 1.0)] * 50) == (-1.0, 1.0, 0)
    assert difference([(CHAMPION, 1.0), (CANDIDATE, 0.0)]).pairs == 1
    with pytest.raises(ValueError):
        difference([(CHAMPION, 1.5)])
    with pytest.raises(ValueError):
        sequence([0.0], alpha=0)


def test_a_run_of_one_arm_counts_with_its_mean() -> None:
    seen = [(CHAMPION, 1.0), (CHAMPION, 0.0), (CANDIDATE, 1.0), (CANDIDATE, 1.0), (CHAMPION, 0.0)]
    assert matched(seen).tolist() == [0.5, 1.0]
