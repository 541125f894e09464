"""What happens while the shared limiter is away: every process goes on limiting, by itself and by less.

Each process then allows its share of every limit (`limit / processes`, at least 1), so that all of them
together stay near the limit, and never open. Requests larger than a share are let through on an untouched
bucket and leave a debt behind, or nobody could ask anything large for as long as it lasts. When the
shared limiter returns it knows nothing of that time, so at the worst a limit is granted twice around an
outage. What was reserved before an outage and cannot be settled during it drains away by itself, and
its lease frees itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import structlog

from servicekit.limits.base import Concurrency, Decision, Limiter, LimiterUnavailable, Rate
from servicekit.limits.memory import MemoryLimiter

LOCAL = "local:"
"""Begins the lease of a reservation made here: it is settled here, even when the server is back."""

_log = structlog.get_logger("servicekit.limits")


class FallbackLimiter:
    """The shared limiter, or this process's share of it."""

    def __init__(self, shared: Limiter, *, processes: int = 1, local: MemoryLimiter | None = None) -> None:
        self._shared = shared
        self._processes = max(1, processes)
        self._local = local or MemoryLimiter()
        self.falling_back = False

    async def reserve(self, key: str, rates: Sequence[Rate], concurrency: Concurrency | None) -> Decision:
        try:
            decision = await self._shared.reserve(key, rates, concurrency)
        except LimiterUnavailable:
            self._say(falling_back=True)
            return await self._reserve_here(key, rates, concurrency)
        self._say(falling_back=False)
        return decision

    async def settle(self, key: str, rates: Sequence[Rate], lease: str | None) -> None:
        if lease is not None and lease.startswith(LOCAL):
            await self._local.settle(key, self._shares(rates), lease.removeprefix(LOCAL) or None)
            return
        try:
            await self._shared.settle(key, rates, lease)
        except LimiterUnavailable:
            # What this process never reserved it cannot give back; what was used beyond it still counts.
            more = [rate for rate in self._shares(rates) if rate.amount > 0]
            await self._local.settle(key, more, None)

    async def ping(self) -> None:
        """Raises LimiterUnavailable while this process is limiting by itself."""
        await self._shared.ping()

    async def close(self) -> None:
        await self._shared.close()
        await self._local.close()

    async def _reserve_here(
        self, key: str, rates: Sequence[Rate], concurrency: Concurrency | None
    ) -> Decision:
        shares = self._shares(rates)
        fitting = [
            # Larger than the limit itself stays refused.
            replace(share, amount=share.limit) if share.limit < share.amount <= rate.limit else share
            for share, rate in zip(shares, rates, strict=True)
        ]
        if concurrency is not None:
            concurrency = replace(concurrency, limit=self._share(concurrency.limit))
        decision = await self._local.reserve(key, fitting, concurrency)
        if not decision.allowed:
            return decision
        debts = [
            replace(share, amount=share.amount - taken.amount)
            for share, taken in zip(shares, fitting, strict=True)
            if share.amount > taken.amount
        ]
        if debts:
            await self._local.settle(key, debts, None)
        return replace(decision, lease=LOCAL + (decision.lease or ""))

    def _shares(self, rates: Sequence[Rate]) -> list[Rate]:
        return [replace(rate, limit=self._share(rate.limit)) for rate in rates]

    def _share(self, limit: int) -> int:
        return max(1, limit // self._processes) if limit else 0

    def _say(self, *, falling_back: bool) -> None:
        """One line when it begins and one when it ends."""
        if falling_back != self.falling_back:
            self.falling_back = falling_back
            _log.warning("limits_per_process" if falling_back else "limits_shared", processes=self._processes)
