"""A bus over any log."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from servicekit.bus import metrics, spans
from servicekit.bus.base import DEAD, USUAL, DeadLetter, Delivery, Event, Handler, Subscription, check_event
from servicekit.bus.consume import Consumer
from servicekit.bus.log import Log
from servicekit.bus.wire import to_dead_letter, to_entry
from servicekit.errors import Reason, SixfoldError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,199}")


class LogBus:
    """See `servicekit.bus.Bus`. `timeout` is in seconds, for publishing when a call says nothing else."""

    def __init__(self, log: Log, *, timeout: float) -> None:
        self._log = log
        self._timeout = timeout
        self._consumers: list[Consumer] = []
        self._closed = False

    async def publish(self, topic: str, events: Sequence[Event], *, timeout: float | None = None) -> None:
        self._open()
        _check_name(topic)
        for event in events:
            check_event(event)
        if not events:
            return
        started = time.perf_counter()
        made = [spans.producer_span(topic, event) for event in events]
        entries = [
            to_entry(event, spans.carried(span) if span is not None else "")
            for event, span in zip(events, made, strict=True)
        ]
        failed = Reason.CANCELLED.value
        try:
            await self._log.append(topic, entries, self._timeout if timeout is None else timeout)
            failed = ""
        except SixfoldError as error:
            failed = error.reason.value
            raise
        finally:
            for span in made:
                spans.end(span, failed)
            (metrics.PUBLISH_FAILURES if failed else metrics.PUBLISHED).labels(topic).inc(len(events))
            metrics.PUBLISH_DURATION.labels(topic).observe(time.perf_counter() - started)

    def subscribe(
        self, topics: Sequence[str], group: str, handler: Handler, *, delivery: Delivery = USUAL
    ) -> Subscription:
        self._open()
        _check_name(group)
        for topic in topics:
            _check_name(topic)
        if not topics:
            raise ValueError("a subscription needs a topic")
        consumer = Consumer(self._log, topics, group, handler, delivery, self._timeout)
        self._consumers.append(consumer)
        return consumer

    async def replay(
        self, group: str, topics: Sequence[str], *, to: Literal["beginning"] | datetime = "beginning"
    ) -> None:
        self._open()
        if isinstance(to, datetime) and to.tzinfo is None:
            raise ValueError("a point in time has a time zone")
        await self._log.reset(group, topics, to)

    async def lag(self, group: str, topics: Sequence[str]) -> Mapping[str, int]:
        self._open()
        return await self._log.lag(group, topics)

    async def dead_letters(self, topic: str, *, limit: int = 100) -> list[DeadLetter]:
        self._open()
        return [to_dead_letter(record) for record in await self._log.tail(topic + DEAD, limit)]

    async def check(self) -> None:
        self._open()
        await self._log.check()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        consumers, self._consumers = self._consumers, []
        await asyncio.gather(*(consumer.close() for consumer in consumers))
        await self._log.close()

    def _open(self) -> None:
        if self._closed:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "The event log is closed.")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError("topics and groups are named with lower-case letters, digits, dots, dashes")
