"""Kafka goes while events flow and jobs run: what was acknowledged arrives, in order, and is done once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from parts.jobs import WorkerProcess, Workshop, check_record, eventually, write_package
from parts.kafka import GivenKafka, OwnKafka
from sqlalchemy import text

from servicekit.bus import Bus, Delivery, Event, open_bus
from servicekit.errors import Reason, SixfoldError
from servicekit.jobs import Job
from sixfold.events.v1 import job_pb2

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


@pytest.fixture
async def shop(
    kafka_server: OwnKafka | GivenKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Workshop]:
    """Takes orders here; they are told of and worked off by a process of their own."""
    kafka_server.clean()
    package = tmp_path / "package"
    write_package(package)
    monkeypatch.syspath_prepend(str(package))
    url = f"sqlite:///{tmp_path}/records.db"
    shop = await Workshop.open(url, kafka_server.url, tmp_path)
    worker = WorkerProcess(package, url, kafka_server.url, tmp_path, 3)
    yield shop
    worker.kill()
    await shop.close()


@pytest.mark.timeout(300)
async def test_the_broker_is_gone_for_a_minute(
    flow: Flow, shop: Workshop, kafka_server: OwnKafka | GivenKafka
) -> None:
    jobs = [await shop.order(steps=300, every=50, pace=0.05) for _ in range(2)]
    await until(lambda: flow.handled > 50)
    await eventually(lambda: len({line[0] for line in shop.lines()}) == len(jobs))
    kafka_server.kill()
    gone = time.monotonic()
    jobs += [await shop.order(steps=5) for _ in range(2)]
    await until(lambda: flow.refused >= len(SUBJECTS))
    refused, threads = flow.written, threading.active_count()
    for job in jobs:  # those in flight go on, and new ones are found without the bus
        await shop.until(job, "succeeded")
    assert await untold(shop) >= len(jobs)
    await asyncio.sleep(max(0.0, 60 - (time.monotonic() - gone)))
    assert flow.written == refused  # nothing was acknowledged that no broker has
    assert threading.active_count() <= threads + 3  # nor does trying pile anything up
    await asyncio.to_thread(kafka_server.start)
    await until(lambda: flow.written > refused + 50)
    await flow.end()
    await all_arrives(flow)
    assert flow.slowest < 30
    await told_once(shop, jobs)
    check_record(shop.lines(), {job.id: 300 if job in jobs[:2] else 5 for job in jobs}, 50)


async def untold(shop: Workshop) -> int:
    """Events that wait for the broker."""
    async with shop.store.read() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM outbox"))).scalar_one())


async def told_once(shop: Workshop, jobs: list[Job]) -> None:
    """Everything that happened to them reaches who listens, a repeat with the id of its first."""
    ended: dict[str, set[str]] = defaultdict(set)

    async def hear(event: Event) -> None:
        if event.type == "job.changed" and event.parse(job_pb2.JobChanged).status == "succeeded":
            ended[event.subject].add(event.id)

    subscription = shop.bus.subscribe(["sixfold.jobs"], f"group-{uuid4().hex[:12]}", hear)
    async with asyncio.timeout(60):
        while await untold(shop):  # noqa: ASYNC110 - it asks a database
            await asyncio.sleep(0.1)
    await until(lambda: all(ended[job.id] for job in jobs))
    await subscription.close()
    assert Counter(len(ended[job.id]) for job in jobs) == {1: len(jobs)}


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
