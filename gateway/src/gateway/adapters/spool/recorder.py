"""Writes down every request of the spool in the record store, before its event is deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from google.protobuf.message import DecodeError

from gateway import metrics
from gateway.adapters.spool.frames import read_whole
from gateway.adapters.spool.writer import Writer
from gateway.lineage.ports import RequestStore
from gateway.lineage.types import MOST_PASSAGES, Passage, Record
from servicekit.errors import SixfoldError
from servicekit.logs import get_logger
from sixfold.events.v1 import event_pb2, request_pb2

_TYPE = "request.completed"
_ROWS = 256
_MOST_READ = 8 * 1024 * 1024
"""Bytes of a segment that are looked at in one go."""
_log = get_logger("gateway.lineage")


class Recorder:
    """One a worker. What is written twice is written once: the store knows requests by their ids."""

    def __init__(self, store: RequestStore, writer: Writer) -> None:
        self._store = store
        self._writer = writer
        self._lock = asyncio.Lock()
        self._read: dict[Path, int] = {}
        """How far this worker's own segments are written down."""
        self._seen = 0
        self.trouble: str | None = None
        """Why nothing was written the last time; None when it was."""

    def notes(self) -> dict[str, str]:
        """What readiness tells of it and does not hang on."""
        return {"requests": self.trouble or "ok"}

    async def keep(self, events: Sequence[bytes]) -> bool:
        """Writes these serialised events down; False while the store takes nothing, and then none of them.

        One that the store cannot hold, whatever it is, is counted and left out: it must not hold up others.
        """
        records = [record for raw in events if (record := record_of(raw)) is not None]
        for begin in range(0, len(records), _ROWS):
            if not await self._write(records[begin : begin + _ROWS]):
                return False
        return True

    async def catch_up(self) -> None:
        """Writes down what this worker has answered by now, if the relay has not come to it."""
        if self._seen == self._writer.appended:
            return
        async with self._lock:
            seen = self._writer.appended
            segments = await asyncio.to_thread(self._writer.folder.segments)
            self._read = {path: at for path, at in self._read.items() if path in segments}
            for path in segments:
                if not await self._tail(path):
                    return
            self._seen = seen

    async def take_over(self, segments: Sequence[Path]) -> None:
        """Writes down what a dead worker left, all of it, before the bus is asked to take the first of it."""
        for path in segments:
            whole = await self._tail(path)
            self._read.pop(path, None)
            if not whole:
                return

    async def run(self, period: float, rounds: Callable[[], int]) -> None:
        """Catches up until cancelled while the relay does not come on, because the bus is away.

        `rounds` counts the relay's, which writes everything down itself; `period` is in seconds, longer than
        one of them.
        """
        before = -1
        while True:
            await asyncio.sleep(period)
            now = rounds()
            if now != before:
                before = now
                continue
            try:
                await self.catch_up()
            except Exception:
                _log.exception("writing requests down failed")

    async def _tail(self, path: Path) -> bool:
        while True:
            at = self._read.get(path, 0)
            data = await asyncio.to_thread(_read_from, path, at)
            payloads, size = read_whole(data)
            if not payloads:
                return True
            if not await self.keep(payloads):
                return False
            self._read[path] = at + size

    async def _write(self, records: Sequence[Record]) -> bool:
        try:
            await self._store.keep(records)
        except SixfoldError as error:
            if self.trouble is None:
                _log.warning("requests cannot be written down; they wait", reason=error.reason.value)
            self.trouble = error.reason.value.lower()
            metrics.REQUEST_RECORDS.labels("failed").inc()
            return False
        except Exception:
            if len(records) > 1:
                return all([await self._write([record]) for record in records])
            _log.exception("a request that cannot be written down is left out", request_id=records[0].id)
            metrics.REQUEST_RECORDS.labels("rejected").inc()
            return True
        metrics.REQUEST_RECORDS.labels("kept").inc(len(records))
        if self.trouble is not None:
            self.trouble = None
            _log.info("requests are written down again")
        return True


def record_of(raw: bytes) -> Record | None:
    """What is kept of an event; None for one that tells of no request."""
    try:
        event = event_pb2.Event.FromString(raw)
        if event.type != _TYPE:
            return None
        told = request_pb2.RequestCompleted.FromString(event.data)
    except DecodeError:
        return None
    return Record(
        tenant=event.tenant,
        id=told.request_id[:64],
        at=event.time.seconds + event.time.nanos / 1e9,
        operation=told.operation[:32],
        requested_model=_text(told.requested_model),
        model=_text(told.model),
        version=_text(told.model_version),
        engine=_text(told.engine),
        route=_text(told.route, 600),
        release_id=told.release_id[:64],
        answer_id=told.answer_id[:64],
        subject=_text(told.subject, 300),
        stream=told.stream,
        cache=told.cache[:16],
        status=told.status,
        reason=told.reason[:64],
        prompt_tokens=min(told.prompt_tokens, 2**31 - 1),
        completion_tokens=min(told.completion_tokens, 2**31 - 1),
        seconds=told.seconds,
        passages=tuple(
            Passage(
                _text(source.file_id, 64),
                _text(source.filename),
                _text(source.passage_id),
                _text(source.store_id, 64),
                source.score,
                source.cited,
            )
            for source in told.sources[:MOST_PASSAGES]
        ),
    )


def _text(value: str, most: int = 256) -> str:
    """Bounded, and without what PostgreSQL holds in no text."""
    return value.replace("\0", "")[:most]


def _read_from(path: Path, at: int) -> bytes:
    try:
        with path.open("rb") as segment:
            segment.seek(at)
            return segment.read(_MOST_READ)
    except FileNotFoundError:  # the relay was faster: it is written down
        return b""
