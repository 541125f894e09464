"""Events of requests while Kafka is gone: kept in the spool, published by whoever lives when it is back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from parts.kafka import GivenKafka, OwnKafka

from gateway.adapters.spool.folders import Folders
from gateway.adapters.spool.journal import SpoolJournal
from gateway.adapters.spool.relay import Relay
from gateway.adapters.spool.writer import Writer
from gateway.events.completion import Completion, Outcome
from servicekit.bus import Bus, Event, open_bus

EVENTS = 1000


class Worker:
    """A gateway's spool without the gateway."""

    def __init__(self, root: Path, bus: Bus, topic: str) -> None:
        folders = Folders(root)
        self.folder = folders.make()
        self.writer = Writer(self.folder, segment_bytes=16384, max_bytes=2**24, fsync="interval")
        self.relay = Relay(folders, self.writer, bus, topic, period=0.05)
        self._journal = SpoolJournal(self.writer)
        self._running = asyncio.create_task(self.relay.run())

    def answer(self, *names: str) -> None:
        for name in names:
            self._journal.add(Completion("chat", "acme"), Outcome(name, 200, "", 0.1))

    async def die(self) -> None:
        """As a killed process: nothing is finished, and the kernel takes its lock back."""
        self._running.cancel()
        await asyncio.wait([self._running])
        os.close(self.folder._lock)

    async def end(self) -> None:
        self._running.cancel()
        await asyncio.wait([self._running])


async def until(check: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110 - it looks at several things
            await asyncio.sleep(0.02)


async def test_a_broker_that_is_gone_and_a_worker_that_dies_meanwhile(
    kafka_server: OwnKafka | GivenKafka, tmp_path: Path
) -> None:
    kafka_server.clean()
    topic = f"test.{uuid4().hex[:12]}"
    heard: list[Event] = []

    async def hear(event: Event) -> None:
        heard.append(event)

    bus = open_bus(f"{kafka_server.url}?partitions=3", timeout=2)
    worker = Worker(tmp_path, bus, topic)
    before = [f"before-{number}" for number in range(50)]
    worker.answer(*before)
    await until(lambda: worker.writer.waiting == 0)
    kafka_server.kill()
    during = [f"during-{number}" for number in range(EVENTS)]
    worker.answer(*during[: EVENTS // 2])
    await until(lambda: worker.relay.trouble is not None)
    worker.answer(*during[EVENTS // 2 :])
    await worker.die()
    heir = Worker(tmp_path, bus, topic)
    heir.answer("after")
    await asyncio.to_thread(kafka_server.start)
    subscription = bus.subscribe([topic], f"group-{uuid4().hex[:12]}", hear)
    wanted = {*before, *during, "after"}
    await until(lambda: {event.subject for event in heard} >= wanted)
    await until(lambda: heir.folder.segments() == [])
    await heir.end()
    await subscription.close()
    await bus.close()
    assert {event.subject for event in heard} == wanted
    assert len({event.id for event in heard}) == len(wanted)  # a double has the id of its first
    assert not worker.folder.path.exists()
