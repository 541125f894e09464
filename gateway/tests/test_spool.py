"""The spool keeps what it said it kept: through kills, torn writes, full disks and a bus that is away."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway import metrics
from gateway.adapters.spool import relay as relay_module
from gateway.adapters.spool.folders import Folders
from gateway.adapters.spool.frames import frame, read_frames
from gateway.adapters.spool.journal import SpoolJournal
from gateway.adapters.spool.relay import Relay, Spool
from gateway.adapters.spool.writer import Writer
from gateway.events.completion import Completion, Outcome, Source
from servicekit.bus import Event
from servicekit.errors import Reason, SixfoldError
from sixfold.events.v1 import request_pb2

WRITE = """
import os, sys
from pathlib import Path
from gateway.adapters.spool.folders import Folders
from gateway.adapters.spool.journal import SpoolJournal
from gateway.adapters.spool.writer import Writer
from gateway.events.completion import Completion, Outcome
writer = Writer(Folders(Path(sys.argv[1])).make(), segment_bytes=4096, max_bytes=2**30, fsync="never")
"""
ENDLESSLY = """
for number in range(10**9):
    SpoolJournal(writer).add(Completion("chat", "acme"), Outcome(f"r{number}", 200, "", 0.1))
    os.write(1, b"%d\\n" % number)
"""
AGAINST_A_LIMIT = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
kept = [writer.append(b"x" * 299) for _ in range(5)]
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
kept.append(writer.append(b"y" * 299))
print(kept)
"""


class FakeBus:
    """Takes events, or fails as it is told to: each failure once."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.events: list[Event] = []
        self.unwanted: set[str] = set()
        self.away = False
        self.tries = 0

    async def publish(self, topic: str, events: Sequence[Event], *, timeout: float | None = None) -> None:
        assert topic == "sixfold.requests"
        self.tries += 1
        if self.away:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "The bus is away.")
        if self.failures:
            raise self.failures.pop(0)
        if any(event.subject in self.unwanted for event in events):
            raise SixfoldError(Reason.REQUEST_TOO_LARGE, "An event is too large.")
        self.events += events

    @property
    def subjects(self) -> list[str]:
        return [event.subject for event in self.events]


class Room:
    """A spool in a folder of its own."""

    def __init__(self, root: Path, **options: Any) -> None:
        self.root = root
        self.folders = Folders(root)
        self.folder = self.folders.make()
        given: dict[str, Any] = {"segment_bytes": 4096, "max_bytes": 2**20, "fsync": "interval"} | options
        self.writer = Writer(self.folder, **given)
        self.bus = FakeBus()
        self.relay = Relay(self.folders, self.writer, self.bus, "sixfold.requests", period=0.01)  # type: ignore[arg-type]
        self.spool = Spool(self.folder, self.writer, self.relay)
        self.journal = SpoolJournal(self.writer)

    def add(self, *names: str, tenant: str = "acme") -> None:
        for name in names:
            self.journal.add(Completion("chat", tenant), Outcome(name, 200, "", 0.1))

    def held(self) -> list[str]:
        """Requests whose events are in files."""
        return subjects_in(self.folder.path)


def subjects_in(path: Path) -> list[str]:
    found = []
    for segment in sorted(path.glob("*.seg")):
        for payload in read_frames(segment.read_bytes()).payloads:
            event = relay_module._event(payload)
            assert event is not None
            found.append(event.subject)
    return found


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "spool")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "_FIRST_PAUSE", 0.005)
    monkeypatch.setattr(relay_module, "_LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(relay_module, "_ADOPT_SECONDS", 0.0)


# Frames.


@given(st.lists(st.binary(max_size=200), max_size=8), st.data())
@settings(max_examples=200, deadline=None)
def test_a_tear_costs_the_event_that_it_tore_and_no_other(payloads: list[bytes], data: st.DataObject) -> None:
    frames = [frame(payload) for payload in payloads]
    whole = b"".join(frames)
    assert read_frames(whole) == (payloads, 0)
    cut = data.draw(st.integers(0, len(whole)))
    kept = read_frames(whole[:cut])
    assert kept.payloads == payloads[: len(kept.payloads)]
    assert sum(len(frame(payload)) for payload in kept.payloads) + kept.torn == cut
    if frames:  # half a frame, and another writer's whole ones behind it
        at = data.draw(st.integers(0, len(frames) - 1))
        stop = data.draw(st.integers(0, len(frames[at]) - 1))
        mended = read_frames(b"".join(frames[:at]) + frames[at][:stop] + b"".join(frames[at + 1 :]))
        assert mended.payloads == payloads[:at] + payloads[at + 1 :]
        assert mended.torn == stop


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_noise_is_no_event(noise: bytes) -> None:
    payloads, torn = read_frames(noise + frame(b"one") + bytes(64))
    assert payloads[-1:] == [b"one"] or noise.find(b"\xf6EV1") >= 0
    assert torn >= 64


# What an event says.


def test_an_event_has_all_that_is_known(room: Room) -> None:
    completion = Completion(
        "responses", "acme", "ada", "00-1-2-01", "default", "tiny", "v1", "openvino", "default -> x"
    )
    completion.prompt_tokens, completion.completion_tokens, completion.stream = 7, 5, True
    completion.finish_reasons, completion.content = ["stop"], b'{"messages":[]}'
    completion.sources = [Source("vs_1", "file-1", "a:0", 0.5, True)]
    room.journal.add(completion, Outcome("r1", 200, "", 0.25))
    (segment,) = room.folder.segments()
    (payload,) = read_frames(segment.read_bytes()).payloads
    event = relay_module._event(payload)
    assert event is not None
    assert (event.type, event.source, event.subject) == ("request.completed", "gateway", "r1")
    assert (event.tenant, event.traceparent) == ("acme", "00-1-2-01")
    told = event.parse(request_pb2.RequestCompleted)
    assert (told.operation, told.route, told.seconds) == ("responses", "default -> x", 0.25)
    assert told.content_json == b'{"messages":[]}'
    (source,) = told.sources
    assert (source.store_id, source.file_id, source.passage_id, source.cited) == (
        "vs_1",
        "file-1",
        "a:0",
        True,
    )


def test_content_that_no_bus_takes_is_left_out(room: Room) -> None:
    completion = Completion("chat", "acme", content=b"x" * 2_000_000)
    room.journal.add(completion, Outcome("r1", 200, "", 0.25))
    assert room.held() == ["r1"]
    assert room.writer.waiting < 1000


# Publishing.


async def test_events_go_out_in_order_and_their_files_go(room: Room) -> None:
    names = [f"r{number}" for number in range(600)]
    room.add(*names)
    assert len(room.folder.segments()) > 10
    await room.relay.relay_once()
    assert room.bus.subjects == names
    assert len({event.id for event in room.bus.events}) == 600
    assert room.folder.segments() == []
    assert room.writer.waiting == 0
    room.add("later")
    await room.relay.relay_once()
    assert room.bus.subjects[-1] == "later"


async def test_a_bus_that_is_away_loses_and_doubles_nothing(room: Room) -> None:
    room.bus.away = True
    room.add("a", "b")
    running = asyncio.create_task(room.relay.run())
    while room.bus.tries < 3:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    room.add(*(f"c{number}" for number in range(100)))
    assert room.relay.notes() == {"events": "service_unavailable"}
    assert room.held() == ["a", "b", *(f"c{number}" for number in range(100))]
    room.bus.away = False
    while len(room.bus.events) < 102:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    running.cancel()
    assert room.bus.subjects == ["a", "b", *(f"c{number}" for number in range(100))]
    assert room.relay.notes() == {"events": "ok"}


async def test_an_error_that_nobody_foresaw_is_an_outage_too(room: Room) -> None:
    room.bus.failures = [RuntimeError("boom"), OSError()]
    room.add("a")
    await room.relay.relay_once()
    assert room.bus.subjects == ["a"]


async def test_an_event_that_no_bus_takes_holds_nobody_back(room: Room) -> None:
    room.bus.unwanted = {"b"}
    room.add("a", "b", "c")
    with capture_logs() as logs:
        await room.relay.relay_once()
    assert room.bus.subjects == ["a", "c"]
    assert [entry["log_level"] for entry in logs] == ["error"]
    assert room.folder.segments() == []


async def test_who_dies_between_publishing_and_deleting_doubles_by_id(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.add("a", "b")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_args, **_options: (_ for _ in ()).throw(OSError()))
        with pytest.raises(OSError):
            await room.relay.relay_once()
    await room.relay.relay_once()
    assert room.bus.subjects == ["a", "b", "a", "b"]
    assert len({event.id for event in room.bus.events}) == 2


async def test_closing_publishes_what_waits_and_leaves_no_folder(room: Room) -> None:
    room.add("a")
    await room.spool.close()
    assert room.bus.subjects == ["a"]
    assert not room.folder.path.exists()


async def test_closing_does_not_wait_for_a_bus_that_is_away(room: Room) -> None:
    room.bus.away = True
    room.add("a")
    await room.spool.close(seconds=0.05)
    after = Room(room.root)
    await after.relay.relay_once()
    assert after.bus.subjects == ["a"]
    assert not room.folder.path.exists()


# Other workers.


async def test_a_living_workers_events_are_its_own(room: Room) -> None:
    room.add("a")
    other = Room(room.root)
    await other.relay.relay_once()
    assert other.bus.events == []
    assert room.held() == ["a"]
    assert room.folder.path != other.folder.path


def child(code: str, root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITE + code, str(root)], stdout=subprocess.PIPE)


@pytest.fixture
def killed(room: Room) -> int:
    """How many events a process was told that are kept, before it was killed in the middle of its work."""
    process = child(ENDLESSLY, room.root)
    assert process.stdout is not None
    said = b""
    while said.count(b"\n") < 300:
        more = os.read(process.stdout.fileno(), 65536)
        assert more, "the writer ended by itself"
        said += more
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    lines = (said + rest).split(b"\n")
    return int(lines[-2]) + 1


async def test_a_killed_worker_loses_nothing_that_it_kept(room: Room, killed: int) -> None:
    """Every event that it said it kept is published by another, once, and the dead one's folder is gone."""
    await room.relay.relay_once()
    names = room.bus.subjects
    assert names[:killed] == [f"r{number}" for number in range(killed)]
    assert len(names) <= killed + 1  # the one that was kept and not yet spoken of
    assert [path for path in room.root.iterdir() if path.is_dir()] == [room.folder.path]


async def test_two_workers_do_not_both_take_what_a_dead_one_left(room: Room, killed: int) -> None:
    other = Room(room.root)
    await asyncio.gather(room.relay.relay_once(), other.relay.relay_once())
    taken = sorted([len(room.bus.events), len(other.bus.events)])
    assert taken[0] == 0
    assert killed <= taken[1] <= killed + 1


async def test_a_torn_tail_of_a_dead_worker_is_counted_and_the_rest_is_published(room: Room) -> None:
    dead = Room(room.root)
    dead.add("a", "b")
    (segment,) = dead.folder.segments()
    dead.writer.close()
    with segment.open("ab") as file:
        file.write(frame(b"c" * 100)[:50] + bytes(30))
    os.close(dead.folder._lock)  # as its death would
    before = metrics.SPOOL_TORN._value.get()
    await room.relay.relay_once()
    assert room.bus.subjects == ["a", "b"]
    assert metrics.SPOOL_TORN._value.get() == before + 1


# No room.


async def test_a_full_spool_refuses_what_is_new_and_says_so_once(tmp_path: Path) -> None:
    room = Room(tmp_path / "spool", max_bytes=1000)
    before = metrics.SPOOL_REFUSED._value.get()
    with capture_logs() as logs:
        room.add(*(f"r{number}" for number in range(100)))
    kept = room.held()
    assert kept == [f"r{number}" for number in range(len(kept))]
    assert 0 < len(kept) < 20
    assert metrics.SPOOL_REFUSED._value.get() - before == 100 - len(kept)
    assert [entry["event"] for entry in logs] == ["events are not kept"]
    await room.relay.relay_once()
    room.add("again")
    await room.relay.relay_once()
    assert room.bus.subjects == [*kept, "again"]


def test_a_full_disk_tears_nothing_and_is_gone_with_its_cause(tmp_path: Path) -> None:
    """The kernel takes half a frame and then no more, as on a full disk; later there is room again."""
    process = child(AGAINST_A_LIMIT, tmp_path)
    words, _ = process.communicate(timeout=60)
    assert words.decode().splitlines()[-1] == "[True, True, True, False, False, True]"
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    (segment,) = folder.glob("*.seg")
    found = read_frames(segment.read_bytes())
    assert found.payloads == [b"x" * 299] * 3 + [b"y" * 299]
    assert found.torn == 0


def test_a_folder_that_is_gone_refuses_and_never_raises(room: Room) -> None:
    room.writer.seal()
    for path in room.folder.path.iterdir():
        path.unlink()
    room.folder.path.rmdir()
    assert room.writer.append(b"x") is False


@pytest.mark.parametrize("policy", ["never", "interval", "always"])
async def test_every_fsync_policy_keeps_events(
    tmp_path: Path, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fsync

    def sync(fd: int) -> None:
        synced.append(fd)
        real(fd)

    monkeypatch.setattr(os, "fsync", sync)
    room = Room(tmp_path / "spool", fsync=policy)
    room.add("a")
    assert bool(synced) == (policy == "always")
    room.writer.sync()
    assert bool(synced) == (policy != "never")
    await room.relay.relay_once()
    assert room.bus.subjects == ["a"]
