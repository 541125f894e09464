"""Jobs on SQLite and on a real PostgreSQL: ordered once, done once, steered within seconds, fair to all."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from parts.jobs import (
    QUICK,
    WorkerProcess,
    Workshop,
    alive,
    check_record,
    children,
    eventually,
    write_package,
)
from parts.postgres import Postgres
from sqlalchemy import text

from servicekit.bus import Event, open_bus
from servicekit.errors import Reason, SixfoldError
from servicekit.jobs import Broke, Done, Lost, NewJob, Status, Steer, Stood
from servicekit.jobs.types import Checkpoint
from servicekit.store import Store
from sixfold.events.v1 import job_pb2


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    source = tmp_path_factory.mktemp("src")
    write_package(source)
    sys.path.insert(0, str(source))
    yield source
    sys.path.remove(str(source))


@pytest.fixture(scope="module")
def templates() -> dict[str, str]:
    """Dialect → a migrated database to copy: migrating takes a process."""
    return {}


async def migrate(url: str) -> None:
    await (await Store.open(url, migrations="workshop:migrations")).close()


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


def bus_url(folder: Path) -> str:
    return f"sqlite:///{folder}/bus.db?partitions=3&lease_seconds=2"


@pytest.fixture
async def shop(url: str, tmp_path: Path) -> AsyncIterator[Workshop]:
    shop = await Workshop.open(url, bus_url(tmp_path), tmp_path)
    yield shop
    await shop.close()


# Ordering


async def test_the_same_order_makes_one_job_and_one_event(shop: Workshop) -> None:
    first, *others = [await shop.order(key="k") for _ in range(3)]
    assert {job.id for job in others} == {first.id}
    assert first.status is Status.QUEUED
    assert first.id.startswith("countjob-")
    async with shop.store.read() as connection:
        events = (await connection.execute(text("SELECT type, subject FROM outbox"))).all()
    assert [tuple(row) for row in events] == [("job.created", first.id)]
    with pytest.raises(SixfoldError) as caught:
        await shop.order(key="k", steps=11)
    assert caught.value.reason is Reason.ALREADY_EXISTS
    elsewhere = await shop.order(key="k", tenant="other")
    assert elsewhere.id != first.id


async def test_two_at_once_with_one_key_make_one_job(shop: Workshop) -> None:
    jobs = await asyncio.gather(*(shop.order(key="k") for _ in range(5)))
    assert len({job.id for job in jobs}) == 1


async def test_an_order_that_rolls_back_never_was(shop: Workshop) -> None:
    with pytest.raises(ZeroDivisionError):
        async with shop.store.begin() as connection:
            job = await shop.jobs.create(connection, NewJob("count", "acme", b"{}", idempotency_key="k"))
            raise ZeroDivisionError
    with pytest.raises(SixfoldError) as caught:
        await shop.jobs.get("acme", job.id)
    assert caught.value.reason is Reason.NOT_FOUND


async def test_a_tenant_cannot_fill_the_queue(url: str, tmp_path: Path) -> None:
    shop = await Workshop.open(url, bus_url(tmp_path), tmp_path, most_open=2)
    try:
        for _ in range(2):
            await shop.order()
        with pytest.raises(SixfoldError) as caught:
            await shop.order()
        assert caught.value.reason is Reason.QUEUE_FULL
        await shop.order(tenant="other")
    finally:
        await shop.close()


async def test_a_tenant_sees_its_own_by_pages(shop: Workshop) -> None:
    mine = [await shop.order(metadata={"n": str(n), "even": str(n % 2 == 0)}) for n in range(5)]
    theirs = await shop.order(tenant="other")
    ids = [job.id for job in mine]
    page, more = await shop.jobs.list("acme", ["count"], limit=2)
    assert ([job.id for job in page], more) == (ids[:2:-1], True)
    page, more = await shop.jobs.list("acme", ["count"], limit=9, after=ids[3])
    assert ([job.id for job in page], more) == (ids[2::-1], False)
    page, more = await shop.jobs.list("acme", ["count"], ascending=True, after=ids[0], limit=4)
    assert ([job.id for job in page], more) == (ids[1:], False)
    page, _ = await shop.jobs.list("acme", ["count"], metadata={"even": "True"}, ascending=True)
    assert [job.id for job in page] == ids[::2]
    assert (await shop.jobs.list("acme", ["count"], metadata={"even": "true"}))[0] == []
    assert (await shop.jobs.list("acme", ["fail"]))[0] == []
    for call in (
        shop.jobs.get("acme", theirs.id),
        shop.jobs.events("acme", theirs.id),
        shop.jobs.checkpoints("acme", theirs.id),
        shop.jobs.steer("acme", theirs.id, Steer.CANCEL),
        shop.jobs.list("acme", ["count"], after=theirs.id),
    ):
        with pytest.raises(SixfoldError) as caught:
            await call
        assert caught.value.reason is Reason.NOT_FOUND


# Claims


async def test_of_many_claimants_each_job_has_one(shop: Workshop) -> None:
    ids = {(await shop.order(tenant=f"t{n % 3}")).id for n in range(9)}
    claims = await asyncio.gather(*(shop.jobs.claim(f"w{n}", ["count"], 30) for n in range(9)))
    again = [await shop.jobs.claim("late", ["count"], 30) for _ in range(3)]
    taken = [claim.id for claim in [*claims, *again] if claim is not None]
    assert sorted(taken) == sorted(ids)


async def test_thirty_jobs_of_one_do_not_stand_before_anothers_one(shop: Workshop) -> None:
    for _ in range(30):
        await shop.order(tenant="busy", priority=10)
    await shop.order(tenant="quiet", priority=-10)
    tenants = []
    for _ in range(3):
        claim = await shop.jobs.claim("w", ["count"], 30)
        assert claim is not None
        tenants.append(claim.tenant)
    assert "quiet" in tenants[:2]
    # One slot alone: whoever was served longest ago is next.
    for _ in range(2):
        await shop.order(tenant="quiet")


async def test_with_one_slot_tenants_take_turns(shop: Workshop) -> None:
    for _ in range(6):
        await shop.order(tenant="busy", priority=10)
    for _ in range(3):
        await shop.order(tenant="quiet")
    served = []
    while (claim := await shop.jobs.claim("w", ["count"], 30)) is not None:
        served.append(claim.tenant)
        await shop.jobs.finish(claim, Done(b"{}"))
    assert served[:6].count("quiet") == 3


async def test_priority_and_age_decide_among_ones_own(shop: Workshop) -> None:
    low = await shop.order(priority=0)
    high = await shop.order(priority=5)
    old = await shop.order(priority=-5)
    async with shop.store.begin() as connection:
        await connection.execute(
            text("UPDATE jobs SET ready_at = ready_at - 6600 WHERE id = :id"), {"id": old.id}
        )
    order = []
    while (claim := await shop.jobs.claim("w", ["count"], 30)) is not None:
        order.append(claim.id)
    assert order == [old.id, high.id, low.id]


async def test_a_tenant_has_no_more_slots_than_it_may(shop: Workshop) -> None:
    for _ in range(3):
        await shop.order()
    assert await shop.jobs.claim("w", ["count"], 30, tenant_slots=1) is not None
    assert await shop.jobs.claim("w", ["count"], 30, tenant_slots=1) is None


async def test_a_stale_fence_writes_nothing(shop: Workshop) -> None:
    job = await shop.order()
    old = await shop.jobs.claim("slow", ["count"], 0.05)
    assert old is not None
    await asyncio.sleep(0.1)
    assert await shop.jobs.recover(["count"]) == 1
    early: list[Coroutine[Any, Any, object]] = [
        shop.jobs.heartbeat(old, 30, progress=0.9),
        shop.jobs.finish(old, Done(b"{}")),
    ]
    for write in early:
        with pytest.raises(Lost):
            await write
    new = await shop.jobs.claim("quick", ["count"], 30)
    assert new is not None
    assert new.fence == old.fence + 1
    stored = Checkpoint("ckpt_old", time.time(), 5, {}, "acme/x/y")
    late: list[Coroutine[Any, Any, object]] = [
        shop.jobs.heartbeat(old, 30, progress=0.9),
        shop.jobs.keep_checkpoint(old, stored),
        shop.jobs.finish(old, Broke("X", "x")),
    ]
    for write in late:
        with pytest.raises(Lost):
            await write
    await shop.jobs.heartbeat(new, 30, progress=0.25, metrics={"loss": 1.5}, ran_seconds=2)
    now = await shop.jobs.get("acme", job.id)
    assert (now.progress, now.metrics, now.status) == (0.25, {"loss": 1.5}, Status.RUNNING)
    done = await shop.jobs.finish(new, Done(b'{"a":1}'))
    assert (done.status, done.result, done.progress) == (Status.SUCCEEDED, b'{"a":1}', 1.0)


async def test_attempts_end_with_a_dead_letter_and_its_cause(shop: Workshop) -> None:
    job = await shop.order(max_attempts=2)
    shop.relay.start()
    for _ in range(2):

        async def claimed() -> bool:
            claim = await shop.jobs.claim("w", ["count"], 30)
            if claim is not None:
                await shop.jobs.finish(claim, Broke("DISK_FULL", "No room."))
            return claim is not None

        await eventually(claimed)
    failed = await shop.jobs.get("acme", job.id)
    assert (failed.status, failed.reason, failed.attempt) == (Status.FAILED, "DISK_FULL", 2)
    assert failed.message == "Given up after 2 attempts. No room."

    async def dead() -> bool:
        return len(await shop.bus.dead_letters("sixfold.jobs")) == 1

    await eventually(dead)
    (letter,) = await shop.bus.dead_letters("sixfold.jobs")
    said = letter.event.parse(job_pb2.JobChanged)
    assert (said.job_id, said.status, said.reason, said.attempt) == (job.id, "failed", "DISK_FULL", 2)
    assert letter.event.tenant == "acme"


async def test_a_crash_loop_waits_between_attempts_and_others_go_on(shop: Workshop) -> None:
    bad = await shop.order(max_attempts=100)
    for _ in range(3):
        claim = await shop.jobs.claim("w", ["count"], 30)
        if claim is None:
            break
        assert claim.id == bad.id
        await shop.jobs.finish(claim, Broke("CRASHED", "It crashed."))
    good = await shop.order()
    claim = await shop.jobs.claim("w", ["count"], 30)
    assert claim is not None
    assert claim.id == good.id


async def test_a_step_forward_forgives_what_failed_before(shop: Workshop) -> None:
    await shop.order(max_attempts=2)
    for step in (5, 10, 15):
        claim = None
        while claim is None:
            claim = await shop.jobs.claim("w", ["count"], 30)
            await asyncio.sleep(0.02)
        assert (claim.checkpoint.step if claim.checkpoint else 0) == step - 5
        kept = Checkpoint(f"ckpt_{step}", time.time(), step, {"loss": 1.0}, "acme/x/y")
        await shop.jobs.keep_checkpoint(claim, kept)
        job = await shop.jobs.finish(claim, Broke("KILLED", "It was killed."))
        assert (job.status, job.attempt) == (Status.QUEUED, 2)


async def test_only_the_newest_checkpoints_stay(shop: Workshop) -> None:
    job = await shop.order()
    claim = await shop.jobs.claim("w", ["count"], 30)
    assert claim is not None
    gone: list[int] = []
    for step in (1, 2, 3, 4, 5, 5):
        kept = Checkpoint(f"ckpt_{step}_{len(gone)}", time.time(), step, {}, "acme/x/y")
        gone += [old.step for old in await shop.jobs.keep_checkpoint(claim, kept)]
    left, more = await shop.jobs.checkpoints("acme", job.id)
    assert ([one.step for one in left], more, gone) == ([5, 4, 3], False, [1, 2, 5])
    page, more = await shop.jobs.checkpoints("acme", job.id, after=left[0].id, limit=1)
    assert ([one.step for one in page], more) == ([4], True)


# Steering without a worker


async def test_what_does_not_run_is_steered_at_once(shop: Workshop) -> None:
    job = await shop.order()
    steer = shop.jobs.steer
    assert (await steer("acme", job.id, Steer.PAUSE)).status is Status.PAUSED
    assert await shop.jobs.claim("w", ["count"], 30) is None
    assert (await steer("acme", job.id, Steer.PAUSE)).status is Status.PAUSED
    assert (await steer("acme", job.id, Steer.RESUME)).status is Status.QUEUED
    assert (await steer("acme", job.id, Steer.CANCEL)).status is Status.CANCELLED
    assert (await steer("acme", job.id, Steer.CANCEL)).status is Status.CANCELLED
    with pytest.raises(SixfoldError) as caught:
        await steer("acme", job.id, Steer.RESUME)
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert await shop.jobs.claim("w", ["count"], 30) is None


async def test_a_job_whose_worker_is_gone_still_hears(shop: Workshop) -> None:
    for steer, status in ((Steer.CANCEL, Status.CANCELLED), (Steer.PAUSE, Status.PAUSED)):
        job = await shop.order()
        claim = await shop.jobs.claim("w", ["count"], 0.05)
        assert claim is not None
        await shop.jobs.steer("acme", job.id, steer)
        await asyncio.sleep(0.1)
        await shop.jobs.recover(["count"])
        assert (await shop.jobs.get("acme", job.id)).status is status


async def test_asked_to_go_on_before_it_stood_still_it_goes_on(shop: Workshop) -> None:
    job = await shop.order()
    claim = await shop.jobs.claim("w", ["count"], 30)
    assert claim is not None
    await shop.jobs.steer("acme", job.id, Steer.PAUSE)
    assert await shop.jobs.heartbeat(claim, 30) == "pause"
    await shop.jobs.steer("acme", job.id, Steer.RESUME)
    assert (await shop.jobs.finish(claim, Stood("pause"))).status is Status.QUEUED


# With a worker and its processes


async def test_a_job_is_done_and_tells_of_it(shop: Workshop) -> None:
    shop.relay.start()
    told: list[Event] = []

    async def hear(event: Event) -> None:
        told.append(event)

    shop.bus.subscribe(["sixfold.jobs"], "listener", hear)
    worker = shop.new_worker()
    job = await shop.order(steps=12)
    done = await shop.until(job, "succeeded")
    assert orjson.loads(done.result) == {"steps": 12}
    assert done.metrics == {"step": 12}
    assert 0 < done.created_at <= done.started_at <= done.finished_at
    assert check_record(shop.lines(), {job.id: 12}, 5) == 0
    checkpoints, _ = await shop.jobs.checkpoints("acme", job.id)
    assert [one.step for one in checkpoints] == [10, 5]
    await eventually(lambda: len(told) >= 3)
    said = [event.parse(job_pb2.JobChanged).status for event in told if event.type == "job.changed"]
    assert said == ["running", "succeeded"]
    diary, _ = await shop.jobs.events("acme", job.id)
    assert diary[-1].message == "The job is done."
    await worker.close()
    assert worker.running == 0
    assert not list((tmp := shop.folder / "work").iterdir()), list(tmp.iterdir())


async def test_a_lost_event_is_no_lost_job(shop: Workshop) -> None:
    worker = shop.new_worker()  # and no relay: the event never comes
    job = await shop.order()
    await shop.until(job, "succeeded")
    await worker.close()


async def test_the_same_event_five_times_is_one_job(shop: Workshop) -> None:
    job = await shop.order()
    created = job_pb2.JobCreated(job_id=job.id, kind="count")
    event = Event.new("job.created", created, source="workshop", subject=job.id, tenant="acme")
    await shop.bus.publish("sixfold.jobs", [event] * 5)
    workers = [shop.new_worker() for _ in range(2)]
    await shop.until(job, "succeeded")

    async def heard() -> bool:
        return (await shop.bus.lag("workshop.jobs", ["sixfold.jobs"]))["sixfold.jobs"] == 0

    await eventually(heard)
    for worker in workers:
        await worker.close()
    assert [what for _, _, what, _ in shop.lines()].count("end") == 1


async def test_paused_it_gives_its_slot_back_and_goes_on_where_it_was(shop: Workshop) -> None:
    worker = shop.new_worker(dataclasses.replace(QUICK, slots=1))
    job = await shop.order(steps=60, every=1000, pace=0.05)
    await eventually(lambda: len(shop.lines()) > 5)
    await shop.jobs.steer("acme", job.id, Steer.PAUSE)
    await shop.until(job, "paused")
    place = shop.lines()[-1][3]
    (kept,), _ = await shop.jobs.checkpoints("acme", job.id)
    assert kept.step == place
    other = await shop.order(steps=2)
    await shop.until(other, "succeeded")
    assert [line for line in shop.lines() if line[0] == job.id][-1][3] == place
    await shop.jobs.steer("acme", job.id, Steer.RESUME)
    await shop.until(job, "succeeded")
    assert check_record([line for line in shop.lines() if line[0] == job.id], {job.id: 60}, 0) == 0
    await worker.close()


async def test_cancelled_it_stops_and_so_does_one_that_does_not_listen(shop: Workshop) -> None:
    limits = dataclasses.replace(QUICK, stop_seconds=0.5)
    worker = shop.new_worker(limits)
    job = await shop.order(steps=100_000)
    deaf = await shop.order("fail", how="deaf")
    await eventually(lambda: len({line[0] for line in shop.lines()}) == 2)
    for one in (job, deaf):
        await shop.jobs.steer("acme", one.id, Steer.CANCEL)
        ended = await shop.until(one, "cancelled")
        assert ended.finished_at > 0
    await eventually(lambda: worker.running == 0)
    await worker.close()


async def test_failures_have_a_reason_and_no_words_of_the_data(shop: Workshop) -> None:
    worker = shop.new_worker()
    expected = {
        "fault": ("BAD_ROW", "Line 7 is no JSON."),
        "crash": ("CRASHED", "Given up after 2 attempts. The job's process failed with ZeroDivisionError."),
        "exit": (
            "CRASHED",
            "Given up after 2 attempts. The job's process ended without a word, with exit code 3.",
        ),
        "nonsense": ("INVALID_RESULT", "What came out is too large or is not JSON."),
        "full": ("DISK_FULL", "Given up after 2 attempts. The checkpoint found no room on the disk."),
        "grandchild": (
            "CRASHED",
            "Given up after 2 attempts. The job's process failed with ZeroDivisionError.",
        ),
    }
    jobs = {how: await shop.order("fail", how=how, max_attempts=2) for how in expected}
    for how, job in jobs.items():
        failed = await shop.until(job, "failed")
        assert (failed.reason, failed.message) == expected[how], how
    diary, _ = await shop.jobs.events("acme", jobs["crash"].id)
    assert not any("4929" in event.message or b"4929" in event.data for event in diary)
    assert [event.message for event in diary].count("about to fail") == 2
    await worker.close()


async def test_memory_and_time_have_limits(shop: Workshop) -> None:
    worker = shop.new_worker()
    greedy = await shop.order("fail", how="memory", memory_bytes=200 * 1024**2)
    slow = await shop.order("fail", how="time", seconds=1)
    failed = await shop.until(greedy, "failed")
    assert (failed.reason, failed.message) == (
        "MEMORY_LIMIT",
        "The job needs more than its 200 MiB of memory.",
    )
    failed = await shop.until(slow, "failed")
    assert (failed.reason, failed.message) == ("TIME_LIMIT", "The job took longer than its 1 seconds.")
    await worker.close()


async def test_a_process_has_its_files_and_no_secret(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXFOLD_SECRET_THING", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")

    async def put(namespace: str, content: bytes) -> str:
        async def chunks() -> AsyncIterator[bytes]:
            yield content

        return (await shop.objects.put(namespace, chunks(), limit=1000)).key

    mine, theirs = await put("acme/file-1", b"hello"), await put("other/file-2", b"theirs")
    worker = shop.new_worker()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    forbidden = [theirs, f"acme/../{theirs}", f"acme/nothing/{'0' * 64}"]
    job = await shop.order("files", key="k", spec_key=mine, traceparent=trace)
    await shop.until(job, "failed")  # its spec names no key
    async with shop.store.begin() as connection:
        spec = orjson.dumps({"key": mine, "forbidden": forbidden})
        new = NewJob("files", "acme", spec, idempotency_key="k2", traceparent=trace)
        job = await shop.jobs.create(connection, new)
    done = await shop.until(job, "succeeded")
    result = orjson.loads(done.result)
    assert result["answer"] == 42
    assert result["home"]
    assert result["lead"]
    assert result["traceparent"] == trace
    assert set(result["seen"].values()) <= {"NOT_FOUND", "INVALID_REQUEST", "PERMISSION_DENIED"}
    assert result["seen"]["refuse"] == "PERMISSION_DENIED"
    assert not [name for name in result["environment"] if "SECRET" in name or name.startswith("SIXFOLD")]
    assert b"".join([piece async for piece in shop.objects.read(result["key"])]) == b"HELLO"
    assert result["key"].startswith("acme/results/")
    await worker.close()


async def test_a_worker_that_ends_hands_its_jobs_on(shop: Workshop) -> None:
    first = shop.new_worker()
    jobs = [await shop.order(steps=60, every=1000, pace=0.05) for _ in range(3)]
    await eventually(lambda: len({line[0] for line in shop.lines()}) == 3)
    await first.close()
    for job in jobs:
        assert (await shop.jobs.get("acme", job.id)).status is Status.QUEUED
    second = shop.new_worker()
    for job in jobs:
        done = await shop.until(job, "succeeded")
        assert done.attempt == 1
    assert check_record(shop.lines(), {job.id: 60 for job in jobs}, 0) == 0
    await second.close()


async def test_a_killed_process_is_followed_by_another_that_goes_on(shop: Workshop) -> None:
    worker = shop.new_worker()
    job = await shop.order(steps=20, die_at=13, die_times=1)
    await shop.until(job, "succeeded")
    assert check_record(shop.lines(), {job.id: 20}, 5) == 3
    await worker.close()


@pytest.mark.timeout(240)
async def test_killed_at_random_nothing_is_lost_or_done_twice(
    shop: Workshop, url: str, package: Path, tmp_path: Path
) -> None:
    """Two workers as processes; one of them, or a job's process, is killed again and again."""
    await kill_at_random(shop, package, url, bus_url(tmp_path), tmp_path, kills=8, seed=5)


async def kill_at_random(
    shop: Workshop, package: Path, store_url: str, bus: str, folder: Path, *, kills: int, seed: int
) -> None:
    dice = random.Random(seed)
    shop.relay.start()
    workers = [WorkerProcess(package, store_url, bus, folder, 3) for _ in range(2)]
    try:
        jobs = [
            await shop.order(tenant=f"t{n % 3}", steps=60, every=5, pace=0.05, max_attempts=5)
            for n in range(10)
        ]
        await eventually(lambda: len(shop.lines()) > 10)
        for _ in range(kills):
            await asyncio.sleep(dice.uniform(0.2, 1.0))
            if dice.random() < 0.5:
                place = dice.randrange(2)
                below = children(workers[place].process.pid)
                workers[place].kill()
                await eventually(lambda gone=below: not any(map(alive, gone)), 10)  # type: ignore[misc]
                workers[place] = WorkerProcess(package, store_url, bus, folder, 3)
            elif below := [pid for worker in workers for pid in children(worker.process.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(dice.choice(below), signal.SIGKILL)
        for job in jobs:
            await shop.until(job, "succeeded", seconds=120)
        check_record(shop.lines(), {job.id: 60 for job in jobs}, 5)
        for worker in workers:
            assert worker.stop() == 0
    finally:
        for worker in workers:
            worker.kill()


async def test_one_trace_runs_from_the_order_to_the_jobs_process(
    shop: Workshop, url: str, package: Path, tmp_path: Path
) -> None:
    traces = tmp_path / "traces.jsonl"
    worker = WorkerProcess(package, url, bus_url(tmp_path), tmp_path, 1, f"file://{traces}")
    try:
        trace = "0af7651916cd43dd8448eb211c80319c"
        job = await shop.order(steps=3, traceparent=f"00-{trace}-b7ad6b7169203331-01")
        await shop.until(job, "succeeded")
        assert worker.stop() == 0
    finally:
        worker.kill()
    spans = [orjson.loads(line) for line in traces.read_bytes().splitlines()]
    mine = {span["name"]: span for span in spans if span["trace_id"] == trace}
    assert mine["job count"]["parent_id"] == "b7ad6b7169203331"
    assert mine["run count"]["parent_id"] == mine["job count"]["span_id"]
    assert (mine["job count"]["service"], mine["run count"]["service"]) == ("workshop", "workshop-job")
    assert {"sixfold.jobs publish", "sixfold.jobs process"} <= set(mine)
    assert str(shop.record) not in traces.read_text()


async def test_over_kafka_a_job_is_done_by_one_of_two_workers(
    kafka_url: str, package: Path, tmp_path: Path
) -> None:
    store_url = f"sqlite:///{tmp_path}/records.db"
    shop = await Workshop.open(store_url, kafka_url, tmp_path)
    shop.relay.start()
    other = open_bus(kafka_url)
    workers = [shop.new_worker() for _ in range(2)]
    try:
        jobs = [await shop.order(steps=5) for _ in range(6)]
        for job in jobs:
            await shop.until(job, "succeeded")

        async def heard() -> bool:
            return (await other.lag("workshop.jobs", ["sixfold.jobs"]))["sixfold.jobs"] == 0

        await eventually(heard)
        assert check_record(shop.lines(), {job.id: 5 for job in jobs}, 5) == 0
    finally:
        for worker in workers:
            await worker.close()
        await other.close()
        await shop.close()


async def test_without_its_records_a_worker_stops_before_its_lease_ends(
    postgres_url: str, package: Path, tmp_path: Path
) -> None:
    """Somebody else may have the job then: nobody works on without knowing."""
    shop = await Workshop.open(postgres_url, bus_url(tmp_path), tmp_path)
    worker = shop.new_worker()
    try:
        job = await shop.order(steps=200, pace=0.05)
        await eventually(lambda: len(shop.lines()) > 8)
        (pid,) = children(os.getpid(), "servicekit.jobs.entry")
        async with shop.store.begin() as connection:
            await connection.execute(text("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE"))
            # Whatever asks for the row waits now, for ten seconds; the lease is three.
            await eventually(lambda: not alive(pid), 8)
        await shop.until(job, "succeeded", seconds=90)
        assert check_record(shop.lines(), {job.id: 200}, 5) <= 5
    finally:
        await worker.close()
        await shop.close()


@pytest.mark.timeout(300)
async def test_on_a_ray_cluster_jobs_go_on_after_a_lost_node(package: Path, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="the package ray is not installed")
    shop = await Workshop.open(f"sqlite:///{tmp_path}/records.db", bus_url(tmp_path), tmp_path)
    shop.relay.start()
    worker = shop.new_worker(launcher_url="ray://local?cpus=0.1")
    try:
        short = await shop.order(steps=5)
        await shop.until(short, "succeeded", seconds=200)
        assert check_record(shop.lines(), {short.id: 5}, 5) == 0
        shop.record.unlink()
        long = await shop.order(steps=40, pace=0.1)
        paused = await shop.order(steps=1000, pace=0.1, every=1000)
        await eventually(lambda: len([line for line in shop.lines() if line[0] == long.id]) > 8, 120)
        await eventually(lambda: any(line[0] == paused.id for line in shop.lines()), 120)
        await shop.jobs.steer("acme", paused.id, Steer.PAUSE)
        await shop.until(paused, "paused")
        (kept,), _ = await shop.jobs.checkpoints("acme", paused.id)
        assert kept.step > 0
        (host,) = [actor for actor in _hosts() if long.id in actor]
        os.kill(int(host.split()[0]), signal.SIGKILL)
        await shop.until(long, "succeeded", seconds=120)
        assert check_record([line for line in shop.lines() if line[0] == long.id], {long.id: 40}, 5) <= 5
        diary, _ = await shop.jobs.events("acme", long.id)
        assert "ended by signal 9" in " ".join(event.message for event in diary)
        bad = await shop.order("fail", how="fault")
        assert (await shop.until(bad, "failed", seconds=120)).reason == "BAD_ROW"
        await worker.close()
        assert not ray.is_initialized()
    finally:
        await worker.close()
        await shop.close()


def _hosts() -> list[str]:
    """For each job's process that runs: the process id of its parent, and its own working folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            if b"servicekit.jobs.entry" in command:
                found.append(f"{command[3].decode()} {(process / 'cwd').readlink()}")
        except OSError:
            continue
    return found
