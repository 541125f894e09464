"""The bounded queue before an engine."""

from __future__ import annotations

import asyncio

import pytest

from model_service.adapters.common import slots as module
from model_service.adapters.common.slots import Slots
from model_service.adapters.openvino.prefixes import PrefixAccount
from servicekit.errors import Reason, SixfoldError


async def test_runs_up_to_its_capacity_then_queues_then_refuses() -> None:
    slots = Slots(2, 1)
    first, second, third = slots.enter(), slots.enter(), slots.enter()
    assert first.turn.done()
    assert second.turn.done()
    assert not third.turn.done()
    with pytest.raises(SixfoldError) as refused:
        slots.enter()
    assert refused.value.reason is Reason.QUEUE_FULL
    assert refused.value.retry_after is not None
    assert refused.value.retry_after > 0
    slots.leave(first)
    assert third.turn.done()
    assert (slots.load().running, slots.load().waiting) == (2, 0)


async def test_those_who_leave_the_line_free_their_place_in_it() -> None:
    slots = Slots(1, 1)
    running, waiting = slots.enter(), slots.enter()
    slots.leave(waiting)
    assert slots.load().waiting == 0
    slots.leave(running)
    assert slots.load().running == 0


async def test_a_heavy_request_waits_for_all_its_places_and_is_not_overtaken() -> None:
    slots = Slots(2, 4)
    one = slots.enter()
    heavy, light = slots.enter(2), slots.enter()
    assert not heavy.turn.done()
    assert not light.turn.done()
    slots.leave(one)
    assert heavy.turn.done()
    assert not light.turn.done()


async def test_the_more_are_refused_the_later_they_are_told_to_come() -> None:
    slots = Slots(1, 0)
    slots.enter()
    waits = []
    for _ in range(3):
        with pytest.raises(SixfoldError) as refused:
            slots.enter()
        waits.append(refused.value.retry_after or 0.0)
    assert waits == sorted(waits)
    assert waits[0] != waits[2]


async def test_slots_are_held_in_order() -> None:
    slots = Slots(1, 2)
    order: list[str] = []

    async def wait(name: str) -> None:
        async with slots.hold(5):
            order.append(name)

    async with slots.hold(1):
        tasks = [asyncio.create_task(wait(name)) for name in "ab"]
        await asyncio.sleep(0)
        assert (slots.load().running, slots.load().waiting) == (1, 2)
        with pytest.raises(SixfoldError) as full:
            await wait("c")
        assert full.value.reason is Reason.QUEUE_FULL
        assert full.value.retry_after == 1.0
    await asyncio.gather(*tasks)
    assert order == ["a", "b"]
    assert (slots.load().running, slots.load().waiting) == (0, 0)


async def test_the_time_to_come_back_is_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    slots = Slots(2, 0)
    first, failed = slots.enter(), slots.enter()
    slots.leave(failed, measure=False)
    now += 4.0
    slots.leave(first)
    slots.enter(2)
    for seconds in (2.0, 4.0):  # four seconds each, two at a time: one comes free every two seconds
        with pytest.raises(SixfoldError) as full:
            slots.enter()
        assert full.value.retry_after == seconds


async def test_who_leaves_the_line_takes_no_slot() -> None:
    slots = Slots(1, 5)

    async def wait(seconds: float) -> int:
        async with slots.hold(seconds):
            return slots.load().running

    running = slots.enter()
    late, gone, last = (asyncio.create_task(wait(seconds)) for seconds in (0.01, 5, 5))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(SixfoldError) as passed:
        await late
    assert passed.value.reason is Reason.DEADLINE_EXCEEDED
    assert slots.load().waiting == 1
    slots.leave(running)
    assert await last == 1
    assert slots.load().running == 0


async def test_a_slot_that_comes_at_the_moment_of_leaving_goes_on() -> None:
    slots = Slots(1, 5)

    async def wait() -> None:
        async with slots.hold(5):
            pytest.fail("it was cancelled")

    running = slots.enter()
    leaving = asyncio.create_task(wait())
    await asyncio.sleep(0)
    slots.leave(running)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert slots.load().running == 0


def test_prefixes_count_whole_blocks_and_never_the_last_token() -> None:
    account = PrefixAccount(10)
    ids = list(range(100))
    assert account.cached(ids) == 0
    account.remember(ids)
    assert account.cached(ids) == 96
    assert account.cached(ids[:64]) == 32
    assert account.cached([*ids[:40], 7, 7]) == 32
    assert account.cached([5, *ids]) == 0


def test_prefixes_forget_the_least_recently_used() -> None:
    account = PrefixAccount(2)
    first, second = [1] * 33, [2] * 33
    account.remember(first)
    account.remember(second)
    assert account.cached(first) == 32
    account.remember([3] * 33)
    assert account.cached(first) == 32
    assert account.cached(second) == 0
