"""Events of real processes: killed with their events unpublished, with a bus that is away all the while."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from parts.fake_engine import card
from parts.process import free_port

from servicekit.bus import Event, open_bus
from servicekit.bus.topics import FEEDBACK, REQUESTS
from sixfold.events.v1 import request_pb2

HI: Any = [{"role": "user", "content": "hi"}]
REQUESTS_MADE = 40


class Gateway:
    """A gateway in a process of its own."""

    def __init__(self, house: Any) -> None:
        self._house = house
        self.port = free_port()
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        env = {
            "PATH": "/usr/bin:/bin",
            "SIXFOLD_HOME": str(self._house.home),
            "SIXFOLD_PORT": str(self.port),
            "SIXFOLD_BUS_URL": f"sqlite:///{bus_file(self._house)}",
        }
        self._process = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway", env=env)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}") as http:
            async with asyncio.timeout(60):
                while True:
                    try:
                        if (await http.get("/readyz")).status_code == 200:
                            return
                    except httpx.TransportError:
                        pass
                    await asyncio.sleep(0.05)

    async def end(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        await asyncio.wait_for(self._process.wait(), 60)


def bus_file(house: Any) -> Path:
    path: Path = (house.home / "bus.db").resolve()
    return path


async def hear(
    house: Any, wait_until: Callable[..., Awaitable[None]], wanted: set[str], topic: str = REQUESTS
) -> list[Event]:
    """Every event that is on the bus by the time that all of `wanted` are."""
    heard: list[Event] = []

    async def take(event: Event) -> None:
        heard.append(event)

    bus = open_bus(f"sqlite:///{bus_file(house)}?poll_ms=20")
    subscription = bus.subscribe([topic], f"test-{len(wanted)}", take)  # each from the beginning
    await wait_until(lambda: wanted <= {event.subject for event in heard}, 60)
    await subscription.close()
    await bus.close()
    return heard


async def all_traced(http: httpx.AsyncClient, names: list[str]) -> None:
    """Each of these requests is in the records, or comes there by itself."""
    for name in names:
        for _ in range(20):
            answer = await http.get(f"/v1/requests/{name}/lineage")
            if answer.status_code == 200:
                break
        assert answer.status_code == 200, (name, answer.text)
        assert answer.json()["model"]["name"] == "tiny"


@pytest.fixture
async def gateway(house: Any) -> Any:
    await house.engine("local", card("tiny"))
    house.write_config("")
    gateway = Gateway(house)
    house.port = gateway.port
    await gateway.start()
    yield gateway
    await gateway.end(signal.SIGKILL)


async def test_nothing_that_was_answered_is_lost_to_a_kill_while_the_bus_is_away(
    house: Any, gateway: Gateway, wait_until: Callable[..., Awaitable[None]]
) -> None:
    # The first request makes the log; then somebody holds it, and nobody can write.
    async with house.http() as http:

        async def ask(name: str) -> None:
            body = {"model": "tiny", "messages": HI}
            answer = await http.post("/v1/chat/completions", json=body, headers={"x-request-id": name})
            assert answer.status_code == 200

        await ask("before")
        await hear(house, wait_until, {"before"})
        lock = sqlite3.connect(bus_file(house), isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        try:
            names = [f"held-{number}" for number in range(REQUESTS_MADE)]
            await asyncio.gather(*(ask(name) for name in names))
            await gateway.end(signal.SIGKILL)
            await gateway.start()
            await ask("after")
        finally:
            lock.execute("ROLLBACK")
            lock.close()
        heard = await hear(house, wait_until, {*names, "after"})
        await all_traced(http, ["before", *names, "after"])
    assert {event.subject for event in heard} == {"before", *names, "after"}
    ids = [event.id for event in heard]
    for name in names:  # doubles may be, under the one id by which handlers know them
        assert len({event.id for event in heard if event.subject == name}) == 1
    assert len(set(ids)) == REQUESTS_MADE + 2
    folders = house.home / "spool"
    await wait_until(lambda: len([path for path in folders.iterdir() if path.is_dir()]) == 1, 30)


async def test_no_feedback_is_lost_to_a_kill_between_its_row_and_its_event(
    house: Any, gateway: Gateway, wait_until: Callable[..., Awaitable[None]]
) -> None:
    async with house.http() as http:

        async def give(name: str) -> None:
            body = {"request_id": name, "kind": "thumbs", "value": -1}
            assert (await http.post("/v1/feedback", json=body)).status_code == 201

        await give("before")
        await hear(house, wait_until, {"before"}, FEEDBACK)
        lock = sqlite3.connect(bus_file(house), isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        try:
            names = [f"held-{number}" for number in range(10)]
            await asyncio.gather(*(give(name) for name in names))
            await gateway.end(signal.SIGKILL)
            await gateway.start()
        finally:
            lock.execute("ROLLBACK")
            lock.close()
        heard = await hear(house, wait_until, set(names), FEEDBACK)
        kept = (await http.get("/v1/feedback", params={"limit": "100"})).json()["data"]
    told = {request_pb2.FeedbackGiven.FromString(event.data).feedback_id for event in heard}
    assert told == {feedback["id"] for feedback in kept}
    assert {feedback["request_id"] for feedback in kept} == {"before", *names}
    assert len({event.id for event in heard}) == len(kept)


async def test_no_record_of_a_request_is_lost_to_a_kill_while_the_store_is_away(
    house: Any, gateway: Gateway, wait_until: Callable[..., Awaitable[None]]
) -> None:
    async with house.http() as http:

        async def ask(name: str) -> None:
            body = {"model": "tiny", "messages": HI}
            answer = await http.post("/v1/chat/completions", json=body, headers={"x-request-id": name})
            assert answer.status_code == 200

        await ask("before")
        await all_traced(http, ["before"])
        lock = sqlite3.connect(house.home / "gateway.db", isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        try:
            names = [f"held-{number}" for number in range(REQUESTS_MADE)]
            await asyncio.gather(*(ask(name) for name in names))
            heard = await hear(house, wait_until, set(names))  # events do not wait for records
            await gateway.end(signal.SIGKILL)
            await gateway.start()
        finally:
            lock.execute("ROLLBACK")
            lock.close()
        await all_traced(http, names)
    for name in names:
        assert len({event.id for event in heard if event.subject == name}) == 1
    folders = house.home / "spool"
    await wait_until(lambda: len([path for path in folders.iterdir() if path.is_dir()]) == 1, 30)
