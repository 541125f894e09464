"""What every limiter promises, on memory and on a real Redis; then what only many processes can get wrong."""

from __future__ import annotations

import asyncio
import math
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
import redis
from parts.redis import OwnRedis
from structlog.testing import capture_logs

from servicekit.limits import (
    CONCURRENCY,
    Concurrency,
    Decision,
    Limiter,
    LimiterUnavailable,
    MemoryLimiter,
    Rate,
    open_limiter,
)
from servicekit.limits.redis import RedisLimiter

PATIENT = 10.0
AGES = 1_000_000.0
"""A `per` so long that nothing refills while a test runs."""


@pytest.fixture(params=["memory", "redis"])
async def limiter(request: pytest.FixtureRequest) -> AsyncIterator[Limiter]:
    limiter: Limiter = MemoryLimiter()
    if request.param == "redis":
        server = request.getfixturevalue("redis_server")
        server.clean()
        limiter = RedisLimiter(server.url, timeout=PATIENT)
    yield limiter
    await limiter.close()


def requests(limit: int, amount: int = 1, per: float = AGES) -> Rate:
    return Rate("requests", limit, per, amount)


def tokens(limit: int, amount: int, per: float = AGES) -> Rate:
    return Rate("tokens", limit, per, amount)


async def grants(limiter: Limiter, key: str, rate: Rate, tries: int) -> int:
    return sum([(await limiter.reserve(key, [rate], None)).allowed for _ in range(tries)])


async def test_the_limit_and_not_one_more(limiter: Limiter) -> None:
    assert await grants(limiter, "t", requests(7), 20) == 7


async def test_callers_at_once_get_the_limit_and_not_one_more(limiter: Limiter) -> None:
    decisions = await asyncio.gather(*(limiter.reserve("t", [requests(50)], None) for _ in range(300)))
    assert sum(decision.allowed for decision in decisions) == 50


async def test_tenants_do_not_share(limiter: Limiter) -> None:
    assert await grants(limiter, "one", requests(3), 5) == 3
    assert await grants(limiter, "two", requests(3), 5) == 3


@pytest.mark.parametrize("key", ["a b", "a:b:c", "{a}b}", "}{", "ключ", "a\r\nFLUSHALL\r\n", "x" * 512])
async def test_any_text_is_a_key(limiter: Limiter, key: str) -> None:
    decision = await limiter.reserve(key, [requests(2)], Concurrency(1, 60))
    assert decision.allowed
    assert not (await limiter.reserve(key, [requests(2)], Concurrency(1, 60))).allowed
    await limiter.settle(key, [], decision.lease)
    assert (await limiter.reserve(key, [requests(2)], Concurrency(1, 60))).allowed
    assert not (await limiter.reserve(key, [requests(2)], None)).allowed


async def test_all_or_nothing(limiter: Limiter) -> None:
    """What one limit refuses takes nothing of the others, and no lease."""
    for _ in range(5):
        refused = await limiter.reserve("t", [requests(10), tokens(100, 101)], Concurrency(1, 60))
        assert refused.refused == "tokens"
        assert refused.lease is None
        assert refused.remaining == {"requests": 10, "tokens": 100, CONCURRENCY: 1}
    held = await limiter.reserve("t", [requests(10), tokens(100, 40)], Concurrency(1, 60))
    assert held.remaining == {"requests": 9, "tokens": 60, CONCURRENCY: 0}
    refused = await limiter.reserve("t", [requests(10), tokens(100, 40)], Concurrency(1, 60))
    assert refused.refused == CONCURRENCY
    assert refused.remaining == {"requests": 9, "tokens": 60, CONCURRENCY: 0}


async def test_the_longest_wait_is_the_one_named(limiter: Limiter) -> None:
    rates = [Rate("requests", 1, per=10), Rate("tokens", 10, per=1000, amount=10)]
    assert (await limiter.reserve("t", rates, Concurrency(1, 60))).allowed
    refused = await limiter.reserve("t", rates, Concurrency(1, 60))
    assert refused.refused == "tokens"
    assert 990 < refused.retry_after <= 1000.001
    assert refused.reset["requests"] <= 10
    assert 990 < refused.reset["tokens"] <= 1000


async def test_more_than_the_limit_never_fits(limiter: Limiter) -> None:
    for rate in (requests(5, 6), requests(0)):
        decision = await limiter.reserve("t", [rate], None)
        assert not decision.allowed
        assert decision.retry_after == math.inf
    decision = await limiter.reserve("t", [], Concurrency(0, 60))
    assert (decision.refused, decision.retry_after) == (CONCURRENCY, math.inf)


async def test_waiting_as_long_as_told_succeeds(limiter: Limiter) -> None:
    rate = requests(4, per=0.8)
    while (decision := await limiter.reserve("t", [rate], None)).allowed:
        pass
    for _ in range(3):
        assert decision.refused == "requests"
        await asyncio.sleep(decision.retry_after)
        assert (await limiter.reserve("t", [rate], None)).allowed
        while (decision := await limiter.reserve("t", [rate], None)).allowed:
            pass


async def test_a_lease_is_held_until_it_is_settled(limiter: Limiter) -> None:
    concurrency = Concurrency(3, 600)
    leases = [(await limiter.reserve("t", [], concurrency)).lease for _ in range(3)]
    assert len(set(leases)) == 3
    refused = await limiter.reserve("t", [], concurrency)
    assert refused.refused == CONCURRENCY
    assert 590 < refused.retry_after <= 600.001
    await limiter.settle("t", [], leases[0])
    assert (await limiter.reserve("t", [], concurrency)).allowed
    await limiter.settle("t", [], leases[0])  # again: frees nobody else's
    assert not (await limiter.reserve("t", [], concurrency)).allowed


async def test_a_lost_lease_frees_itself_when_it_said(limiter: Limiter) -> None:
    concurrency = Concurrency(1, hold=0.3)
    assert (await limiter.reserve("t", [], concurrency)).allowed
    refused = await limiter.reserve("t", [], Concurrency(1, hold=60))
    assert not refused.allowed
    await asyncio.sleep(refused.retry_after)
    assert (await limiter.reserve("t", [], Concurrency(1, hold=60))).allowed


async def test_a_lowered_concurrency_limit_waits_for_enough_leases(limiter: Limiter) -> None:
    for hold in (100, 200, 300):
        assert (await limiter.reserve("t", [], Concurrency(3, hold))).allowed
    assert 190 < (await limiter.reserve("t", [], Concurrency(2, 60))).retry_after <= 200.001
    assert 290 < (await limiter.reserve("t", [], Concurrency(1, 60))).retry_after <= 300.001


async def test_what_was_not_used_comes_back(limiter: Limiter) -> None:
    held = await limiter.reserve("t", [tokens(100, 90)], Concurrency(1, 60))
    await limiter.settle("t", [tokens(100, -60)], held.lease)
    assert (await limiter.reserve("t", [tokens(100, 0)], None)).remaining["tokens"] == 70
    assert (await limiter.reserve("t", [tokens(100, 70)], Concurrency(1, 60))).allowed


async def test_never_more_than_whole_comes_back(limiter: Limiter) -> None:
    await limiter.settle("t", [tokens(100, -5000)], None)
    assert await grants(limiter, "t", tokens(100, 10), 30) == 10


async def test_what_was_used_beyond_is_owed(limiter: Limiter) -> None:
    assert (await limiter.reserve("t", [tokens(100, 10, per=100)], None)).allowed
    await limiter.settle("t", [tokens(100, 140, per=100)], None)
    refused = await limiter.reserve("t", [tokens(100, 1, per=100)], None)
    assert refused.remaining["tokens"] == 0
    assert 45 < refused.retry_after <= 51.001
    assert 140 < refused.reset["tokens"] <= 150


async def test_a_changed_limit_counts_at_once(limiter: Limiter) -> None:
    assert await grants(limiter, "t", requests(10), 10) == 10
    assert (await limiter.reserve("t", [requests(15)], None)).remaining == {"requests": 4}
    assert not (await limiter.reserve("t", [requests(5)], None)).allowed


async def test_mistakes_of_the_calling_code(limiter: Limiter) -> None:
    with pytest.raises(ValueError, match="key"):
        await limiter.reserve("", [], None)
    with pytest.raises(ValueError, match="twice"):
        await limiter.reserve("t", [requests(1), requests(2)], None)
    with pytest.raises(ValueError, match="negative"):
        await limiter.reserve("t", [requests(1, -1)], None)


async def test_it_answers_and_closes_twice(limiter: Limiter) -> None:
    await limiter.ping()
    await limiter.close()
    await limiter.close()


async def test_the_script_and_the_code_decide_alike(redis_url: str) -> None:
    """Two thousand calls at random: `reserve.lua` and `bucket.py` are one arithmetic in two languages."""
    chance = random.Random(11)
    here, there = MemoryLimiter(), RedisLimiter(redis_url, timeout=PATIENT)
    held: list[tuple[str | None, str | None]] = []
    for _ in range(2000):
        rates = [
            requests(chance.choice([0, 5, 900]), chance.randrange(4)),
            tokens(10_000, chance.randrange(400)),
        ]
        if held and chance.random() < 0.4:
            mine, theirs = held.pop(chance.randrange(len(held)))
            settled = [tokens(10_000, chance.randrange(-400, 50))]
            await here.settle("t", settled, mine)
            await there.settle("t", settled, theirs)
            continue
        concurrency = chance.choice([None, Concurrency(chance.choice([0, 3, 8]), 3600)])
        one, two = await here.reserve("t", rates, concurrency), await there.reserve("t", rates, concurrency)
        assert comparable(one) == comparable(two)
        if one.allowed:
            held.append((one.lease, two.lease))
    await there.close()


def comparable(decision: Decision) -> Decision:
    """Without what the moment decides: seconds, and the name of the lease."""
    never = decision.retry_after if decision.retry_after == math.inf else 0.0
    return replace(decision, retry_after=never, reset={}, lease=None)


WORKER = """
import asyncio, sys
from servicekit.limits import Concurrency, Rate
from servicekit.limits.redis import RedisLimiter

async def main() -> None:
    limiter = RedisLimiter(sys.argv[1], timeout=30)
    rates = [Rate("requests", 200, 1e6), Rate("tokens", 1000, 1e6, 3)]
    async def ask() -> list[bool]:
        return [(await limiter.reserve("t", rates, Concurrency(150, 3600))).allowed for _ in range(10)]
    sys.stdin.readline()
    print(sum(sum(granted) for granted in await asyncio.gather(*(ask() for _ in range(40)))))
    await limiter.close()

asyncio.run(main())
"""


async def test_processes_together_get_the_limit_and_not_one_more(redis_url: str) -> None:
    """Three processes of forty callers each, all at once, on three limits of which concurrency binds."""
    workers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WORKER, redis_url),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(3)
    ]
    answers = await asyncio.gather(*(worker.communicate(b"go\n") for worker in workers))
    granted = [int(out) for out, _ in answers]
    assert sum(granted) == 150
    with redis.Redis.from_url(redis_url) as client:
        leases = next(name for name in client.scan_iter() if name.endswith(b":leases"))
        assert client.zcard(leases) == 150
    limiter = RedisLimiter(redis_url, timeout=PATIENT)
    left = await limiter.reserve("t", [requests(200, 0, 1e6), tokens(1000, 0, 1e6)], None)
    assert left.remaining == {"requests": 50, "tokens": 550}
    await limiter.close()


async def test_everything_on_redis_expires(redis_url: str) -> None:
    limiter = RedisLimiter(redis_url, timeout=PATIENT)
    held = await limiter.reserve("t", [requests(10, per=100), tokens(100, 50, per=10)], Concurrency(5, 30))
    with redis.Redis.from_url(redis_url) as client:
        names = sorted(client.scan_iter())
        assert names == [b"sixfold:limits:{t}:leases", b"sixfold:limits:{t}:rates"]
        assert [math.ceil(client.pttl(name) / 1000) for name in names] == [30, 10]
        await limiter.settle("t", [tokens(100, 100, per=10)], held.lease)
        assert [math.ceil(client.pttl(name) / 1000) for name in client.scan_iter()] == [15]
    await limiter.close()


async def test_what_is_owed_is_gone_with_time(redis_url: str) -> None:
    limiter = RedisLimiter(redis_url, timeout=PATIENT)
    assert (await limiter.reserve("t", [requests(10, per=0.2)], Concurrency(5, 0.1))).allowed
    with redis.Redis.from_url(redis_url) as client:
        async with asyncio.timeout(15):
            while client.dbsize():  # noqa: ASYNC110 - it asks a server
                await asyncio.sleep(0.02)
    await limiter.close()


async def test_a_server_that_forgot_the_scripts_is_told_again(redis_url: str) -> None:
    limiter = RedisLimiter(redis_url, timeout=PATIENT)
    assert (await limiter.reserve("t", [requests(2)], None)).allowed
    with redis.Redis.from_url(redis_url) as client:
        client.script_flush()
    assert await grants(limiter, "t", requests(2), 5) == 1
    await limiter.close()


async def test_without_redis_the_bare_limiter_says_so(redis_server: OwnRedis) -> None:
    limiter = RedisLimiter(redis_server.url, timeout=0.5)
    await limiter.ping()
    await asyncio.to_thread(redis_server.stop)
    for call in (limiter.reserve("t", [], None), limiter.settle("t", [], "lease"), limiter.ping()):
        with pytest.raises(LimiterUnavailable):
            await call
    await limiter.close()


@pytest.mark.parametrize("fault", ["stopped", "hanging"])
async def test_while_redis_is_away_every_process_limits_its_share(redis_server: OwnRedis, fault: str) -> None:
    limiter = open_limiter(redis_server.url, timeout=0.5, processes=2)
    with capture_logs() as logs:
        shared = await limiter.reserve("t", [requests(10)], Concurrency(2, 600))
        assert shared.allowed
        await asyncio.to_thread(redis_server.stop if fault == "stopped" else redis_server.pause)
        async with asyncio.timeout(60):  # each would take half a second if it asked the server
            assert await grants(limiter, "t", requests(10), 1000) == 5
        local = await limiter.reserve("t", [], Concurrency(2, 600))
        assert local.allowed
        assert not (await limiter.reserve("t", [], Concurrency(2, 600))).allowed
        with pytest.raises(LimiterUnavailable):
            await limiter.ping()
        redis_server.resume()
        await asyncio.to_thread(redis_server.start)
        await eventually(lambda: answers(limiter))
        left = (await limiter.reserve("t", [requests(10)], None)).remaining["requests"]
        # A stopped server forgot the first one. One that hung may have counted what it could not answer.
        assert left in ([9] if fault == "stopped" else [7, 8])
        await limiter.settle("t", [], local.lease)
        await limiter.settle("t", [], shared.lease)
    assert [line["event"] for line in logs] == [
        "redis_away",
        "limits_per_process",
        "redis_back",
        "limits_shared",
    ]
    await limiter.close()


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 - it asks a server
            await asyncio.sleep(0.02)


async def answers(limiter: Limiter) -> bool:
    try:
        await limiter.ping()
    except LimiterUnavailable:
        return False
    return True
