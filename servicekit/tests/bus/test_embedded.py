"""What only the embedded log can get wrong: its file, its leases, its disk."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest

from servicekit.bus import Bus, Delivery, Event, open_bus
from servicekit.bus.sqlite.options import EmbeddedOptions
from servicekit.bus.sqlite.source import EmbeddedSource
from servicekit.bus.wire import Partition
from servicekit.errors import Reason, SixfoldError

TOPIC, GROUP = "sixfold.test", "readers"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "bus.db"


@pytest.fixture
async def open_(path: Path) -> AsyncIterator[Callable[..., Bus]]:
    opened: list[Bus] = []

    def make(query: str = "", timeout: float = 10) -> Bus:
        opened.append(open_bus(f"sqlite:///{path}?partitions=2&lease_seconds=1{query}", timeout=timeout))
        return opened[-1]

    yield make
    for bus in opened:
        await bus.close()


def event(subject: str = "s", data: bytes = b"") -> Event:
    return Event(f"evt_{uuid4().hex}", "test", "t", subject, datetime.now(UTC), "acme", "", data)


async def ignore(event: Event) -> None:
    return None


async def eventually(check: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110 - it looks into a file
            await asyncio.sleep(0.02)


async def caught_up(bus: Bus) -> None:
    async with asyncio.timeout(20):
        while (await bus.lag(GROUP, [TOPIC]))[TOPIC]:  # noqa: ASYNC110 - it asks the log
            await asyncio.sleep(0.02)


def ask(path: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path, timeout=10)
    try:
        with connection:
            return connection.execute(statement).fetchall()
    finally:
        connection.close()


def size_of(path: Path) -> int:
    return path.stat().st_size


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)


def count(path: Path) -> int:
    return int(str(ask(path, "SELECT count(*) FROM records")[0][0]))


def hasten_trim(bus: Bus) -> None:
    """It happens every half minute."""
    bus._log._trim_at = 0.0  # type: ignore[attr-defined]


@pytest.fixture
def child(path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(script: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(script), str(path)], stdout=subprocess.PIPE, text=True
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


async def test_the_file_is_its_owners_alone(open_: Callable[..., Bus], path: Path) -> None:
    await open_().publish(TOPIC, [event()])
    assert mode_of(path) == 0o600
    assert ask(path, "PRAGMA journal_mode") == [("wal",)]


async def test_old_events_go_and_their_space_too(open_: Callable[..., Bus], path: Path) -> None:
    bus = open_("&retention_hours=1")
    await bus.publish(TOPIC, [event(f"s{n}", bytes(20_000)) for n in range(100)])
    size = size_of(path) + size_of(Path(f"{path}-wal"))
    ask(path, "UPDATE records SET time = time - 7200")
    hasten_trim(bus)
    kept = event("new")
    await bus.publish(TOPIC, [event("new"), kept])  # trims before it writes
    assert count(path) == 2
    ask(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    assert size_of(path) < size / 4
    seen: list[str] = []

    async def handle(event: Event) -> None:
        seen.append(event.id)

    bus.subscribe([TOPIC], GROUP, handle)  # a new group begins at the first that is left
    await eventually(lambda: kept.id in seen)
    await caught_up(bus)


async def test_what_a_group_has_yet_to_read_does_not_grow_old(open_: Callable[..., Bus], path: Path) -> None:
    bus = open_("&retention_hours=1")
    subscription = bus.subscribe([TOPIC], GROUP, ignore)
    await bus.publish(TOPIC, [event(f"s{n}") for n in range(10)])
    await caught_up(bus)
    await subscription.close()
    await bus.publish(TOPIC, [event(f"s{n}") for n in range(5)])
    ask(path, "UPDATE records SET time = time - 7200")
    hasten_trim(bus)
    await bus.publish("other", [event()])
    assert count(path) == 6  # five unread, one new: the ten that were read are gone
    ask(path, "UPDATE consumers SET seen_at = seen_at - 7200")  # the group has left for good
    hasten_trim(bus)
    await bus.publish("other", [event()])
    assert count(path) == 2
    assert await bus.lag(GROUP, [TOPIC]) == {TOPIC: 0}


async def test_a_full_log_refuses_what_it_would_have_to_drop_something_unread_for(
    open_: Callable[..., Bus], path: Path
) -> None:
    bus = open_("&retention_bytes=2000000")
    subscription = bus.subscribe([TOPIC], GROUP, ignore)
    await bus.publish(TOPIC, [event()])
    await caught_up(bus)
    await subscription.close()
    acknowledged = 0
    with pytest.raises(SixfoldError) as caught:
        for number in range(100):
            await bus.publish(TOPIC, [event(f"s{number}", bytes(100_000))])
            acknowledged += 1
    assert caught.value.reason is Reason.SERVICE_UNAVAILABLE
    assert 15 <= acknowledged <= 25
    assert await bus.lag(GROUP, [TOPIC]) == {TOPIC: acknowledged}
    bus.subscribe([TOPIC], GROUP, ignore)
    await caught_up(bus)
    for number in range(25):  # what was read makes room
        await bus.publish(TOPIC, [event(f"s{number}", bytes(100_000))])
        await caught_up(bus)
    assert size_of(path) < 4_000_000


async def test_without_a_group_the_oldest_go(open_: Callable[..., Bus], path: Path) -> None:
    bus = open_("&retention_bytes=2000000")
    for number in range(60):
        await bus.publish(TOPIC, [event(f"s{number}", bytes(100_000))])
    assert 8 <= count(path) <= 22
    assert size_of(path) < 4_000_000


async def test_a_slow_handler_keeps_its_partitions(open_: Callable[..., Bus]) -> None:
    """Three leases long, with another member there to take them over."""
    bus, other = open_(), open_()
    calls: list[str] = []

    async def slow(event: Event) -> None:
        calls.append(event.id)
        await asyncio.sleep(3)

    await bus.publish(TOPIC, [event(f"s{n}") for n in range(4)])
    bus.subscribe([TOPIC], GROUP, slow)
    await eventually(lambda: len(calls) == 4)
    other.subscribe([TOPIC], GROUP, slow)
    await caught_up(bus)
    assert len(calls) == 4


FROZEN = """
    import asyncio, sys
    from servicekit.bus import open_bus
    async def handle(event):
        print(event.subject, flush=True)
        await asyncio.sleep(2)
    async def main():
        bus = open_bus(f"sqlite:///{sys.argv[1]}?partitions=2&lease_seconds=1")
        bus.subscribe(["sixfold.test"], "readers", handle)
        await asyncio.sleep(600)
    asyncio.run(main())
"""


async def test_a_member_that_stood_still_cannot_undo_what_others_did(
    open_: Callable[..., Bus], path: Path, child: Callable[[str], subprocess.Popen[str]]
) -> None:
    bus = open_()
    await bus.publish(TOPIC, [event("one") for _ in range(3)])
    frozen = child(FROZEN)
    assert frozen.stdout is not None
    await asyncio.to_thread(frozen.stdout.readline)
    frozen.send_signal(signal.SIGSTOP)
    seen: list[str] = []

    async def handle(event: Event) -> None:
        seen.append(event.id)

    bus.subscribe([TOPIC], GROUP, handle)
    await eventually(lambda: len(seen) == 3)
    await caught_up(bus)
    frozen.send_signal(signal.SIGCONT)  # its handler ends, and its offset is not kept
    before = ask(path, "SELECT * FROM offsets")
    await asyncio.sleep(3)
    after = ask(path, "SELECT * FROM offsets")
    assert all(new >= old for old, new in zip(before, after, strict=True))
    assert await bus.lag(GROUP, [TOPIC]) == {TOPIC: 0}


class Keeper:
    """Stands in for the consumer of a source that a test drives by hand."""

    def take_up(self, partitions: Collection[Partition]) -> None:
        return None

    def let_go(self, partitions: Collection[Partition]) -> Future[Mapping[Partition, int]]:
        done: Future[Mapping[Partition, int]] = Future()
        done.set_result({})
        return done


async def test_an_offset_is_kept_only_while_the_claim_stands(open_: Callable[..., Bus], path: Path) -> None:
    await open_().publish(TOPIC, [event(f"s{n}") for n in range(8)])
    options = EmbeddedOptions(path, partitions=2, lease_seconds=60)
    source = EmbeddedSource(options, [TOPIC], GROUP, Keeper(), lambda _: None)
    records = source.poll(5, (), 100)
    assert len(records) == 8
    assert source.commit({Partition(TOPIC, 0): 1, Partition(TOPIC, 1): 1})
    ask(path, "UPDATE claims SET member = 'another' WHERE partition = 1")
    assert source.commit({Partition(TOPIC, 0): 2, Partition(TOPIC, 1): 2})
    assert ask(path, "SELECT partition, next FROM offsets ORDER BY 1") == [(1, 1), (2, 2)]
    source.close()
    assert ask(path, "SELECT member FROM claims") == [("another",)]


WRITER = """
    import asyncio, sys
    from datetime import UTC, datetime
    from servicekit.bus import Event, open_bus
    async def main():
        bus = open_bus(f"sqlite:///{sys.argv[1]}?partitions=2")
        for number in range(100_000):
            now = datetime.now(UTC)
            await bus.publish("sixfold.test", [Event(f"e{number}", "s", "t", "x", now, "acme", "", b"")])
            print(number, flush=True)
    asyncio.run(main())
"""


async def test_what_a_killed_publisher_was_told_is_there(
    open_: Callable[..., Bus], path: Path, child: Callable[[str], subprocess.Popen[str]]
) -> None:
    process = child(WRITER)
    assert process.stdout is not None
    told = -1
    until = time.monotonic() + 2
    while time.monotonic() < until or told < 20:
        told = int(await asyncio.to_thread(process.stdout.readline))
    process.send_signal(signal.SIGKILL)
    told = max([told, *map(int, (await asyncio.to_thread(process.stdout.read)).split())])
    seen: list[str] = []

    async def handle(event: Event) -> None:
        seen.append(event.id)

    bus = open_()
    bus.subscribe([TOPIC], GROUP, handle)
    await eventually(lambda: len(seen) > told)
    assert seen == [f"e{number}" for number in range(len(seen))]
    assert len(seen) <= told + 2
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


FULL = """
    import asyncio, resource, sys
    from datetime import UTC, datetime
    from servicekit.bus import Event, open_bus
    from servicekit.errors import SixfoldError
    async def main():
        bus = open_bus(f"sqlite:///{sys.argv[1]}?partitions=2")
        sent = 0
        async def publish(size):
            nonlocal sent
            made = Event(f"e{sent}", "s", "t", "x", datetime.now(UTC), "acme", "", bytes(size))
            await bus.publish("sixfold.test", [made])
            sent += 1
        await publish(10)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))
        refused = 0
        while refused < 3:
            try:
                await publish(50_000)
            except SixfoldError as error:
                assert error.reason == "SERVICE_UNAVAILABLE", error
                refused += 1
        await bus.check()  # it can still be read
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await publish(50_000)
        await bus.close()
        print(sent)
    asyncio.run(main())
"""


async def test_a_full_disk_loses_nothing_that_was_acknowledged(
    open_: Callable[..., Bus], path: Path, child: Callable[[str], subprocess.Popen[str]]
) -> None:
    process = child(FULL)
    told, _ = await asyncio.to_thread(process.communicate, None, 60)
    assert process.returncode == 0
    sent = int(told.splitlines()[-1])
    assert sent > 20
    seen: list[str] = []

    async def handle(event: Event) -> None:
        seen.append(event.id)

    bus = open_()
    bus.subscribe([TOPIC], GROUP, handle)
    await eventually(lambda: len(seen) >= sent)
    await caught_up(bus)
    assert seen == [f"e{number}" for number in range(sent)]


async def test_processes_that_start_together_make_one_file(
    open_: Callable[..., Bus], child: Callable[[str], subprocess.Popen[str]]
) -> None:
    script = WRITER.replace("100_000", "5")
    for process in [child(script) for _ in range(3)]:
        assert await asyncio.to_thread(process.wait, 60) == 0
    assert await open_().lag(GROUP, [TOPIC]) == {TOPIC: 15}


async def test_a_file_that_is_no_log_is_told_and_left_alone(open_: Callable[..., Bus], path: Path) -> None:
    write(path, b"not a database, and longer than a header  " * 100)
    bus = open_(timeout=1)
    bus.subscribe([TOPIC], GROUP, ignore)
    with pytest.raises(SixfoldError) as caught:
        await bus.publish(TOPIC, [event()])
    assert caught.value.reason is Reason.SERVICE_UNAVAILABLE
    assert size_of(path) == 4200


async def test_a_log_of_another_release_is_left_alone(open_: Callable[..., Bus], path: Path) -> None:
    await open_().publish(TOPIC, [event()])
    ask(path, "PRAGMA user_version = 99")
    with pytest.raises(SixfoldError, match="another release"):
        await open_().publish(TOPIC, [event()])


async def test_a_writer_that_holds_the_file_is_waited_for_and_not_for_ever(
    open_: Callable[..., Bus], path: Path
) -> None:
    bus = open_(timeout=1)
    await bus.publish(TOPIC, [event()])
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(SixfoldError) as caught:
        await bus.publish(TOPIC, [event()])
    assert caught.value.reason is Reason.SERVICE_UNAVAILABLE
    holder.execute("ROLLBACK")
    holder.close()
    await bus.publish(TOPIC, [event()])


async def test_retries_wait_longer_and_longer(open_: Callable[..., Bus]) -> None:
    times: list[float] = []

    async def handle(event: Event) -> None:
        times.append(time.monotonic())
        raise RuntimeError

    bus = open_()
    await bus.publish(TOPIC, [event()])
    bus.subscribe([TOPIC], GROUP, handle, delivery=Delivery(tries=4, first_wait=0.1, longest_wait=0.2))
    await caught_up(bus)
    gaps = [after - before for before, after in pairwise(times)]
    assert len(gaps) == 3
    assert gaps[0] >= 0.07
    assert all(gap >= 0.14 for gap in gaps[1:])
