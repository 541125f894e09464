"""The arithmetic of limits, over every sequence of calls hypothesis thinks of, with a clock that obeys."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.limits import CONCURRENCY, Concurrency, MemoryLimiter, Rate, open_limiter
from servicekit.limits.memory import SWEEP_MS


@dataclass
class Clock:
    now: int = 1_000_000

    def __call__(self) -> int:
        return self.now


@dataclass
class Ledger:
    """What was granted, less what was given back, by time."""

    events: list[tuple[int, int]] = field(default_factory=list)

    def check(self, rate: Rate) -> None:
        for first, (start, _) in enumerate(self.events):
            granted = 0
            for end, amount in self.events[first:]:
                granted += amount
                assert granted * rate.per_ms <= (rate.per_ms + end - start) * rate.limit


rates = st.builds(
    Rate, st.just("requests"), st.integers(1, 50), st.sampled_from([0.001, 0.007, 1.0, 60.0, 3600.0])
)
steps = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 60), st.integers(-60, 0)), max_size=40)


@given(rates, steps)
async def test_nobody_gets_one_more_than_the_limit_over_any_stretch(
    rate: Rate, calls: list[tuple[int, int, int]]
) -> None:
    clock = Clock()
    limiter = MemoryLimiter(clock_ms=clock)
    ledger = Ledger()
    for pause, amount, back in calls:
        clock.now += pause
        decision = await limiter.reserve("t", [replace(rate, amount=amount)], None)
        if decision.allowed:
            ledger.events.append((clock.now, amount))
            if -back <= amount:
                await limiter.settle("t", [replace(rate, amount=back)], None)
                ledger.events.append((clock.now, back))
    ledger.check(rate)


@given(rates, steps, st.integers(1, 60))
async def test_retry_after_is_the_truth(rate: Rate, calls: list[tuple[int, int, int]], amount: int) -> None:
    """Waiting that long succeeds; waiting less, by more than the one millisecond of grace, does not."""
    clock = Clock()
    limiter = MemoryLimiter(clock_ms=clock)
    for pause, taken, _ in calls:
        clock.now += pause
        await limiter.reserve("t", [replace(rate, amount=taken)], None)
    wanted = [replace(rate, amount=amount)]
    decision = await limiter.reserve("t", wanted, None)
    if decision.allowed:
        assert decision.retry_after == 0
        return
    assert decision.refused == "requests"
    if amount > rate.limit:
        assert decision.retry_after == math.inf
        return
    wait = math.ceil(decision.retry_after * 1000 - 1e-6)
    start = clock.now
    clock.now = start + wait - 2
    assert not (await limiter.reserve("t", wanted, None)).allowed
    clock.now = start + wait
    assert (await limiter.reserve("t", wanted, None)).allowed


@given(rates, steps)
async def test_what_remains_can_be_had_and_no_more(rate: Rate, calls: list[tuple[int, int, int]]) -> None:
    clock = Clock()
    limiter = MemoryLimiter(clock_ms=clock)
    for pause, amount, _ in calls:
        clock.now += pause
        decision = await limiter.reserve("t", [replace(rate, amount=amount)], None)
        left = decision.remaining["requests"]
        assert not (await limiter.reserve("t", [replace(rate, amount=left + 1)], None)).allowed
    if calls:
        assert (await limiter.reserve("t", [replace(rate, amount=left)], None)).allowed


@given(rates, steps)
async def test_a_bucket_is_whole_after_its_reset(rate: Rate, calls: list[tuple[int, int, int]]) -> None:
    clock = Clock()
    limiter = MemoryLimiter(clock_ms=clock)
    for pause, amount, _ in calls:
        clock.now += pause
        decision = await limiter.reserve("t", [replace(rate, amount=amount)], None)
        clock.now += math.ceil(decision.reset["requests"] * 1000 - 1e-6)
        assert (await limiter.reserve("t", [replace(rate, amount=0)], None)).remaining[
            "requests"
        ] == rate.limit


@given(st.lists(st.tuples(st.integers(0, 300), st.booleans()), max_size=40), st.integers(1, 4))
async def test_leases_never_exceed_the_limit_and_free_themselves(
    calls: list[tuple[int, bool]], limit: int
) -> None:
    clock = Clock()
    limiter = MemoryLimiter(clock_ms=clock)
    concurrency = Concurrency(limit, hold=0.5)
    held: dict[str, int] = {}
    for pause, release in calls:
        clock.now += pause
        held = {lease: until for lease, until in held.items() if until > clock.now}
        if release and held:
            lease = next(iter(held))
            del held[lease]
            await limiter.settle("t", [], lease)
        decision = await limiter.reserve("t", [], concurrency)
        assert decision.allowed == (len(held) < limit)
        if decision.lease:
            held[decision.lease] = clock.now + 500
        else:
            assert decision.refused == CONCURRENCY
            assert decision.retry_after * 1000 == pytest.approx(min(held.values()) - clock.now + 1)
        assert decision.remaining[CONCURRENCY] == limit - len(held)


async def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    clock = Clock()
    limiter = MemoryLimiter(clock_ms=clock)
    rate = Rate("requests", 2)
    for _ in range(2):
        assert (await limiter.reserve("t", [rate], None)).allowed
    clock.now -= 500_000
    assert not (await limiter.reserve("t", [rate], None)).allowed
    clock.now += 30_000
    assert (await limiter.reserve("t", [rate], None)).allowed


async def test_what_owes_nothing_is_forgotten() -> None:
    clock = Clock()
    limiter = MemoryLimiter(clock_ms=clock)
    for number in range(1000):
        await limiter.reserve(f"t{number}", [Rate("requests", 10, per=1)], None)
    decision = await limiter.reserve("held", [], Concurrency(1, hold=3600))
    clock.now += SWEEP_MS
    await limiter.reserve("new", [Rate("requests", 10, per=1)], None)
    assert len(limiter) == 2
    assert not (await limiter.reserve("held", [], Concurrency(1, hold=3600))).allowed
    await limiter.settle("held", [], decision.lease)


async def test_keys_are_bounded() -> None:
    limiter = MemoryLimiter(max_keys=10)
    for number in range(100):
        await limiter.reserve(f"t{number}", [Rate("requests", 10)], None)
    assert len(limiter) == 10


@pytest.mark.parametrize(
    ("name", "limit", "per"),
    [("", 1, 60), ("a:b", 1, 60), (CONCURRENCY, 1, 60), ("r", -1, 60), ("r", 1, 0), ("r", 10**15, 86400)],
)
def test_a_rate_that_cannot_be_counted_is_refused(name: str, limit: int, per: float) -> None:
    with pytest.raises(ValueError):
        Rate(name, limit, per)


@pytest.mark.parametrize("url", ["memcached://host", "host:6379", ""])
def test_an_unknown_scheme_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="memory://"):
        open_limiter(url)
