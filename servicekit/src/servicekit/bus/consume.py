"""A subscription: one thread that reads a source, and a dispatcher in the loop that handles what it reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from threading import Event as Flag
from threading import Thread

from servicekit.bus import metrics
from servicekit.bus.base import DEAD, Delivery, Handler
from servicekit.bus.dispatch import Dispatcher
from servicekit.bus.log import Log, Source
from servicekit.bus.wire import Cause, Partition, Record, to_dead_entry
from servicekit.logs import get_logger

_POLL_SECONDS = 0.1
_LAG_SECONDS = 2.0
_LONGEST_WAIT = 5.0
_log = get_logger("servicekit.bus")


class Consumer:
    """Runs from its creation to `close`. A source that breaks is replaced, however often it takes."""

    def __init__(
        self,
        log: Log,
        topics: Sequence[str],
        group: str,
        handler: Handler,
        delivery: Delivery,
        timeout: float,
    ) -> None:
        self._log = log
        self._topics = tuple(topics)
        self._group = group
        self._delivery = delivery
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._dispatcher = Dispatcher(group, handler, delivery, self._bury, self._progressed)
        self._source: Source | None = None
        self._stop = Flag()
        self._moved = Flag()
        self._lag_at = float("-inf")
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = Thread(target=self._main, name=f"bus-{group}", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        self._stop.set()
        self._progressed()
        await asyncio.shield(self._ended)

    def _progressed(self) -> None:
        self._moved.set()
        source = self._source
        if source is not None:
            source.wake()

    async def _bury(self, record: Record, cause: Cause) -> None:
        topic = record.partition.topic
        # What is dead in a dead-letter topic stays there: its offset moves on.
        if not topic.endswith(DEAD):
            await self._log.append(topic + DEAD, [to_dead_entry(record, cause)], self._timeout)

    # From here on in the thread.

    def _main(self) -> None:
        failed = 0
        try:
            while not self._stop.is_set() and not self._loop.is_closed():
                try:
                    self._read_one_source()
                    failed = 0
                except Exception as error:
                    failed += 1
                    if failed == 1:
                        _log.warning("events cannot be read, trying on", group=self._group, exc_info=error)
                    self._stop.wait(min(_LONGEST_WAIT, 0.1 * 2 ** min(failed, 10)))
        finally:
            with suppress(RuntimeError):  # the process ends without having closed the bus
                self._loop.call_soon_threadsafe(self._set_ended)

    def _set_ended(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _read_one_source(self) -> None:
        source = self._source = self._log.open_source(self._topics, self._group, self)
        try:
            while not self._stop.is_set():
                self._keep(source, self._dispatcher.take_commits())
                self._measure(source)
                paused, limit = self._dispatcher.paused(source.held())
                if self._dispatcher.pending >= self._delivery.pending:
                    self._moved.wait(_POLL_SECONDS)  # nothing may come; membership still needs its polls
                    seconds = 0.0
                else:
                    seconds = _POLL_SECONDS
                self._moved.clear()
                if records := source.poll(seconds, paused, limit):
                    self._dispatcher.offer(records)
        finally:
            self._source = None
            try:
                self._keep(source, self._let_go(None).result())
            finally:
                self._forget()
                source.close()

    def _keep(self, source: Source, offsets: Mapping[Partition, int]) -> None:
        if offsets and not source.commit(offsets):
            self._dispatcher.put_back(offsets)

    def take_up(self, partitions: Collection[Partition]) -> None:
        self._loop.call_soon_threadsafe(self._dispatcher.take_up, partitions)

    def let_go(self, partitions: Collection[Partition]) -> Future[Mapping[Partition, int]]:
        return self._let_go(partitions)

    def _let_go(self, partitions: Collection[Partition] | None) -> Future[Mapping[Partition, int]]:
        return asyncio.run_coroutine_threadsafe(self._dispatcher.let_go(partitions), self._loop)

    def _measure(self, source: Source) -> None:
        if time.monotonic() - self._lag_at > _LAG_SECONDS:
            self._lag_at = time.monotonic()
            metrics.PENDING.labels(self._group).set(self._dispatcher.pending)
            for topic, lag in source.lag().items():
                metrics.LAG.labels(topic, self._group).set(lag)

    def _forget(self) -> None:
        metrics.PENDING.labels(self._group).set(0)
        for topic in self._topics:
            metrics.LAG.labels(topic, self._group).set(0)
