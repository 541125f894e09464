"""See `servicekit.bus.log.Log`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Literal, TypeVar

from kafka.errors import CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError

from servicekit.bus.kafka.admin import Admin
from servicekit.bus.kafka.options import KafkaOptions
from servicekit.bus.kafka.producer import Producer
from servicekit.bus.kafka.source import KafkaSource
from servicekit.bus.log import Keeper, Source
from servicekit.bus.wire import Entry, Record
from servicekit.errors import Reason, SixfoldError

_SOON = (CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError)
"""The broker has yet to find who keeps the group's offsets: the first question to a new one, say."""
_AGAIN_SECONDS = 0.2

T = TypeVar("T")


class KafkaLog:
    """Clients are made at the first use: never before a fork, and never while nothing is asked."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._admin = Admin(options)
        self._producer = Producer(options, self._admin)
        self._asking = ThreadPoolExecutor(2, thread_name_prefix="bus-ask")

    async def append(self, topic: str, entries: Sequence[Entry], timeout: float) -> None:
        await self._producer.append(topic, entries, timeout)

    def open_source(self, topics: Sequence[str], group: str, keeper: Keeper) -> Source:
        for topic in topics:
            self._admin.ensure(topic)
        return KafkaSource(self._options, topics, group, keeper)

    async def reset(self, group: str, topics: Sequence[str], to: Literal["beginning"] | datetime) -> None:
        await self._ask(lambda: self._admin.reset(group, topics, to))

    async def lag(self, group: str, topics: Sequence[str]) -> Mapping[str, int]:
        return await self._ask(lambda: self._admin.lag(group, topics))

    async def tail(self, topic: str, limit: int) -> Sequence[Record]:
        return await self._ask(lambda: self._admin.tail(topic, limit))

    async def check(self) -> None:
        await self._ask(self._admin.check)

    async def close(self) -> None:
        await self._producer.close()
        await asyncio.wrap_future(self._asking.submit(self._admin.close))
        self._asking.shutdown(wait=False)

    async def _ask(self, question: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(2 * self._options.timeout):
                while True:
                    try:
                        return await asyncio.wrap_future(self._asking.submit(question))
                    except SixfoldError as error:
                        if not isinstance(error.__cause__, _SOON):
                            raise
                    await asyncio.sleep(_AGAIN_SECONDS)
        except TimeoutError:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "The event log did not answer in time.") from None
