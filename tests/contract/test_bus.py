"""What every bus promises, on the embedded log and on a real Kafka."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from kafka import KafkaProducer
from parts.certificates import server_certificate
from parts.kafka import GivenKafka, OwnKafka
from parts.process import free_port
from prometheus_client import REGISTRY

from servicekit.bus import Bus, Delivery, Event, Poison, open_bus
from servicekit.errors import Reason, SixfoldError

QUICK = Delivery(tries=3, first_wait=0.02, longest_wait=0.1, stop_seconds=5)


class Kind:
    """One of the two, with a topic and a group that nobody else uses."""

    def __init__(self, name: str, url: str, raw: Callable[[str, bytes, bytes], None]) -> None:
        self.name = name
        self.url = url
        self.raw = raw
        """Writes a record that is no event: topic, key, value."""
        self.topic = f"test.{uuid4().hex[:12]}"
        self.group = f"group-{uuid4().hex[:12]}"

    def open(self, **options: Any) -> Bus:
        return open_bus(self.url, **options)


@pytest.fixture(params=["embedded", "kafka"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    if request.param == "embedded":
        path = tmp_path / "logs" / "bus.db"
        return Kind("embedded", f"sqlite:///{path}?partitions=4&lease_seconds=1.5", raw_into(path))
    url = request.getfixturevalue("kafka_url")
    return Kind("kafka", f"{url}?partitions=4&lease_seconds=3", raw_through(url.removeprefix("kafka://")))


def raw_into(path: Path) -> Callable[[str, bytes, bytes], None]:
    def write(topic: str, key: bytes, value: bytes) -> None:
        with sqlite3.connect(path) as connection:
            partition, offset = connection.execute(
                "SELECT id, next FROM partitions WHERE topic = ? AND number = 0", (topic,)
            ).fetchone()
            row = (partition, offset, 0.0, key, "no json", value.decode("latin-1"))  # and text for bytes
            connection.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", row)
            connection.execute("UPDATE partitions SET next = next + 1 WHERE id = ?", (partition,))
        connection.close()

    return write


def raw_through(bootstrap: str) -> Callable[[str, bytes, bytes], None]:
    def write(topic: str, key: bytes, value: bytes) -> None:
        producer = KafkaProducer(bootstrap_servers=bootstrap)
        producer.send(topic, value, key=key, headers=[("ce_id", b"\xff\xfe")], partition=0).get(10)
        producer.close()

    return write


@pytest.fixture
async def bus(kind: Kind) -> AsyncIterator[Bus]:
    bus = kind.open()
    yield bus
    await bus.close()


def event(subject: str = "file-1", number: int = 0, **change: Any) -> Event:
    made = Event(
        id=f"evt_{uuid4().hex}",
        source="test",
        type="thing.happened",
        subject=subject,
        time=datetime.now(UTC),
        tenant="acme",
        traceparent="",
        data=str(number).encode(),
    )
    return replace(made, **change)


class Seen:
    """A handler that keeps what it was given."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]

    def numbers(self, subject: str) -> list[int]:
        return [int(event.data) for event in self.events if event.subject == subject]


async def eventually(check: Callable[[], bool | Awaitable[bool]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while True:
            answer = check()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.02)


async def caught_up(bus: Bus, kind: Kind) -> None:
    async def none_left() -> bool:
        return (await bus.lag(kind.group, [kind.topic]))[kind.topic] == 0

    await eventually(none_left)


async def test_what_is_published_arrives_as_it_was(bus: Bus, kind: Kind) -> None:
    sent = [
        event(),
        event("größe/文件", tenant="~", type="a.b", traceparent=f"00-{'1' * 32}-{'2' * 16}-01"),
        event("big", data=random.Random(1).randbytes(800_000)),
        event("empty", data=b""),
        event("east", time=datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)),
    ]
    seen = Seen()
    await bus.publish(kind.topic, sent)
    bus.subscribe([kind.topic], kind.group, seen)
    await eventually(lambda: len(seen.events) >= len(sent))
    by_id = {event.id: event for event in seen.events}
    assert [by_id[event.id] for event in sent] == sent
    await caught_up(bus, kind)
    assert len(seen.events) == len(sent)


async def test_events_of_one_subject_keep_their_order(bus: Bus, kind: Kind) -> None:
    seen = Seen()

    async def handle(event: Event) -> None:
        await asyncio.sleep(random.uniform(0, 0.002))
        await seen(event)

    bus.subscribe([kind.topic], kind.group, handle)
    for start in range(0, 60, 10):
        some = [event(f"s{subject}", number) for number in range(start, start + 10) for subject in range(12)]
        await bus.publish(kind.topic, some)
    await eventually(lambda: len(seen.events) >= 720)
    for subject in range(12):
        assert seen.numbers(f"s{subject}") == list(range(60))


async def test_subjects_run_side_by_side_and_one_subject_never(bus: Bus, kind: Kind) -> None:
    running: Counter[str] = Counter()
    together = 0
    most = 0

    async def handle(event: Event) -> None:
        nonlocal together, most
        running[event.subject] += 1
        assert running[event.subject] == 1
        together = max(together, running.total())
        await asyncio.sleep(0.05)
        running[event.subject] -= 1
        most += 1

    await bus.publish(kind.topic, [event(f"s{n % 8}", n) for n in range(24)])
    bus.subscribe([kind.topic], kind.group, handle, delivery=replace(QUICK, concurrency=3))
    await eventually(lambda: most == 24)
    assert together == 3
    assert await bus.dead_letters(kind.topic) == []


async def test_a_group_goes_on_where_it_stopped(bus: Bus, kind: Kind) -> None:
    first = Seen()
    subscription = bus.subscribe([kind.topic], kind.group, first)
    await bus.publish(kind.topic, [event(f"s{n}", n) for n in range(20)])
    await eventually(lambda: len(first.events) == 20)
    await subscription.close()
    await subscription.close()
    later = [event(f"s{n}", n) for n in range(5)]
    await bus.publish(kind.topic, later)
    other = kind.open()
    second = Seen()
    other.subscribe([kind.topic], kind.group, second)
    await eventually(lambda: len(second.events) >= 5)
    await caught_up(other, kind)
    await other.close()
    assert sorted(second.ids) == sorted(event.id for event in later)


async def test_closing_waits_for_the_handler_and_keeps_its_offset(bus: Bus, kind: Kind) -> None:
    started, done = asyncio.Event(), []

    async def handle(event: Event) -> None:
        started.set()
        await asyncio.sleep(0.5)
        done.append(event.id)

    subscription = bus.subscribe([kind.topic], kind.group, handle)
    await bus.publish(kind.topic, [event("one"), event("one")])
    await asyncio.wait_for(started.wait(), 30)
    await subscription.close()
    assert len(done) == 1  # the second had not begun, and waits for the group's next member
    assert (await bus.lag(kind.group, [kind.topic]))[kind.topic] == 1


async def test_every_group_gets_every_event(bus: Bus, kind: Kind) -> None:
    one, two = Seen(), Seen()
    bus.subscribe([kind.topic], kind.group, one)
    bus.subscribe([kind.topic, kind.topic + ".more"], kind.group + "-2", two)
    sent = [event(f"s{n}", n) for n in range(10)]
    await bus.publish(kind.topic, sent)
    await bus.publish(kind.topic + ".more", [event("elsewhere")])
    await eventually(lambda: len(one.events) == 10 and len(two.events) == 11)
    assert sorted(one.ids) == sorted(event.id for event in sent)


async def test_members_come_and_go_and_order_stays(bus: Bus, kind: Kind) -> None:
    """Three members join and leave while events flow: nothing is missed, subjects keep their order."""
    subjects = [f"s{n}" for n in range(16)]
    handled: dict[str, list[int]] = defaultdict(list)
    by_member: dict[str, int] = Counter()
    running: set[str] = set()

    def member(name: str) -> Callable[[Event], Awaitable[None]]:
        async def handle(event: Event) -> None:
            assert event.subject not in running, "two members have one subject"
            running.add(event.subject)
            await asyncio.sleep(0.003)
            running.discard(event.subject)
            handled[event.subject].append(int(event.data))
            by_member[name] += 1

        return handle

    async with AsyncExitStack() as stack:
        buses = []
        for _ in range(2):
            buses.append(kind.open())
            stack.push_async_callback(buses[-1].close)

        async def publish(numbers: range) -> None:
            for number in numbers:
                await bus.publish(kind.topic, [event(subject, number) for subject in subjects])
                await asyncio.sleep(0.05)

        bus.subscribe([kind.topic], kind.group, member("a"))
        await publish(range(10))
        second = buses[0].subscribe([kind.topic], kind.group, member("b"))
        flow = asyncio.create_task(publish(range(10, 60)))
        await eventually(lambda: by_member["b"] > 0)
        third = buses[1].subscribe([kind.topic], kind.group, member("c"))
        await eventually(lambda: by_member["c"] > 0 or flow.done(), 60)
        await second.close()
        await flow
        await third.close()
        await publish(range(60, 65))
        await eventually(lambda: all(len(handled[subject]) >= 65 for subject in subjects), 60)
    assert by_member["a"]
    assert by_member["b"]
    for subject in subjects:
        assert without_repeats(handled[subject]) == list(range(65)), subject


def without_repeats(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


CONSUMER = """
    import asyncio, sys
    from servicekit.bus import open_bus
    async def main(url, topic, group):
        async def handle(event):
            print(event.data.decode(), flush=True)
            if int(event.data) == 7:
                await asyncio.sleep(600)
        bus = open_bus(url)
        bus.subscribe([topic], group, handle)
        await asyncio.sleep(600)
    asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def child() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(script: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), *arguments], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


async def test_another_member_takes_over_from_one_that_was_killed(
    bus: Bus, kind: Kind, child: Callable[..., subprocess.Popen[str]]
) -> None:
    await bus.publish(kind.topic, [event("one", number) for number in range(10)])
    process = child(CONSUMER, kind.url, kind.topic, kind.group)
    assert process.stdout is not None
    while (await asyncio.to_thread(process.stdout.readline)).strip() != "7":
        pass
    process.send_signal(signal.SIGKILL)  # with the offset of 6 perhaps kept, that of 7 certainly not
    seen = Seen()
    bus.subscribe([kind.topic], kind.group, seen)
    await eventually(lambda: bool(seen.events) and int(seen.events[-1].data) == 9, 60)
    numbers = seen.numbers("one")
    assert numbers == list(range(numbers[0], 10))
    assert numbers[0] <= 7


PUBLISHER = """
    import asyncio, sys
    from datetime import UTC, datetime
    from servicekit.bus import Event, open_bus
    async def main(url, topic, name):
        bus = open_bus(url, timeout=30)
        for number in range(40):
            made = Event(f"{name}-{number}", "test", "t", name, datetime.now(UTC), "acme", "", b"%d" % number)
            await bus.publish(topic, [made])
        await bus.close()
    asyncio.run(main(*sys.argv[1:]))
"""


async def test_several_processes_publish_at_once(
    bus: Bus, kind: Kind, child: Callable[..., subprocess.Popen[str]]
) -> None:
    seen = Seen()
    bus.subscribe([kind.topic], kind.group, seen)
    names = ["p1", "p2", "p3"]
    for process in [child(PUBLISHER, kind.url, kind.topic, name) for name in names]:
        assert await asyncio.to_thread(process.wait, 60) == 0
    await eventually(lambda: len(seen.events) == 120)
    for name in names:
        assert seen.numbers(name) == list(range(40))


async def test_poison_goes_to_the_dead_letters_with_its_cause(bus: Bus, kind: Kind) -> None:
    seen = Seen()

    async def handle(event: Event) -> None:
        if event.data == b"1":
            raise Poison("BAD_THING")
        await seen(event)

    bad = event("one", 1)
    await bus.publish(kind.topic, [event("one", 0), bad, event("one", 2)])
    bus.subscribe([kind.topic], kind.group, handle, delivery=QUICK)
    await eventually(lambda: seen.numbers("one") == [0, 2])
    (letter,) = await bus.dead_letters(kind.topic)
    assert letter.event == bad
    assert (letter.reason, letter.attempts, letter.group) == ("BAD_THING", 1, kind.group)
    assert (letter.topic, letter.offset) == (kind.topic, 1)
    assert 0 <= letter.partition < 4
    await caught_up(bus, kind)


async def test_a_handler_that_fails_is_called_again_and_then_given_up(bus: Bus, kind: Kind) -> None:
    calls: Counter[str] = Counter()

    async def handle(event: Event) -> None:
        calls[event.subject] += 1
        if event.subject == "never":
            raise RuntimeError("secret words")
        if event.subject == "wrong":
            raise SixfoldError(Reason.INVALID_REQUEST, "No.")
        if event.subject == "slow":
            await asyncio.sleep(60)
        if event.subject == "second" and calls[event.subject] == 1:
            raise RuntimeError

    names = ["never", "wrong", "second", "fine", "slow"]
    await bus.publish(kind.topic, [event(name) for name in names])
    bus.subscribe([kind.topic], kind.group, handle, delivery=replace(QUICK, handler_seconds=0.5))
    await caught_up(bus, kind)
    assert calls == {"never": 3, "wrong": 3, "second": 2, "fine": 1, "slow": 3}
    letters = {letter.event.subject: letter for letter in await bus.dead_letters(kind.topic)}
    assert {name: (letter.reason, letter.attempts) for name, letter in letters.items()} == {
        "never": ("INTERNAL", 3),
        "wrong": ("INVALID_REQUEST", 3),
        "slow": ("DEADLINE_EXCEEDED", 3),
    }
    assert "secret" not in repr(letters)


async def test_an_outage_of_what_a_handler_needs_uses_up_no_tries(bus: Bus, kind: Kind) -> None:
    calls = 0
    back = asyncio.Event()
    seen = Seen()

    async def handle(event: Event) -> None:
        nonlocal calls
        calls += 1
        if not back.is_set():
            raise SixfoldError(Reason.ENGINE_UNAVAILABLE, "Away.")
        await seen(event)

    sent = [event(f"s{n % 3}", n) for n in range(9)]
    await bus.publish(kind.topic, sent)
    bus.subscribe([kind.topic], kind.group, handle, delivery=QUICK)
    await eventually(lambda: calls > 12)  # three subjects, three tries would be nine
    assert (await bus.lag(kind.group, [kind.topic]))[kind.topic] == 9
    back.set()
    await eventually(lambda: len(seen.events) == 9)
    assert [seen.numbers(f"s{n}") for n in range(3)] == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    assert await bus.dead_letters(kind.topic) == []


async def test_an_outage_ends_where_the_subscription_says(bus: Bus, kind: Kind) -> None:
    async def handle(event: Event) -> None:
        raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "Away.")

    await bus.publish(kind.topic, [event()])
    bus.subscribe([kind.topic], kind.group, handle, delivery=replace(QUICK, outage_seconds=0.3))
    await caught_up(bus, kind)
    (letter,) = await bus.dead_letters(kind.topic)
    assert letter.reason == "SERVICE_UNAVAILABLE"
    assert letter.attempts > 3


async def test_what_is_no_event_is_a_dead_letter_and_holds_nothing_up(bus: Bus, kind: Kind) -> None:
    seen = Seen()
    await bus.publish(kind.topic, [event("one")])
    kind.raw(kind.topic, b"key", b"\x00what is this")
    await bus.publish(kind.topic, [event(f"s{n}", n) for n in range(8)])
    bus.subscribe([kind.topic], kind.group, seen, delivery=QUICK)
    await eventually(lambda: len(seen.events) == 9)
    await caught_up(bus, kind)
    (letter,) = await bus.dead_letters(kind.topic)
    assert (letter.reason, letter.attempts, letter.topic) == ("MALFORMED_EVENT", 0, kind.topic)
    assert letter.event.data == b"\x00what is this"
    assert letter.event.id == ""


async def test_a_stuck_subject_leaves_room_for_the_others(bus: Bus, kind: Kind) -> None:
    """Although hundreds of its events wait, and memory is bounded."""
    release = asyncio.Event()
    seen = Seen()

    async def handle(event: Event) -> None:
        if event.subject == "stuck":
            await release.wait()
        await seen(event)

    await bus.publish(kind.topic, [event("stuck", n) for n in range(300)])
    bus.subscribe([kind.topic], kind.group, handle, delivery=replace(QUICK, pending=32, concurrency=4))
    await bus.publish(kind.topic, [event(f"s{n}", n) for n in range(16)])
    # Whoever shares the stuck one's partition waits behind it; with 16 subjects in 4 partitions most do not.
    await eventually(lambda: len(seen.events) >= 8)
    gauge = REGISTRY.get_sample_value("sixfold_bus_pending", {"group": kind.group})
    assert gauge is not None
    assert gauge <= 32
    release.set()
    await eventually(lambda: len(seen.events) == 316)
    assert seen.numbers("stuck") == list(range(300))


async def test_a_group_reads_again_from_the_beginning_or_a_time(bus: Bus, kind: Kind) -> None:
    seen = Seen()
    early = [event(f"s{n}", n) for n in range(6)]
    late = [event(f"s{n}", n) for n in range(4)]
    await bus.publish(kind.topic, early)
    await asyncio.sleep(0.1)
    between = datetime.now(UTC)
    await asyncio.sleep(0.1)
    await bus.publish(kind.topic, late)
    subscription = bus.subscribe([kind.topic], kind.group, seen)
    await eventually(lambda: len(seen.events) == 10)
    with pytest.raises(SixfoldError) as caught:
        await bus.replay(kind.group, [kind.topic])
    assert caught.value.reason is Reason.CONFLICT
    await subscription.close()

    async def again(to: Any) -> list[str]:
        await bus.replay(kind.group, [kind.topic], to=to)
        seen.events.clear()
        subscription = bus.subscribe([kind.topic], kind.group, seen)
        await caught_up(bus, kind)
        await subscription.close()
        return sorted(seen.ids)

    assert await again("beginning") == sorted(event.id for event in early + late)
    assert await again(between) == sorted(event.id for event in late)
    assert await again(datetime.now(UTC) + timedelta(hours=1)) == []
    with pytest.raises(ValueError, match="time zone"):
        await bus.replay(kind.group, [kind.topic], to=datetime(2024, 1, 1))


async def test_lag_is_told_and_measured(bus: Bus, kind: Kind) -> None:
    def measured(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {"topic": kind.topic, **labels}) or 0.0

    assert await bus.lag(kind.group, [kind.topic]) == {kind.topic: 0}
    await bus.publish(kind.topic, [event(f"s{n}", n) for n in range(50)])
    assert await bus.lag(kind.group, [kind.topic]) == {kind.topic: 50}
    release = asyncio.Event()

    async def handle(event: Event) -> None:
        await release.wait()

    bus.subscribe([kind.topic], kind.group, handle)
    await eventually(lambda: measured("sixfold_bus_lag", group=kind.group) == 50)
    release.set()
    await eventually(lambda: measured("sixfold_bus_lag", group=kind.group) == 0)
    assert measured("sixfold_bus_published_total") == 50
    assert measured("sixfold_bus_consumed_total", group=kind.group) == 50
    assert measured("sixfold_bus_handler_seconds_count", group=kind.group) == 50


async def test_what_no_bus_takes_is_refused_and_nothing_of_it_published(bus: Bus, kind: Kind) -> None:
    with pytest.raises(SixfoldError) as caught:
        await bus.publish(kind.topic, [event(), event(data=bytes(1_000_000))])
    assert caught.value.reason is Reason.REQUEST_TOO_LARGE
    for wrong in (event(tenant=""), event(id=""), event(""), event(time=datetime(2024, 1, 1))):
        with pytest.raises(ValueError, match="an event"):
            await bus.publish(kind.topic, [event(), wrong])
    with pytest.raises(ValueError, match="topics"):
        await bus.publish("../Topic", [event()])
    await bus.publish(kind.topic, [])
    assert await bus.lag(kind.group, [kind.topic]) == {kind.topic: 0}
    await bus.check()
    await bus.close()
    with pytest.raises(SixfoldError) as caught:
        await bus.publish(kind.topic, [event()])
    assert caught.value.reason is Reason.SERVICE_UNAVAILABLE


async def test_a_bus_that_is_not_there_says_so(kind: Kind, tmp_path: Path) -> None:
    if kind.name == "embedded":
        (tmp_path / "file").write_text("x")
        url = f"sqlite:///{tmp_path}/file/bus.db"
    else:
        url = f"kafka://127.0.0.1:{free_port()}"
    bus = open_bus(url, timeout=1)
    seen = Seen()
    bus.subscribe([kind.topic], kind.group, seen)
    for question in (bus.check(), bus.publish(kind.topic, [event()]), bus.lag(kind.group, [kind.topic])):
        with pytest.raises(SixfoldError) as caught:
            await question
        assert caught.value.reason is Reason.SERVICE_UNAVAILABLE
        assert str(tmp_path) not in caught.value.message
        assert "127.0.0.1" not in caught.value.message
    await bus.close()
    await bus.close()


TRACED = """
    import asyncio, sys
    from servicekit import telemetry
    from servicekit.bus import Event, open_bus
    from sixfold.events.v1 import document_pb2 as pb
    async def main(url, topic, traces):
        stop = telemetry.configure_tracing("test", f"file://{traces}")
        bus, done = open_bus(url), asyncio.Event()
        async def handle(event):
            with telemetry.tracer("index").start_as_current_span("index"):
                assert event.parse(pb.DocumentAdded).store_id == "vs_1"
                done.set()
        with telemetry.tracer("rest").start_as_current_span("POST /v1/files"):
            message = pb.DocumentAdded(store_id="vs_1")
            made = Event.new("document.added", message, source="t", subject="file-1", tenant="acme")
        await bus.publish(topic, [made])
        bus.subscribe([topic], "traced-" + topic, handle)
        await asyncio.wait_for(done.wait(), 60)
        await bus.close()
        stop()
    asyncio.run(main(*sys.argv[1:]))
"""


async def test_one_trace_runs_on_behind_the_log(
    kind: Kind, child: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    traces = tmp_path / "traces.jsonl"
    process = child(TRACED, kind.url, kind.topic, str(traces))
    assert await asyncio.to_thread(process.wait, 90) == 0
    spans = {span["name"]: span for span in map(json.loads, traces.read_text().splitlines())}
    chain = ["POST /v1/files", f"{kind.topic} publish", f"{kind.topic} process", "index"]
    assert len({spans[name]["trace_id"] for name in chain}) == 1
    for parent, name in pairwise(chain):
        assert spans[name]["parent_id"] == spans[parent]["span_id"]
    assert [spans[name]["kind"] for name in chain[1:3]] == ["producer", "consumer"]


async def test_kafka_with_tls_and_a_password(
    kafka_server: OwnKafka | GivenKafka, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if isinstance(kafka_server, GivenKafka):
        pytest.skip("the broker of KAFKA_BOOTSTRAP has its own ways")
    kafka_server.clean()
    other = server_certificate(tmp_path, "other")
    address = f"127.0.0.1:{kafka_server.safe_port}"
    login = f"{kafka_server.user}:{kafka_server.password}"
    topic, seen = f"test.{uuid4().hex[:12]}", Seen()
    bus = open_bus(f"kafka://{login}@{address}?tls=true&sasl=PLAIN&ca={kafka_server.ca}")
    made = event()
    await bus.publish(topic, [made])
    bus.subscribe([topic], f"group-{topic}", seen)
    await eventually(lambda: seen.events == [made])
    await bus.close()
    refused = [
        f"kafka://{kafka_server.user}:wr0ng@{address}?tls=true&sasl=PLAIN&ca={kafka_server.ca}",
        f"kafka://{login}@{address}?tls=true&sasl=PLAIN&ca={other.certificate}",
        f"kafka://{login}@{address}?sasl=PLAIN",
    ]
    for url in refused:
        bus = open_bus(url, timeout=2)
        with pytest.raises(SixfoldError) as caught:
            await bus.publish(topic, [event()])
        assert caught.value.reason is Reason.SERVICE_UNAVAILABLE
        await bus.close()
    assert kafka_server.password not in caplog.text
    assert "wr0ng" not in caplog.text
