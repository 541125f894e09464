"""The bounded queue before an engine."""

from __future__ import annotations

import pytest

from model_service.adapters.openvino.prefixes import PrefixAccount
from model_service.adapters.openvino.slots import Slots
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
    assert (slots.running, slots.waiting) == (2, 0)


async def test_those_who_leave_the_line_free_their_place_in_it() -> None:
    slots = Slots(1, 1)
    running, waiting = slots.enter(), slots.enter()
    slots.leave(waiting)
    assert slots.waiting == 0
    slots.leave(running)
    assert slots.running == 0


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
