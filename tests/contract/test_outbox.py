"""A row and its event in one transaction, on SQLite and on a real PostgreSQL: nothing lost or done twice."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from parts.postgres import Postgres
from prometheus_client import REGISTRY
from sqlalchemy import text

from servicekit import outbox
from servicekit.bus import Bus, Delivery, Event, open_bus
from servicekit.errors import Reason, SixfoldError
from servicekit.outbox import inbox
from servicekit.store import Store

MIGRATION = """
import sqlalchemy as sa
from alembic import op

from servicekit import outbox

revision = "0001"
down_revision = None


def upgrade() -> None:
    outbox.create_tables(op)
    op.create_table("orders", sa.Column("id", sa.Integer, primary_key=True, autoincrement=False))
    op.create_table(
        "effects",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    outbox.drop_tables(op)
"""

WALK = Path(__file__).parents[1] / "parts" / "outbox_walk.py"
TOPIC = "sixfold.jobs"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A package `shop` with migrations, as a service has."""
    source = tmp_path_factory.mktemp("src")
    versions = source / "shop" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (source / "shop" / "__init__.py").touch()
    (versions / "0001_orders.py").write_text(MIGRATION)
    sys.path.insert(0, str(source))
    yield source
    sys.path.remove(str(source))


@pytest.fixture(scope="module")
def templates() -> dict[str, str]:
    """Dialect → a migrated database to copy: migrating takes a process."""
    return {}


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(
    request: pytest.FixtureRequest,
    package: Path,
    templates: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[str]:
    """A database of its own with the tables in it."""
    if request.param == "sqlite":
        if "sqlite" not in templates:
            templates["sqlite"] = str(tmp_path_factory.mktemp("template") / "records.db")
            await migrate(f"sqlite:///{templates['sqlite']}")
        path = tmp_path_factory.mktemp("copy") / "records.db"
        shutil.copy(templates["sqlite"], path)
        yield f"sqlite:///{path}"
        return
    postgres: Postgres = request.getfixturevalue("postgres_server")
    if "postgresql" not in templates:
        templates["postgresql"] = postgres.new_database()
        await migrate(templates["postgresql"])
    url = postgres.new_database(templates["postgresql"])
    yield url
    postgres.drop_database(url)


async def migrate(url: str) -> None:
    await (await Store.open(url, migrations="shop:migrations")).close()


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = await Store.open(url, migrations="shop:migrations", timeout=10)
    yield store
    await store.close()


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    bus = open_bus(f"sqlite:///{tmp_path}/bus.db?partitions=3&lease_seconds=2")
    yield bus
    await bus.close()


class Recorder:
    """A bus that only takes down what is published, and fails as often as it is told."""

    def __init__(self) -> None:
        self.published: list[Event] = []
        self.failures = 0

    async def publish(self, topic: str, events: Sequence[Event], *, timeout: float | None = None) -> None:
        if self.failures:
            self.failures -= 1
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "Away.")
        self.published += events

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(name)


def event(subject: str = "job-1", number: int = 0) -> Event:
    return Event(
        f"evt_{uuid4().hex}", "shop", "job.created", subject, datetime.now(UTC), "acme", "", b"%d" % number
    )


def relay(store: Store, bus: Any, **options: Any) -> outbox.Relay:
    return outbox.Relay(
        store, bus, **{"poll_seconds": 0.05, "lease_seconds": 1.5, "longest_wait": 0.2} | options
    )


async def eventually(check: Callable[[], bool | Awaitable[bool]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while True:
            answer = check()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.02)


async def number_of(store: Store, table: str) -> int:
    async with store.read() as connection:
        return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


async def emptied(store: Store) -> bool:
    return await number_of(store, "outbox") == 0


async def test_what_commits_is_published_as_it_was_and_in_order(store: Store, bus: Bus) -> None:
    seen: list[Event] = []

    async def handle(event: Event) -> None:
        seen.append(event)

    bus.subscribe([TOPIC], "g", handle)
    carrying = relay(store, bus, batch=7, poll_seconds=60)
    carrying.start()
    sent = []
    for number in range(20):
        some = [event("a", number), event("b", number)]
        async with store.begin() as connection:
            await outbox.add(connection, TOPIC, *some)
        sent += some
        carrying.wake()
    await eventually(lambda: len(seen) == 40)
    by_id = {event.id: event for event in seen}
    assert [by_id[event.id] for event in sent] == sent
    for subject in "ab":
        assert [int(event.data) for event in seen if event.subject == subject] == list(range(20))
    await eventually(lambda: emptied(store))
    await carrying.close()
    await carrying.close()


async def test_what_rolls_back_never_happened(store: Store) -> None:
    recorder = Recorder()
    carrying = relay(store, recorder)
    carrying.start()
    with pytest.raises(ZeroDivisionError):
        async with store.begin() as connection:
            await outbox.add(connection, TOPIC, event())
            _ = 1 / 0
    kept = event("later")
    async with store.begin() as connection:
        await outbox.add(connection, TOPIC)
        await outbox.add(connection, TOPIC, kept)
    await eventually(lambda: bool(recorder.published))
    await carrying.close()
    assert recorder.published == [kept]


async def test_an_event_that_no_bus_takes_is_refused_where_it_is_written(store: Store) -> None:
    """Later it would hold up all that follow."""
    big = Event("e", "shop", "t", "s", datetime.now(UTC), "acme", "", bytes(1_000_000))
    with pytest.raises(SixfoldError) as caught:
        async with store.begin() as connection:
            await outbox.add(connection, TOPIC, event(), big)
    assert caught.value.reason is Reason.REQUEST_TOO_LARGE
    assert await emptied(store)


async def test_one_subject_is_published_in_the_order_of_commits(store: Store) -> None:
    """The second writer of a subject waits until the first has committed, and numbers follow."""
    recorder = Recorder()
    first, second = event("same", 1), event("same", 2)
    inside, release = asyncio.Event(), asyncio.Event()

    async def early() -> None:
        async with store.begin() as connection:
            await outbox.add(connection, TOPIC, first)
            inside.set()
            await release.wait()

    async def late() -> None:
        await inside.wait()
        async with store.begin() as connection:
            await outbox.add(connection, TOPIC, second)

    one, two = asyncio.create_task(early()), asyncio.create_task(late())
    await inside.wait()
    await asyncio.sleep(0.3)
    assert not two.done()
    release.set()
    await asyncio.gather(one, two)
    carrying = relay(store, recorder)
    carrying.start()
    await eventually(lambda: len(recorder.published) == 2)
    await carrying.close()
    assert recorder.published == [first, second]


async def test_a_bus_that_is_away_loses_nothing(store: Store) -> None:
    recorder = Recorder()
    recorder.failures = 4
    before = REGISTRY.get_sample_value("sixfold_outbox_failures_total") or 0
    carrying = relay(store, recorder)
    carrying.start()
    sent = [event("one", number) for number in range(5)]
    for made in sent:
        async with store.begin() as connection:
            await outbox.add(connection, TOPIC, made)
    await eventually(lambda: (REGISTRY.get_sample_value("sixfold_outbox_waiting") or 0) > 0)
    await eventually(lambda: emptied(store))
    await eventually(lambda: REGISTRY.get_sample_value("sixfold_outbox_waiting") == 0)
    await carrying.close()
    assert recorder.published == sent
    assert (REGISTRY.get_sample_value("sixfold_outbox_failures_total") or 0) == before + 4


async def test_one_relay_works_and_another_follows_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    recorders = [Recorder() for _ in range(3)]
    relays = [relay(store, recorder) for recorder in recorders]
    for one in relays:
        one.start()

    async def write(count: int) -> None:
        for number in range(count):
            async with store.begin() as connection:
                await outbox.add(connection, TOPIC, event("one", number))

    await write(10)
    await eventually(lambda: emptied(store))
    assert sorted(len(recorder.published) for recorder in recorders) == [0, 0, 10]
    leader = next(n for n, recorder in enumerate(recorders) if recorder.published)
    await relays[leader].close()  # gives the lease back
    await write(5)
    await eventually(lambda: emptied(store))
    second = next(n for n, recorder in enumerate(recorders) if recorder.published and n != leader)
    monkeypatch.setattr(relays[second], "_release", asyncio.Event().wait)  # as if it were killed
    killed = asyncio.create_task(relays[second].close())
    await write(5)
    await eventually(lambda: emptied(store))  # once the lease has run out
    third = ({0, 1, 2} - {leader, second}).pop()
    assert len(recorders[third].published) == 5
    await relays[third].close()
    await killed


async def test_a_group_sees_an_event_for_the_first_time_once(store: Store) -> None:
    async with store.begin() as connection:
        assert await inbox.first_time(connection, "g", "e1")
        assert not await inbox.first_time(connection, "g", "e1")
        assert await inbox.first_time(connection, "other", "e1")
    with pytest.raises(ZeroDivisionError):
        async with store.begin() as connection:
            assert await inbox.first_time(connection, "g", "e2")
            _ = 1 / 0
    async with store.begin() as connection:
        assert await inbox.first_time(connection, "g", "e2")

    async def ask() -> bool:
        async with store.begin() as connection:
            answer = await inbox.first_time(connection, "g", "e3")
            await asyncio.sleep(0.05)
            return answer

    assert sorted(await asyncio.gather(*(ask() for _ in range(4)))) == [False, False, False, True]


async def test_the_inbox_forgets_what_is_old(store: Store) -> None:
    async with store.begin() as connection:
        for number in range(5):
            await inbox.first_time(connection, "g", f"old{number}")
        await connection.execute(text("UPDATE inbox SET seen_at = seen_at - 1000"))
        await inbox.first_time(connection, "g", "new")
    assert await inbox.trim(store, 500) == 5
    assert await number_of(store, "inbox") == 1


async def test_everything_delivered_twice_is_done_once(store: Store, bus: Bus) -> None:
    calls = 0

    async def handle(event: Event) -> None:
        nonlocal calls
        calls += 1
        async with store.begin() as connection:
            if await inbox.first_time(connection, "g", event.id):
                await connection.execute(
                    text("INSERT INTO effects (number) VALUES (:n)"), {"n": int(event.data)}
                )

    sent = [event(f"s{number % 4}", number) for number in range(40)]
    await bus.publish(TOPIC, sent)
    await bus.publish(TOPIC, sent)
    subscription = bus.subscribe([TOPIC], "g", handle, delivery=Delivery(first_wait=0.02))
    await eventually(lambda: calls == 80)
    await subscription.close()
    await bus.replay("g", [TOPIC])
    bus.subscribe([TOPIC], "g", handle)
    await eventually(lambda: calls == 160)
    async with store.read() as connection:
        numbers = (await connection.execute(text("SELECT number FROM effects ORDER BY id"))).scalars().all()
    assert sorted(numbers) == list(range(40))
    for subject in range(4):
        assert [n for n in numbers if n % 4 == subject] == list(range(subject, 40, 4))


STEPS = [
    "before the commit",
    "after the commit",
    "before publishing",
    "after publishing",
    "in the handler",
    "after the handler",
]


@pytest.mark.timeout(240)
async def test_killed_between_any_two_steps_loses_nothing_and_does_nothing_twice(
    store: Store, url: str, package: Path, tmp_path: Path
) -> None:
    """A process writes orders, relays and handles them; it is killed at each step and started again."""

    def walk(orders: int, step: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-P", WALK, package, url, f"sqlite:///{tmp_path}/bus.db", str(orders), step],
            timeout=60,
            capture_output=True,
        )

    for number, step in enumerate(STEPS, 1):
        killed = await asyncio.to_thread(walk, 6 * number, step)
        assert killed.returncode == -9, (step, killed.stderr.decode()[-2000:])
    ended = await asyncio.to_thread(walk, 6 * len(STEPS) + 4, "none")
    assert ended.returncode == 0, ended.stderr.decode()[-2000:]
    async with store.read() as connection:
        numbers = (await connection.execute(text("SELECT number FROM effects ORDER BY id"))).scalars().all()
    assert sorted(numbers) == list(range(6 * len(STEPS) + 4))
    for subject in range(2):
        assert [n for n in numbers if n % 2 == subject] == list(range(subject, 6 * len(STEPS) + 4, 2))
    assert await emptied(store)
