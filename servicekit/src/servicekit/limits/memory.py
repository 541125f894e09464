"""The limiter of one process. Nothing awaits between reading and writing, so every call is atomic."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from servicekit.limits.base import Concurrency, Decision, Rate, check_key, check_reserve
from servicekit.limits.bucket import NEVER, decide, drained, wait_ms

SWEEP_MS = 10_000
MAX_KEYS = 100_000


@dataclass(slots=True)
class _Bucket:
    debt: int = 0
    since: int = 0


@dataclass(slots=True)
class _Account:
    buckets: dict[tuple[str, int], _Bucket] = field(default_factory=dict)
    leases: dict[str, int] = field(default_factory=dict)  # lease -> when it frees itself
    clean_at: int = 0  # when nothing of it matters any more


class MemoryLimiter:
    """Keys that owe nothing are swept away; over `max_keys` the one that asked longest ago is forgotten."""

    def __init__(
        self,
        *,
        clock_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
        max_keys: int = MAX_KEYS,
    ) -> None:
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._clock_ms = clock_ms
        self._max_keys = max_keys
        self._next_sweep = 0

    def __len__(self) -> int:
        return len(self._accounts)

    async def reserve(self, key: str, rates: Sequence[Rate], concurrency: Concurrency | None) -> Decision:
        check_reserve(key, rates)
        now = self._clock_ms()
        account = self._account(key, now)
        debts = [self._drain(account, rate, now) for rate in rates]
        waits = [wait_ms(debt, rate) for debt, rate in zip(debts, rates, strict=True)]
        lease_wait = _lease_wait(account, concurrency, now) if concurrency is not None else 0
        lease = None
        if not any(waits) and not lease_wait:
            debts = [self._charge(account, rate, now) for rate in rates]
            if concurrency is not None:
                lease = secrets.token_hex(12)
                account.leases[lease] = now + concurrency.hold_ms
                account.clean_at = max(account.clean_at, now + concurrency.hold_ms)
        return decide(rates, debts, waits, concurrency, len(account.leases), lease_wait, lease)

    async def settle(self, key: str, rates: Sequence[Rate], lease: str | None) -> None:
        check_key(key)
        now = self._clock_ms()
        account = self._account(key, now)
        for rate in rates:
            self._drain(account, rate, now)
            self._charge(account, rate, now)
        if lease is not None:
            account.leases.pop(lease, None)

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        self._accounts.clear()

    def _account(self, key: str, now: int) -> _Account:
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_MS
            for name in [name for name, account in self._accounts.items() if account.clean_at <= now]:
                del self._accounts[name]
        account = self._accounts.get(key)
        if account is None:
            while len(self._accounts) >= self._max_keys:
                self._accounts.popitem(last=False)
            account = self._accounts[key] = _Account()
        self._accounts.move_to_end(key)
        return account

    def _drain(self, account: _Account, rate: Rate, now: int) -> int:
        bucket = account.buckets.setdefault((rate.name, rate.per_ms), _Bucket(0, now))
        bucket.debt = drained(bucket.debt, bucket.since, now, rate.limit)
        bucket.since = now
        return bucket.debt

    def _charge(self, account: _Account, rate: Rate, now: int) -> int:
        bucket = account.buckets[rate.name, rate.per_ms]
        bucket.debt = max(0, bucket.debt + rate.amount * rate.per_ms)
        lasts = -(-bucket.debt // rate.limit) if rate.limit else rate.per_ms
        account.clean_at = max(account.clean_at, now + lasts)
        return bucket.debt


def _lease_wait(account: _Account, concurrency: Concurrency, now: int) -> int:
    """Milliseconds until there is room for one more lease, after dropping those that freed themselves."""
    for lease in [lease for lease, until in account.leases.items() if until <= now]:
        del account.leases[lease]
    if len(account.leases) < concurrency.limit:
        return 0
    if concurrency.limit == 0:
        return NEVER
    # With a limit lowered meanwhile, more than one has to go.
    return sorted(account.leases.values())[len(account.leases) - concurrency.limit] - now
