"""The arithmetic of one rate, in whole numbers, so that nothing is ever rounded in anybody's favour.

A bucket stores its debt, not its level: an empty record is a full bucket, and a record whose debt has
drained can be forgotten. Debt is in units of `1/per_ms` of one request or token, time in whole
milliseconds; so `limit` units drain each millisecond and one amount costs `per_ms` units. The Lua
script in `redis.lua` does the same with the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from servicekit.limits.base import CONCURRENCY, Concurrency, Decision, Rate

NEVER = -1
"""A wait that no time ends."""


def drained(debt: int, since: int, now: int, limit: int) -> int:
    """The debt that is left at `now`. A clock that went back drains nothing."""
    return max(0, debt - max(0, now - since) * limit)


def wait_ms(debt: int, rate: Rate) -> int:
    """Milliseconds until `rate.amount` fits beside `debt`; 0 when it fits now; NEVER when it cannot."""
    over = debt + (rate.amount - rate.limit) * rate.per_ms
    if over <= 0:
        return 0
    if rate.amount > rate.limit:
        return NEVER
    if rate.limit == 0:  # nothing drains; only an amount of 0 gets here, behind a debt
        return NEVER
    return -(-over // rate.limit)


def decide(
    rates: Sequence[Rate],
    debts: Sequence[int],
    waits: Sequence[int],
    concurrency: Concurrency | None,
    active: int,
    lease_wait: int,
    lease: str | None,
) -> Decision:
    """What these numbers mean: `debts` after this call, `waits` and `lease_wait` in ms (0: free)."""
    names = [rate.name for rate in rates] + [CONCURRENCY]
    standing = [
        (math.inf if wait == NEVER else wait, name)
        for wait, name in zip([*waits, lease_wait], names, strict=True)
    ]
    longest, name = max(standing, key=lambda pair: pair[0])
    allowed = longest == 0
    remaining = {
        rate.name: max(0, rate.limit * rate.per_ms - debt) // rate.per_ms
        for rate, debt in zip(rates, debts, strict=True)
    }
    if concurrency is not None:
        remaining[CONCURRENCY] = max(0, concurrency.limit - active)
    reset = {
        rate.name: math.ceil(debt / rate.limit) / 1000 if rate.limit else 0.0
        for rate, debt in zip(rates, debts, strict=True)
    }
    return Decision(
        allowed=allowed,
        refused=None if allowed else name,
        # One millisecond more, so that a sleep which wakes a hair early still arrives in time.
        retry_after=0.0 if allowed else (longest + 1) / 1000,
        remaining=remaining,
        reset=reset,
        lease=lease if allowed else None,
    )
