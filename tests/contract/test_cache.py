"""What every cache promises, on memory and on a real Redis; then what only a server can get wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import redis
from parts.certificates import server_certificate
from parts.process import free_port
from parts.redis import OwnRedis, own_redis
from structlog.testing import capture_logs

from servicekit.cache import Cache, CacheUnavailable, open_cache

PATIENT = 10.0


@pytest.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[Cache]:
    url = "memory://"
    if request.param == "redis":
        server = request.getfixturevalue("redis_server")
        server.clean()
        url = server.url
    cache = open_cache(url, max_bytes=50_000_000, timeout=PATIENT, max_value_bytes=100_000)
    yield cache
    await cache.close()


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 - it asks a server
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("value", [b"", b"text", bytes(range(256)), b"\r\n$-1\r\n", bytes(100_000)])
async def test_what_goes_in_comes_out(cache: Cache, value: bytes) -> None:
    await cache.set("key", value, 60)
    assert await cache.get("key") == value


async def test_an_unknown_key_is_none(cache: Cache) -> None:
    assert await cache.get("never set") is None


async def test_the_last_value_wins(cache: Cache) -> None:
    await cache.set("key", b"1", 60)
    await cache.set("key", b"2", 60)
    assert await cache.get("key") == b"2"


@pytest.mark.parametrize("key", ["a b", "a:b", "{a}b}", "ключ", "a\r\nFLUSHALL\r\n", "x" * 1024])
async def test_any_text_is_a_key(cache: Cache, key: str) -> None:
    await cache.set("other", b"other", 60)
    await cache.set(key, b"mine", 60)
    assert await cache.get(key) == b"mine"
    assert await cache.get("other") == b"other"


async def test_delete_counts_what_was_there(cache: Cache) -> None:
    await cache.set("a", b"1", 60)
    await cache.set("b", b"2", 60)
    assert await cache.delete("a", "b", "c") == 2
    assert await cache.delete("a") == 0
    assert await cache.delete() == 0
    assert await cache.get("a") is None


async def test_an_entry_expires_and_others_stay(cache: Cache) -> None:
    await cache.set("short", b"1", 0.05)
    await cache.set("long", b"2", 600)

    async def gone() -> bool:
        return await cache.get("short") is None

    await eventually(gone)
    assert await cache.get("long") == b"2"


async def test_a_value_too_large_is_not_kept_nor_the_old_one(cache: Cache) -> None:
    await cache.set("key", b"old", 60)
    await cache.set("key", bytes(100_001), 60)
    assert await cache.get("key") is None


@pytest.mark.parametrize("key", ["", "x" * 1025, "é" * 513])
async def test_a_key_that_is_a_mistake(cache: Cache, key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        await cache.get(key)
    with pytest.raises(ValueError, match="key"):
        await cache.set(key, b"", 60)
    with pytest.raises(ValueError, match="key"):
        await cache.delete(key)


@pytest.mark.parametrize("ttl", [0, -1, float("inf"), float("nan")])
async def test_an_entry_that_never_expires_is_a_mistake(cache: Cache, ttl: float) -> None:
    with pytest.raises(ValueError, match="lives"):
        await cache.set("key", b"", ttl)


async def test_it_answers_and_closes_twice(cache: Cache) -> None:
    await cache.ping()
    await cache.close()
    await cache.close()


async def test_a_caller_that_leaves_never_makes_another_get_its_answer(cache: Cache) -> None:
    """Replies on a connection come in order: one that nobody read would be the next caller's."""
    for number in range(50):
        await cache.set(f"k{number}", str(number).encode(), 60)
    chance = random.Random(3)

    async def ask(number: int) -> None:
        assert await cache.get(f"k{number}") == str(number).encode()

    for _ in range(20):
        tasks = [asyncio.create_task(ask(chance.randrange(50))) for _ in range(60)]
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        await asyncio.sleep(chance.random() / 500)
        leaving = set(chance.sample(tasks, 20))
        for task in leaving:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for task, result in zip(tasks, results, strict=True):
            assert result is None or (task in leaving and isinstance(result, asyncio.CancelledError))


async def test_many_callers_at_once(cache: Cache) -> None:
    async def use(number: int) -> None:
        key = f"k{number}"
        await cache.set(key, str(number).encode(), 60)
        assert await cache.get(key) == str(number).encode()

    await asyncio.gather(*(use(number) for number in range(500)))


async def test_processes_share_one_redis_and_prefixes_part_it(redis_url: str) -> None:
    one, two, other = (open_cache(redis_url, timeout=PATIENT, prefix=prefix) for prefix in ("a:", "a:", "b:"))
    await one.set("key", b"value", 60)
    assert await two.get("key") == b"value"
    assert await other.get("key") is None
    for cache in (one, two, other):
        await cache.close()


async def test_every_entry_on_redis_expires(redis_url: str) -> None:
    cache = open_cache(redis_url, timeout=PATIENT)
    await cache.set("key", b"value", 60)
    with redis.Redis.from_url(redis_url) as client:
        names = list(client.scan_iter())
        assert names
        assert all(client.ttl(name) > 0 for name in names)
    await cache.close()


async def test_without_redis_a_call_is_refused_and_costs_nothing(redis_server: OwnRedis) -> None:
    """A server that hangs: one call waits out its timeout, ten thousand more do not."""
    cache = open_cache(redis_server.url, timeout=0.5)
    await cache.set("key", b"value", 60)
    redis_server.pause()
    with capture_logs() as logs:
        async with asyncio.timeout(60):  # they would wait 5,000 s
            for _ in range(10_000):
                with pytest.raises(CacheUnavailable):
                    await cache.get("key")
        redis_server.resume()
        await eventually(lambda: answers(cache))
    assert await cache.get("key") == b"value"
    assert [line["event"] for line in logs] == ["redis_away", "redis_back"]
    await cache.close()


async def test_it_is_back_by_itself_when_redis_is(redis_server: OwnRedis) -> None:
    cache = open_cache(redis_server.url, timeout=PATIENT)
    await cache.ping()
    await asyncio.to_thread(redis_server.stop)
    for call in (cache.get("key"), cache.set("key", b"value", 60), cache.delete("key"), cache.ping()):
        with pytest.raises(CacheUnavailable):
            await call
    await asyncio.sleep(1)  # long enough to ask in vain a few times
    assert not await answers(cache)
    await asyncio.to_thread(redis_server.start)
    await eventually(lambda: answers(cache))
    await cache.set("key", b"value", 60)
    assert await cache.get("key") == b"value"
    await cache.close()


async def test_a_restart_between_two_calls_goes_unnoticed(redis_server: OwnRedis) -> None:
    cache = open_cache(redis_server.url, timeout=PATIENT)
    await asyncio.gather(*(cache.ping() for _ in range(10)))
    await asyncio.to_thread(redis_server.stop)
    await asyncio.to_thread(redis_server.start)
    await cache.set("key", b"value", 60)
    assert await cache.get("key") == b"value"
    await cache.close()


async def test_a_server_that_was_never_there() -> None:
    cache = open_cache(f"redis://127.0.0.1:{free_port()}", timeout=PATIENT)
    for _ in range(3):
        with pytest.raises(CacheUnavailable):
            await cache.get("key")
    await cache.close()
    with pytest.raises(CacheUnavailable):
        await cache.get("key")


async def test_a_full_server_refuses_and_still_answers() -> None:
    server = own_redis("--maxmemory", "1kb", "--maxmemory-policy", "noeviction")
    cache = open_cache(server.url, timeout=PATIENT)
    try:
        with capture_logs() as logs:
            for _ in range(3):
                with pytest.raises(CacheUnavailable):
                    await cache.set("key", bytes(1000), 60)
                assert await cache.get("key") is None
        assert {line["event"] for line in logs} == {"redis_refused"}
    finally:
        await cache.close()
        server.remove()


async def test_the_password_is_used_and_never_logged() -> None:
    server = own_redis("--requirepass", "s3cret-of-redis")
    right = open_cache(f"redis://:s3cret-of-redis@127.0.0.1:{server.port}", timeout=PATIENT)
    wrong = open_cache(f"redis://:n0t-the-s3cret@127.0.0.1:{server.port}", timeout=PATIENT)
    try:
        with capture_logs() as logs:
            await right.ping()
            with pytest.raises(CacheUnavailable):
                await wrong.ping()
        assert logs
        assert "s3cret" not in str(logs)
    finally:
        await right.close()
        await wrong.close()
        server.remove()


async def test_tls_is_checked(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("tls")
    known, other = server_certificate(folder, "known"), server_certificate(folder, "other")
    port = free_port()
    server = own_redis(
        *("--tls-port", str(port), "--tls-auth-clients", "no"),
        *("--tls-cert-file", str(known.certificate), "--tls-key-file", str(known.key)),
        *("--tls-ca-cert-file", str(known.certificate)),
    )
    trusting = open_cache(f"rediss://127.0.0.1:{port}?ssl_ca_certs={known.certificate}", timeout=PATIENT)
    doubting = open_cache(f"rediss://127.0.0.1:{port}?ssl_ca_certs={other.certificate}", timeout=PATIENT)
    try:
        await trusting.set("key", b"value", 60)
        assert await trusting.get("key") == b"value"
        with pytest.raises(CacheUnavailable):
            await doubting.get("key")
    finally:
        await trusting.close()
        await doubting.close()
        server.remove()


async def answers(cache: Cache) -> bool:
    try:
        await cache.ping()
    except CacheUnavailable:
        return False
    return True
