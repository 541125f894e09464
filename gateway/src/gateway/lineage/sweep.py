"""Removes records of requests that are too old, or too many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from gateway.lineage.ports import RequestStore
from servicekit.errors import SixfoldError
from servicekit.logs import get_logger

_log = get_logger("gateway.lineage")
_PERIOD = 600.0
_ROWS = 500


class Sweep:
    """One a worker; that several do it at once does no harm."""

    def __init__(
        self,
        store: RequestStore,
        *,
        keep_seconds: float,
        most: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`most` records are kept, of all tenants together."""
        self._store = store
        self._keep_seconds = keep_seconds
        self._most = most
        self._clock = clock

    async def once(self) -> int:
        """Removes what is to go now; says how many. Raises SixfoldError while the records are away."""
        before = self._clock() - self._keep_seconds
        oldest = await self._store.oldest_of(self._most)
        if oldest is not None:
            before = max(before, oldest)
        removed, gone = 0, _ROWS
        while gone == _ROWS:
            gone = await self._store.sweep(before=before, limit=_ROWS)
            removed += gone
        return removed

    async def run(self) -> None:
        """Again and again, until cancelled."""
        while True:
            try:
                await self.once()
            except SixfoldError as error:
                _log.warning("old records of requests were not removed", reason=error.reason.value)
            except Exception:
                _log.exception("removing old records of requests failed")
            await asyncio.sleep(_PERIOD)
