"""All usable API keys in memory, kept current by a watermark, so that no request waits for the database.

A revocation made in another worker arrives with the next refresh; one made here is put in at once. While
the store cannot be reached the snapshot stays in use for `max_stale_seconds`; then keys are answered 503,
not 401.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.identity.api_keys import ApiKey
from gateway.identity.principal import Principal
from gateway.identity.store import KeyStore
from servicekit.errors import Reason, SixfoldError
from servicekit.logs import get_logger

_PAGE = 1000
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SnapshotLimits:
    """Bounds of a snapshot. Seconds, keys, and look-ups a second."""

    refresh_seconds: float = 2.0
    max_stale_seconds: float = 300.0
    max_keys: int = 100_000
    unknown_ttl_seconds: float = 10.0
    max_unknown: int = 10_000
    lookups_per_second: float = 20.0
    store_timeout_seconds: float = 5.0


class KeySnapshot:
    """The keys of a store, as of at most `refresh_seconds` ago."""

    def __init__(
        self,
        store: KeyStore,
        limits: SnapshotLimits | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._limits = limits or SnapshotLimits()
        self._monotonic = monotonic
        self._keys: OrderedDict[str, tuple[ApiKey, Principal]] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._watermark = 0
        self._fresh_at: float | None = None
        self._budget, self._budget_at = self._limits.lookups_per_second, monotonic()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Loads every key, then keeps up in the background. Raises when the first load fails."""
        await self.refresh()
        self._task = asyncio.create_task(self._keep_up(), name="api-key-snapshot")

    async def close(self) -> None:
        """Ends the background refresh."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def refresh(self) -> None:
        """Reads every change since the watermark."""
        started = self._monotonic()
        async with asyncio.timeout(self._limits.store_timeout_seconds):
            while True:
                changes = await self._store.changes(self._watermark, _PAGE)
                for key in changes:
                    self.put(key)
                    self._watermark = max(self._watermark, key.revision)
                if len(changes) < _PAGE:
                    break
        self._fresh_at = started

    def get(self, key_id: str) -> tuple[ApiKey, Principal] | None:
        """A usable key and its principal; None when it is not here or the snapshot is too old to trust."""
        return None if self._too_old() else self._keys.get(key_id)

    def put(self, key: ApiKey) -> None:
        """Takes in one changed key at once; drops it when it is revoked."""
        known = self._keys.get(key.id)
        if known is not None and known[0].revision > key.revision:
            return
        if key.revoked_at is not None:
            self._keys.pop(key.id, None)
            return
        self._unknown.pop(key.id, None)
        self._keys[key.id] = (key, key.principal())
        if len(self._keys) > self._limits.max_keys:
            self._keys.popitem(last=False)

    async def look_up(self, key_id: str) -> tuple[ApiKey, Principal] | None:
        """Asks the store for an id that the snapshot lacks: once per id, and not often in all."""
        now = self._monotonic()
        if self._unknown.get(key_id, 0.0) > now or not self._may_look_up(now):
            return None
        self._unknown[key_id] = now + self._limits.unknown_ttl_seconds
        if len(self._unknown) > self._limits.max_unknown:
            self._unknown.popitem(last=False)
        try:
            async with asyncio.timeout(self._limits.store_timeout_seconds):
                key = await self._store.find(key_id)
        except Exception as error:
            self._unknown.pop(key_id, None)
            _log.warning("api_key_lookup_failed", error=type(error).__name__)
            raise _unavailable() from None
        if key is None:
            return None
        self.put(key)
        return self._keys.get(key_id)

    def check(self) -> None:
        """Raises SERVICE_UNAVAILABLE when the last good refresh is too long ago."""
        if self._too_old():
            raise _unavailable()

    def _too_old(self) -> bool:
        return self._fresh_at is None or self._monotonic() - self._fresh_at > self._limits.max_stale_seconds

    def _may_look_up(self, now: float) -> bool:
        rate = self._limits.lookups_per_second
        self._budget = min(rate, self._budget + (now - self._budget_at) * rate)
        self._budget_at = now
        if self._budget < 1.0:
            return False
        self._budget -= 1.0
        return True

    async def _keep_up(self) -> None:
        failures = 0
        while True:
            await asyncio.sleep(self._limits.refresh_seconds)
            try:
                await self.refresh()
                failures = 0
            except Exception as error:
                failures += 1
                if failures == 1:
                    _log.warning("api_key_refresh_failed", error=type(error).__name__)


def _unavailable() -> SixfoldError:
    return SixfoldError(Reason.SERVICE_UNAVAILABLE, "API keys cannot be checked just now.", retry_after=2.0)
