"""Removes in the background what nobody will ask for: expired files, and what crashes left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from gateway import metrics
from gateway.files.ports import FileRecords, Owned, UploadRecords
from gateway.files.service import FilesService, namespace
from servicekit.errors import SixfoldError
from servicekit.logs import get_logger
from servicekit.objects import Objects

_log = get_logger("gateway.files")
_BATCH = 100
"""Files, and uploads, of one round and kind."""
_SOON = 60.0
"""Seconds that a deletion in progress is left alone."""
_UPLOAD_KEPT = 86_400.0
"""Seconds that an upload that ended can still be asked for."""


class Sweep:
    """Every step may fail and is then tried again in the next round; several workers may do the same one."""

    def __init__(
        self,
        files: FilesService,
        records: FileRecords,
        uploads: UploadRecords,
        objects: Objects,
        *,
        period: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._files = files
        self._records = records
        self._uploads = uploads
        self._objects = objects
        self._period = period
        self._clock = clock

    async def run(self) -> None:
        """Forever."""
        while True:
            await asyncio.sleep(self._period)
            await self.once()

    async def once(self) -> None:
        """One round."""
        now = self._clock()
        patience = self._files.rules.pending
        for step in (
            lambda: self._remove("expired", self._records.expired(now=now, limit=_BATCH), self._files.remove),
            lambda: self._remove(
                "half_deleted",
                self._records.half_deleted(before=now - _SOON, limit=_BATCH),
                self._files.remove,
            ),
            lambda: self._remove(
                "given_up",
                self._records.given_up(before=now - patience, limit=_BATCH),
                self._files.abandon,
            ),
            lambda: self._uploads.expire(now=now, limit=_BATCH),
            lambda: self._remove("upload", self._uploads.ended(limit=_BATCH), self._clear),
            lambda: self._uploads.forget(before=now - _UPLOAD_KEPT, limit=_BATCH),
            lambda: self._objects.sweep(patience),
        ):
            try:
                await step()
            except SixfoldError as error:
                _log.warning("sweep_postponed", reason=error.reason.value)
            except Exception:  # whatever it was must not end all later rounds
                _log.exception("sweep_failed")

    async def _remove(
        self, kind: str, found: Awaitable[Iterable[Owned]], remove: Callable[[Owned], Awaitable[None]]
    ) -> None:
        for owned in await found:
            try:
                await remove(owned)
            except SixfoldError as error:
                if error.status.retryable:
                    raise  # somebody is away: no use to try the others now
                _log.error("sweep_refused", kind=kind, id=owned.id, reason=error.reason.value)
            else:
                metrics.FILES_SWEPT.labels(kind).inc()

    async def _clear(self, owned: Owned) -> None:
        await self._objects.delete(namespace(owned))
        await self._uploads.cleared(owned)
