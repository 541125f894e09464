"""Publishes what the spool holds, and deletes it when the bus and the record store have it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from google.protobuf.message import DecodeError

from gateway import metrics
from gateway.adapters.spool.folders import Folder, Folders
from gateway.adapters.spool.frames import read_frames
from gateway.adapters.spool.recorder import Recorder
from gateway.adapters.spool.writer import Writer
from servicekit.bus import Bus, Event
from servicekit.errors import SixfoldError
from servicekit.logs import get_logger
from sixfold.events.v1 import event_pb2

_BATCH, _BATCH_BYTES = 256, 4 * 1024 * 1024
"""Events published at once: as many, or as many bytes and the one that passes them."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
_RECORD_PAUSE = 5.0
"""Between two tries to write requests down, while the record store takes none. Events go on meanwhile."""
_ADOPT_SECONDS = 5.0
"""Between two looks for what dead workers left."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_log = get_logger("gateway.spool")


class Relay:
    """One a worker. Oldest first, one batch at a time; while the bus is away, the same batch again."""

    def __init__(
        self,
        folders: Folders,
        writer: Writer,
        bus: Bus,
        topic: str,
        *,
        period: float,
        recorder: Recorder | None = None,
    ) -> None:
        """`period` is in seconds, between two looks for new events. `recorder` writes their requests down."""
        self._folders = folders
        self._writer = writer
        self._bus = bus
        self._topic = topic
        self._period = period
        self._adopt_at = 0.0
        self._recorder = recorder
        self._record_at = 0.0
        self.rounds = 0
        """How often all that waited was published."""
        self._published: set[Path] = set()
        """Segments that the bus has, and the record store has not."""
        self.trouble: str | None = None
        """Why the bus took nothing the last time; None when it did."""

    def notes(self) -> dict[str, str]:
        """What readiness tells of it and does not hang on."""
        return {"events": self.trouble or "ok"}

    async def run(self) -> None:
        """Relays until cancelled."""
        while True:
            try:
                await self.relay_once()
            except Exception:
                _log.exception("relaying events failed")
            await asyncio.sleep(self._period)

    async def relay_once(self) -> None:
        """Publishes all that waits now, however long that takes."""
        await asyncio.to_thread(self._writer.sync)
        if time.monotonic() >= self._adopt_at:
            await self._adopt()
            self._adopt_at = time.monotonic() + _ADOPT_SECONDS
        await self._own()
        self.rounds += 1
        metrics.SPOOL_WAITING.set(self._writer.waiting)

    async def _own(self) -> None:
        writer = self._writer
        # The open segment is ended only when nothing else waits: an outage makes few large files.
        for _ in range(2):
            segments = await asyncio.to_thread(writer.folder.segments)
            still_open = writer.open_segment
            for path in segments:
                if path != still_open:
                    writer.published(await self._publish_segment(path))
            if writer.open_segment is None:
                return
            writer.seal()

    async def _adopt(self) -> None:
        """What dead workers left, folder by folder."""
        folders = self._folders.abandoned()
        while (folder := await asyncio.to_thread(next, folders, None)) is not None:
            try:
                segments = folder.segments()
                if self._recorder is not None:
                    await self._recorder.take_over(segments)
                for path in segments:
                    await self._publish_segment(path)
                if segments:
                    _log.info("published what a dead worker left", segments=len(segments))
            finally:
                await asyncio.shield(asyncio.to_thread(folder.release))

    async def _publish_segment(self, path: Path) -> int:
        """Publishes one segment and deletes it; gives its size in bytes, or 0 while it has to stay."""
        try:
            data = await asyncio.to_thread(path.read_bytes)
        except FileNotFoundError:
            return 0
        payloads, torn = read_frames(data)
        if torn:
            metrics.SPOOL_TORN.inc()
            _log.warning("a segment holds bytes that are no event", bytes=torn, events=len(payloads))
        recorded = True
        for batch in _batches(payloads):
            recorded = recorded and await self._record(batch)
            events = [event for raw in batch if (event := _event(raw))]
            if events and path not in self._published:
                await self._publish(events)
        if not recorded:
            self._published.add(path)
            return 0
        await asyncio.to_thread(path.unlink, missing_ok=True)
        self._published.discard(path)
        return len(data)

    async def _record(self, batch: Sequence[bytes]) -> bool:
        """Writes the requests of a batch down; whether they are."""
        if self._recorder is None:
            return True
        if time.monotonic() < self._record_at:
            return False
        recorded = await self._recorder.keep(batch)
        self._record_at = 0.0 if recorded else time.monotonic() + _RECORD_PAUSE
        return recorded

    async def _publish(self, events: Sequence[Event]) -> None:
        """Publishes a batch, again and again until the bus has it."""
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._bus.publish(self._topic, events)
            except SixfoldError as error:
                if not error.status.retryable:
                    await self._publish_singly(events, error.reason.value)
                    return
                self._failed(error.reason.value.lower())
            except Exception as error:
                _log.debug("publishing failed", exc_info=error)
                self._failed("unavailable")
            else:
                self._done(len(events))
                return
            metrics.SPOOL_WAITING.set(self._writer.waiting)
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311
            await asyncio.to_thread(self._writer.sync)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _publish_singly(self, events: Sequence[Event], reason: str) -> None:
        """One event that no bus takes must not hold the others back for ever."""
        if len(events) == 1:
            metrics.SPOOL_REJECTED.inc()
            _log.error("an event that the bus does not take is dropped", event_id=events[0].id, reason=reason)
            return
        for event in events:
            await self._publish([event])

    def _failed(self, why: str) -> None:
        metrics.SPOOL_FAILURES.inc()
        if self.trouble is None:
            _log.warning("the bus takes no events; they wait", reason=why)
        self.trouble = why

    def _done(self, count: int) -> None:
        metrics.SPOOL_PUBLISHED.inc(count)
        if self.trouble is not None:
            _log.info("the bus takes events again")
        self.trouble = None


def _batches(payloads: Sequence[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for payload in payloads:
        batch.append(payload)
        size += len(payload)
        if len(batch) == _BATCH or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _event(raw: bytes) -> Event | None:
    try:
        message = event_pb2.Event.FromString(raw)
    except DecodeError:  # whole, and yet no event: nothing that this code wrote
        metrics.SPOOL_TORN.inc()
        return None
    at = message.time
    return Event(
        id=message.id,
        source=message.source,
        type=message.type,
        subject=message.subject,
        time=_EPOCH + timedelta(seconds=at.seconds, microseconds=at.nanos // 1000),
        tenant=message.tenant,
        traceparent=message.traceparent,
        data=message.data,
    )


class Spool:
    """A worker's spool: its folder, its writer, its relay."""

    def __init__(self, folder: Folder, writer: Writer, relay: Relay) -> None:
        self._folder = folder
        self.writer = writer
        self.relay = relay

    async def close(self, seconds: float = 2.0) -> None:
        """Publishes what still waits, if that takes no longer than `seconds`; the rest is another's."""
        self.writer.seal()
        try:
            async with asyncio.timeout(seconds):
                await self.relay.relay_once()
        except TimeoutError:
            _log.warning("events wait for the next worker", waiting_bytes=self.writer.waiting)
        except Exception:
            _log.exception("relaying events failed")
        self.writer.close()
        self._folder.release()
