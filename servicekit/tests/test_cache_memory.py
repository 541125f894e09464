"""The in-process cache: bounded by bytes, least recently used first, and never over its bound."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.cache import MemoryCache, open_cache
from servicekit.cache.memory import ENTRY_BYTES


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_what_was_used_longest_ago_goes_first() -> None:
    cache = MemoryCache(max_bytes=3 * (ENTRY_BYTES + 11))
    for name in "abc":
        await cache.set(name, b"0123456789", 60)
    assert await cache.get("a") is not None
    await cache.set("d", b"0123456789", 60)
    assert [name for name in "abcd" if await cache.get(name) is None] == ["b"]


async def test_an_entry_is_gone_when_its_time_is_over() -> None:
    clock = Clock()
    cache = MemoryCache(max_bytes=10_000, clock=clock)
    await cache.set("a", b"x", 5)
    clock.now = 4.999
    assert await cache.get("a") == b"x"
    clock.now = 5
    assert await cache.get("a") is None
    assert len(cache) == 0
    assert cache.bytes == 0


async def test_deleting_an_expired_entry_counts_nothing() -> None:
    clock = Clock()
    cache = MemoryCache(max_bytes=10_000, clock=clock)
    await cache.set("a", b"x", 1)
    await cache.set("b", b"x", 9)
    clock.now = 2
    assert await cache.delete("a", "b", "c") == 1


async def test_expired_entries_leave_as_new_ones_come() -> None:
    clock = Clock()
    cache = MemoryCache(max_bytes=1_000_000, clock=clock)
    for number in range(100):
        await cache.set(f"old{number}", b"x", 1)
    clock.now = 2
    await cache.set("new", b"x", 1)
    assert len(cache) == 1


@given(
    st.integers(0, 5000),
    st.lists(
        st.tuples(
            st.sampled_from(["set", "get", "delete"]), st.sampled_from("abcdefgh"), st.integers(0, 2000)
        )
    ),
)
async def test_the_bound_holds_and_the_count_is_true(bound: int, calls: list[tuple[str, str, int]]) -> None:
    cache = MemoryCache(max_bytes=bound, max_value_bytes=1500)
    for call, key, size in calls:
        match call:
            case "set":
                await cache.set(key, bytes(size), 60)
            case "get":
                await cache.get(key)
            case "delete":
                await cache.delete(key)
        kept = [(key, value) for key in "abcdefgh" if (value := await cache.get(key)) is not None]
        assert cache.bytes == sum(len(value) + len(key) + ENTRY_BYTES for key, value in kept)
        assert cache.bytes <= bound
        assert len(cache) == len(kept)


async def test_memory_stays_steady_under_churn() -> None:
    """Many tiny entries cost what the bound says, measured by the allocator and not by the cache itself."""
    bound = 2_000_000
    chance = random.Random(7)
    cache = MemoryCache(max_bytes=bound)
    tracemalloc.start()
    try:
        for number in range(30_000):
            await cache.set(
                f"tenant:model:{number:032x}", chance.randbytes(chance.choice([0, 10, 3000])), 600
            )
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1.25 * bound
    await cache.close()


@pytest.mark.parametrize("url", ["memcached://host", "host:6379", ""])
def test_an_unknown_scheme_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="memory://"):
        open_cache(url)
