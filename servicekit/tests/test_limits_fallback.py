"""What each process does while the shared limiter is away: it limits by itself, to its share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from servicekit.limits import Concurrency, Decision, LimiterUnavailable, MemoryLimiter, Rate
from servicekit.limits.fallback import LOCAL, FallbackLimiter


class Shared(MemoryLimiter):
    """A shared limiter that a test can take away."""

    away = False

    async def reserve(self, key: str, rates: Sequence[Rate], concurrency: Concurrency | None) -> Decision:
        if self.away:
            raise LimiterUnavailable
        return await super().reserve(key, rates, concurrency)

    async def settle(self, key: str, rates: Sequence[Rate], lease: str | None) -> None:
        if self.away:
            raise LimiterUnavailable
        await super().settle(key, rates, lease)

    async def ping(self) -> None:
        if self.away:
            raise LimiterUnavailable


@pytest.fixture
def shared() -> Shared:
    return Shared()


async def allowed(limiter: FallbackLimiter, rate: Rate, tries: int = 30) -> int:
    return sum([(await limiter.reserve("t", [rate], None)).allowed for _ in range(tries)])


async def test_a_process_allows_its_share(shared: Shared) -> None:
    shared.away = True
    assert await allowed(FallbackLimiter(shared, processes=4), Rate("requests", 12, per=3600)) == 3
    assert await allowed(FallbackLimiter(shared, processes=4), Rate("requests", 2, per=3600)) == 1
    assert await allowed(FallbackLimiter(shared, processes=4), Rate("requests", 0, per=3600)) == 0


async def test_concurrency_is_shared_out_too(shared: Shared) -> None:
    shared.away = True
    limiter = FallbackLimiter(shared, processes=2)
    decisions = [await limiter.reserve("t", [], Concurrency(4, 60)) for _ in range(5)]
    assert [decision.allowed for decision in decisions] == [True, True, False, False, False]
    await limiter.settle("t", [], decisions[0].lease)
    assert (await limiter.reserve("t", [], Concurrency(4, 60))).allowed


async def test_a_large_request_passes_once_and_leaves_its_debt(shared: Shared) -> None:
    """4,000 of 10,000 tokens is more than a quarter's share; refusing it until Redis is back helps nobody."""
    shared.away = True
    limiter = FallbackLimiter(shared, processes=4)
    rate = Rate("tokens", 10_000, per=1000, amount=4000)
    first = await limiter.reserve("t", [rate], None)
    assert first.allowed
    second = await limiter.reserve("t", [rate], None)
    assert not second.allowed
    # 4,000 owed at a share of 2.5 tokens a second, and the share has to be whole again: 1,600 s.
    assert second.retry_after == pytest.approx(1600, abs=5)


async def test_larger_than_the_limit_stays_refused(shared: Shared) -> None:
    shared.away = True
    decision = await FallbackLimiter(shared, processes=4).reserve("t", [Rate("tokens", 10, amount=11)], None)
    assert not decision.allowed
    assert decision.retry_after == math.inf


async def test_what_was_reserved_here_is_settled_here(shared: Shared) -> None:
    """Given back to the shared limiter, it would lower what others owe there."""
    limiter = FallbackLimiter(shared)
    rate = Rate("tokens", 100, per=3600, amount=60)
    assert (await limiter.reserve("t", [rate], None)).allowed
    shared.away = True
    here = await limiter.reserve("t", [rate], None)
    assert here.allowed
    assert here.lease is not None
    assert here.lease.startswith(LOCAL)
    shared.away = False
    await limiter.settle("t", [Rate("tokens", 100, per=3600, amount=-60)], here.lease)
    assert not (await limiter.reserve("t", [rate], None)).allowed, "the shared debt is what it was"
    shared.away = True
    assert (await limiter.reserve("t", [rate], None)).allowed, "the local debt was given back"


async def test_giving_back_what_another_server_holds_opens_nothing(shared: Shared) -> None:
    limiter = FallbackLimiter(shared)
    rate = Rate("tokens", 100, per=3600, amount=100)
    there = await limiter.reserve("t", [rate], Concurrency(5, 60))
    shared.away = True
    assert (await limiter.reserve("t", [rate], None)).allowed
    await limiter.settle("t", [Rate("tokens", 100, per=3600, amount=-100)], there.lease)
    assert not (await limiter.reserve("t", [rate], None)).allowed


async def test_using_more_than_reserved_counts_here_when_it_cannot_count_there(shared: Shared) -> None:
    limiter = FallbackLimiter(shared)
    there = await limiter.reserve("t", [Rate("tokens", 100, per=3600, amount=1)], Concurrency(5, 60))
    shared.away = True
    await limiter.settle("t", [Rate("tokens", 100, per=3600, amount=90)], there.lease)
    assert not (await limiter.reserve("t", [Rate("tokens", 100, per=3600, amount=20)], None)).allowed


async def test_it_says_so_once_and_returns(shared: Shared) -> None:
    limiter = FallbackLimiter(shared)
    rate = Rate("requests", 1000)
    with capture_logs() as logs:
        for away in (False, True, True, True, False, False):
            shared.away = away
            assert (await limiter.reserve("t", [rate], None)).allowed
    assert [line["event"] for line in logs] == ["limits_per_process", "limits_shared"]


async def test_ping_tells_the_truth(shared: Shared) -> None:
    limiter = FallbackLimiter(shared)
    await limiter.ping()
    shared.away = True
    with pytest.raises(LimiterUnavailable):
        await limiter.ping()
