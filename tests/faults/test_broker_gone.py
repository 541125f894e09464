"""Kafka goes while events flow: what was acknowledged arrives, in order, and is done once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from parts.kafka import GivenKafka, OwnKafka

from servicekit.bus import Bus, Delivery, Event, open_bus
from servicekit.errors import Reason, SixfoldError

pytestmark = pytest.mark.slow

SUBJECTS = [f"s{number}" for number in range(6)]
DELIVERY = Delivery(first_wait=0.05, longest_wait=0.5)


class Flow:
    """Writers that publish until they are acknowledged, as a relay does, and a consumer that knows ids."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.topic = f"test.{uuid4().hex[:12]}"
        self.acknowledged: dict[str, list[str]] = {subject: [] for subject in SUBJECTS}
        self.refused = 0
        self.slowest = 0.0
        self.deliveries: dict[str, int] = defaultdict(int)
        self.done: dict[str, list[str]] = defaultdict(list)
        self._stop = asyncio.Event()
        self._writers = [asyncio.create_task(self._write(subject)) for subject in SUBJECTS]
        bus.subscribe([self.topic], f"group-{uuid4().hex[:12]}", self._handle, delivery=DELIVERY)

    async def end(self) -> None:
        self._stop.set()
        await asyncio.gather(*self._writers)

    @property
    def written(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    @property
    def handled(self) -> int:
        return sum(map(len, self.done.values()))

    async def _write(self, subject: str) -> None:
        while not self._stop.is_set():
            made = Event(
                f"evt_{uuid4().hex}", "test", "t", subject, datetime.now(UTC), "acme", "", b"x" * 200
            )
            while True:
                started = time.monotonic()
                try:
                    await self.bus.publish(self.topic, [made], timeout=3)
                    break
                except SixfoldError as error:
                    assert error.reason is Reason.SERVICE_UNAVAILABLE
                    self.refused += 1
                    await asyncio.sleep(0.2)
                finally:
                    self.slowest = max(self.slowest, time.monotonic() - started)
            self.acknowledged[subject].append(made.id)
            await asyncio.sleep(0.02)

    async def _handle(self, event: Event) -> None:
        self.deliveries[event.id] += 1
        if self.deliveries[event.id] == 1:
            self.done[event.subject].append(event.id)


@pytest.fixture
async def flow(kafka_server: OwnKafka | GivenKafka) -> AsyncIterator[Flow]:
    kafka_server.clean()
    bus = open_bus(f"{kafka_server.url}?partitions=3&lease_seconds=6", timeout=5)
    yield Flow(bus)
    await bus.close()
    kafka_server.clean()


async def until(check: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110 - it looks at several things
            await asyncio.sleep(0.05)


async def all_arrives(flow: Flow) -> None:
    """After the writers have been acknowledged everything."""
    await until(lambda: flow.handled >= flow.written)
    for subject, ids in flow.acknowledged.items():
        assert flow.done[subject] == ids, subject


@pytest.mark.timeout(300)
async def test_the_broker_is_gone_for_a_minute(flow: Flow, kafka_server: OwnKafka | GivenKafka) -> None:
    await until(lambda: flow.handled > 50)
    kafka_server.kill()
    gone = time.monotonic()
    await until(lambda: flow.refused >= len(SUBJECTS))
    refused, threads = flow.written, threading.active_count()
    await asyncio.sleep(max(0.0, 60 - (time.monotonic() - gone)))
    assert flow.written == refused  # nothing was acknowledged that no broker has
    assert threading.active_count() <= threads + 3  # nor does trying pile anything up
    await asyncio.to_thread(kafka_server.start)
    await until(lambda: flow.written > refused + 50)
    await flow.end()
    await all_arrives(flow)
    assert flow.slowest < 30


@pytest.mark.timeout(180)
async def test_the_broker_hangs_with_its_connections_open(
    flow: Flow, kafka_server: OwnKafka | GivenKafka
) -> None:
    await until(lambda: flow.handled > 50)
    kafka_server.pause()
    await until(lambda: flow.refused >= 2 * len(SUBJECTS))
    written = flow.written
    kafka_server.resume()
    await until(lambda: flow.written > written + 50)
    await flow.end()
    await all_arrives(flow)
    assert flow.slowest < 30


async def test_closing_while_the_broker_hangs_ends_and_tells_those_who_wait(
    kafka_server: OwnKafka | GivenKafka,
) -> None:
    kafka_server.clean()
    before = threading.active_count()
    bus = open_bus(f"{kafka_server.url}?partitions=3", timeout=3)
    flow = Flow(bus)
    await until(lambda: flow.handled > 20)
    kafka_server.pause()
    last = Event("evt_last", "test", "t", "s", datetime.now(UTC), "acme", "", b"")
    waiting = asyncio.create_task(bus.publish(flow.topic, [last], timeout=60))
    await until(lambda: flow.refused >= 1)
    ending = asyncio.create_task(flow.end())
    async with asyncio.timeout(40):
        await bus.close()
        with pytest.raises(SixfoldError) as caught:
            await waiting
    assert caught.value.reason is Reason.SERVICE_UNAVAILABLE
    ending.cancel()
    kafka_server.clean()
    await until(lambda: threading.active_count() <= before + 1)
