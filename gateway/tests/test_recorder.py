"""Requests are written down before their events are deleted: through kills, and outages of either side."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.spool import relay as relay_module
from gateway.adapters.spool.folders import Folders
from gateway.adapters.spool.frames import frame, read_whole
from gateway.adapters.spool.journal import SpoolJournal, encode
from gateway.adapters.spool.recorder import Recorder, record_of
from gateway.adapters.spool.relay import Relay, Spool
from gateway.adapters.spool.writer import Writer
from gateway.events.completion import Completion, Outcome, Source
from gateway.lineage.types import MOST_PASSAGES, Record
from servicekit.bus import Event
from servicekit.errors import Reason, SixfoldError


class Records:
    """A store that is there, away, or does not like some of it."""

    def __init__(self) -> None:
        self.rows: list[Record] = []
        self.away = False
        self.unwanted: set[str] = set()
        self.tries = 0

    async def keep(self, records: Sequence[Record]) -> None:
        self.tries += 1
        if self.away:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "The records cannot be reached.")
        if any(record.id in self.unwanted for record in records):
            raise ValueError("no column holds this")
        self.rows += records

    @property
    def ids(self) -> list[str]:
        return [record.id for record in self.rows]


class FakeBus:
    """Takes events while it is there."""

    def __init__(self) -> None:
        self.subjects: list[str] = []
        self.away = False
        self.tries = 0

    async def publish(self, topic: str, events: Sequence[Event], *, timeout: float | None = None) -> None:
        self.tries += 1
        if self.away:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "The bus is away.")
        self.subjects += [event.subject for event in events]


class Room:
    """A worker's spool before a bus and a store."""

    def __init__(self, root: Path) -> None:
        self.folders = Folders(root)
        self.folder = self.folders.make()
        self.writer = Writer(self.folder, segment_bytes=4096, max_bytes=2**20, fsync="never")
        self.bus, self.records = FakeBus(), Records()
        self.recorder = Recorder(self.records, self.writer)  # type: ignore[arg-type]
        self.relay = Relay(
            self.folders,
            self.writer,
            self.bus,  # type: ignore[arg-type]
            "sixfold.requests",
            period=0.01,
            recorder=self.recorder,
        )
        self.spool = Spool(self.folder, self.writer, self.relay)

    def add(self, *names: str) -> None:
        journal = SpoolJournal(self.writer)
        for name in names:
            journal.add(Completion("chat", "acme"), Outcome(name, 200, "", 0.1))

    def die(self) -> None:
        """As a kill would: nothing is done any more, and the lock is gone."""
        os.close(self.folder._lock)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "spool")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "_FIRST_PAUSE", 0.005)
    monkeypatch.setattr(relay_module, "_LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(relay_module, "_ADOPT_SECONDS", 0.0)
    monkeypatch.setattr(relay_module, "_RECORD_PAUSE", 0.0)


async def wait_for(condition: Any) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it did not happen")


def test_a_record_says_what_the_event_says_and_no_content() -> None:
    completion = Completion(
        "responses", "acme", "ada", "00-1-2-01", "support", "tiny", "v1", "openvino", "way"
    )
    completion.release_id, completion.answer_id, completion.content = "rel_1", "resp_1", b'{"secret": 1}'
    completion.prompt_tokens, completion.completion_tokens, completion.stream = 7, 5, True
    completion.sources = [
        Source("vs_1", f"file-{number}", "a:0", 0.5, number == 3, "Zürich.md") for number in range(100)
    ]
    record = record_of(encode(completion, Outcome("r1", 200, "", 0.25)))
    assert record is not None
    assert (record.tenant, record.id, record.subject, record.operation) == ("acme", "r1", "ada", "responses")
    assert (record.requested_model, record.model, record.version) == ("support", "tiny", "v1")
    assert (record.release_id, record.answer_id, record.route) == ("rel_1", "resp_1", "way")
    assert (record.prompt_tokens, record.completion_tokens, record.stream) == (7, 5, True)
    assert len(record.passages) == MOST_PASSAGES
    assert record.passages[3][:3] == ("file-3", "Zürich.md", "a:0")
    assert [each.cited for each in record.passages[:4]] == [False, False, False, True]
    assert "secret" not in repr(record)


def test_what_a_caller_sends_is_bounded() -> None:
    completion = Completion("chat", "acme", requested_model="a\0b" + "x" * 10_000)
    record = record_of(encode(completion, Outcome("r" * 64, 404, "MODEL_NOT_FOUND", 0.1)))
    assert record is not None
    assert (record.requested_model[:3], len(record.requested_model)) == ("abx", 256)
    assert record_of(b"\xff\xff") is None


def test_whole_frames_are_read_while_the_last_is_written() -> None:
    whole = frame(b"one") + frame(b"two")
    for cut in range(len(frame(b"three"))):
        assert read_whole(whole + frame(b"three")[:cut]) == ([b"one", b"two"], len(whole))
    assert read_whole(b"") == ([], 0)


async def test_requests_are_written_down_and_events_published(room: Room) -> None:
    names = [f"r{number}" for number in range(300)]
    room.add(*names)
    await room.relay.relay_once()
    assert (room.records.ids, room.bus.subjects) == (names, names)
    assert room.folder.segments() == []
    assert room.recorder.notes() == {"requests": "ok"}


async def test_a_question_need_not_wait_for_the_relay(room: Room) -> None:
    room.add("a", "b")
    await room.recorder.catch_up()
    assert room.records.ids == ["a", "b"]
    await room.recorder.catch_up()
    assert room.records.tries == 1  # there was nothing new
    room.add("c")
    await room.recorder.catch_up()
    assert room.records.ids == ["a", "b", "c"]  # each once, though the segment is still open


async def test_a_bus_that_is_away_keeps_no_request_from_being_found(room: Room) -> None:
    room.bus.away = True
    room.add("a")
    tasks = [
        asyncio.create_task(room.relay.run()),
        asyncio.create_task(room.recorder.run(0.02, lambda: room.relay.rounds)),
    ]
    await wait_for(lambda: room.bus.tries > 2)
    later = [f"c{number}" for number in range(200)]
    room.add(*later)
    await wait_for(lambda: set(later) <= set(room.records.ids))
    assert room.bus.subjects == []
    room.bus.away = False
    await wait_for(lambda: len(room.bus.subjects) == 201)
    for task in tasks:
        task.cancel()
    assert room.bus.subjects == ["a", *later]


async def test_a_store_that_is_away_loses_no_request_and_holds_up_no_event(room: Room) -> None:
    room.records.away = True
    room.add("a", "b")
    for _ in range(3):
        await room.relay.relay_once()
    assert room.bus.subjects == ["a", "b"]  # once, though it was tried three times
    assert room.recorder.notes() == {"requests": "service_unavailable"}
    assert len(room.folder.segments()) == 1
    assert room.writer.waiting > 0
    room.add("c")
    await room.relay.relay_once()
    assert room.bus.subjects == ["a", "b", "c"]
    room.records.away = False
    await room.relay.relay_once()
    assert sorted(room.records.ids) == ["a", "b", "c"]
    assert (room.folder.segments(), room.writer.waiting) == ([], 0)
    assert room.bus.subjects == ["a", "b", "c"]


async def test_a_request_that_no_store_holds_keeps_no_other_from_it(room: Room) -> None:
    room.records.unwanted = {"b"}
    room.add("a", "b", "c")
    await room.relay.relay_once()
    assert (room.records.ids, room.bus.subjects) == (["a", "c"], ["a", "b", "c"])
    assert room.folder.segments() == []


async def test_a_killed_workers_requests_are_written_down_by_another(room: Room, tmp_path: Path) -> None:
    """Whenever it dies: before anything, after its record and before its event, after both."""
    room.add("a")
    room.bus.away = room.records.away = True
    running = asyncio.create_task(room.relay.run())
    await wait_for(lambda: room.bus.tries > 1)
    room.records.away = False
    await room.recorder.catch_up()
    room.add("b")
    running.cancel()
    room.die()
    other = Room(tmp_path / "spool")
    await other.relay.relay_once()
    assert room.records.ids == ["a"]
    assert set(other.records.ids) == {"a", "b"}  # twice is once: the store knows them by their ids
    assert other.bus.subjects == ["a", "b"]
    assert not room.folder.path.exists()


async def test_what_a_dead_worker_left_is_written_down_while_the_bus_is_away(
    room: Room, tmp_path: Path
) -> None:
    names = [f"r{number}" for number in range(100)]
    room.add(*names)
    assert len(room.folder.segments()) > 2
    room.die()
    other = Room(tmp_path / "spool")
    other.bus.away = True
    running = asyncio.create_task(other.relay.run())
    await wait_for(lambda: set(names) <= set(other.records.ids))
    assert other.bus.subjects == []
    other.bus.away = False
    await wait_for(lambda: other.bus.subjects == names)
    running.cancel()
