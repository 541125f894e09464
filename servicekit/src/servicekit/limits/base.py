"""What every limiter promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from servicekit.errors import Reason, SixfoldError

CONCURRENCY = "concurrency"
"""The name under which a decision speaks of the concurrency limit."""

_EXACT = 2**52
"""Buckets count in whole numbers that a double, which is what Redis scripts have, holds exactly."""


class LimiterUnavailable(SixfoldError):
    """The limiter's server cannot be asked now."""

    def __init__(self) -> None:
        super().__init__(Reason.SERVICE_UNAVAILABLE, "The limiter cannot be reached.")


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `limit` of `name` every `per` seconds; `amount` is what this call takes of it."""

    name: str
    limit: int
    per: float = 60.0
    amount: int = 1

    def __post_init__(self) -> None:
        if not self.name or ":" in self.name or self.name == CONCURRENCY:
            raise ValueError(f"not a name for a rate: {self.name!r}")
        if self.limit < 0 or self.per < 0.001 or (self.limit + abs(self.amount)) * self.per_ms > _EXACT:
            raise ValueError(f"not a rate that can be counted exactly: {self.limit} every {self.per} s")

    @property
    def per_ms(self) -> int:
        return round(self.per * 1000)


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most `limit` at once. A lease whose holder was lost frees itself after `hold` seconds."""

    limit: int
    hold: float

    def __post_init__(self) -> None:
        if self.limit < 0 or self.hold <= 0:
            raise ValueError("a concurrency limit is 0 or more, and a lease is held for more than 0 seconds")

    @property
    def hold_ms(self) -> int:
        return max(1, round(self.hold * 1000))


@dataclass(frozen=True, slots=True)
class Decision:
    """What a limiter said.

    `refused` names the limit that stands longest in the way. After `retry_after` seconds the same
    request succeeds if nobody else asks meanwhile; it is `math.inf` for a request larger than the
    limit itself, which never will. For concurrency it is the time until the oldest lease frees
    itself, an upper bound, since most are released sooner. `remaining` and `reset` (seconds until
    that rate is whole again) go by rate name. `lease` goes back to `settle`, always.
    """

    allowed: bool
    refused: str | None
    retry_after: float
    remaining: dict[str, int]
    reset: dict[str, float]
    lease: str | None


class Limiter(Protocol):
    """Counts per key. A key is usually a tenant. Every method may raise `LimiterUnavailable`."""

    async def reserve(self, key: str, rates: Sequence[Rate], concurrency: Concurrency | None) -> Decision:
        """Take every rate's amount and a lease, or nothing at all."""

    async def settle(self, key: str, rates: Sequence[Rate], lease: str | None) -> None:
        """Correct what was reserved: a negative amount gives back, a positive one charges more, past
        the limit if it must. Releases the lease; one that is gone already is no error."""

    async def ping(self) -> None:
        """Return when the limiter answers."""

    async def close(self) -> None:
        """Let go of connections. Calling it twice is fine."""


def check_reserve(key: str, rates: Sequence[Rate]) -> None:
    """ValueError for what the calling code got wrong."""
    check_key(key)
    if len({rate.name for rate in rates}) != len(rates):
        raise ValueError("one rate is named twice")
    if any(rate.amount < 0 for rate in rates):
        raise ValueError("only settle takes negative amounts")


def check_key(key: str) -> None:
    """ValueError for a key that is empty or too long to keep."""
    if not key or len(key) > 512:
        raise ValueError("a limiter's key has 1 to 512 characters")
