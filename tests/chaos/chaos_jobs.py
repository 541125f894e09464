"""`make chaos`: a hundred kills at random moments with thirty jobs in flight, on PostgreSQL and Kafka.

Killed are workers, job processes, the service that announces orders, and the broker. Prints what came of it.
Every order is given twice, as by a caller who did not hear the answer. `SIXFOLD_CHAOS_SEED` names the dice.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from parts.jobs import WorkerProcess, Workshop, alive, check_record, children, eventually, write_package
from parts.kafka import OwnKafka
from sqlalchemy import text

from servicekit.bus import Event
from sixfold.events.v1 import job_pb2

KILLS, JOBS, STEPS, EVERY, SLOTS = 100, 30, 500, 5, 4


@pytest.mark.timeout(1500)
async def test_a_hundred_kills_with_thirty_jobs_in_flight(
    kafka_server: OwnKafka,
    kafka_url: str,
    postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    package = tmp_path / "package"
    write_package(package)
    monkeypatch.syspath_prepend(str(package))
    seed = int(os.environ.get("SIXFOLD_CHAOS_SEED") or random.randrange(1_000_000))
    dice = random.Random(seed)
    shop = await Workshop.open(postgres_url, kafka_url, tmp_path)

    def start(slots: int) -> WorkerProcess:
        return WorkerProcess(package, postgres_url, kafka_url, tmp_path, slots)

    service = start(0)  # announces what is ordered, and works on nothing itself
    workers = [start(SLOTS) for _ in range(2)]
    killed: Counter[str] = Counter()
    began = time.monotonic()
    try:
        jobs = []
        for number in range(JOBS):
            for _ in range(2):
                job = await shop.order(
                    key=f"k{number}",
                    tenant=f"t{number % 3}",
                    steps=STEPS,
                    every=EVERY,
                    pace=0.05,
                    max_attempts=20,
                )
            jobs.append(job)
        await eventually(lambda: len(shop.lines()) > 10)
        while killed.total() < KILLS:
            # Something is at work whenever something is killed.
            await eventually(lambda: any(children(worker.process.pid) for worker in workers), 120)
            await asyncio.sleep(dice.uniform(0.1, 2))
            what = dice.choices(["worker", "job", "service", "broker"], [40, 40, 15, 5])[0]
            if what == "worker":
                place = dice.randrange(2)
                below = children(workers[place].process.pid)
                workers[place].kill()
                await eventually(lambda gone=below: not any(map(alive, gone)), 10)  # type: ignore[misc]
                workers[place] = start(SLOTS)
            elif what == "service":
                service.kill()
                service = start(0)
            elif what == "broker":
                await asyncio.to_thread(kafka_server.kill)
                await asyncio.to_thread(kafka_server.start)
            else:
                below = [pid for worker in workers for pid in children(worker.process.pid)]
                if not below:
                    continue
                with contextlib.suppress(ProcessLookupError):
                    os.kill(dice.choice(below), signal.SIGKILL)
            killed[what] += 1
        in_flight_until = time.monotonic() - began
        left = [job for job in jobs if not (await shop.jobs.get(job.tenant, job.id)).status.final]
        for job in jobs:
            await shop.until(job, "succeeded", seconds=600)
        repeated = check_record(shop.lines(), {job.id: STEPS for job in jobs}, EVERY)

        async def carried() -> bool:
            async with shop.store.read() as connection:
                return not (await connection.execute(text("SELECT count(*) FROM outbox"))).scalar_one()

        await eventually(carried)
        async with shop.store.read() as connection:
            attempts = (await connection.execute(text("SELECT sum(fence) FROM jobs"))).scalar_one()
        ended: Counter[str] = Counter()
        told: set[str] = set()

        async def hear(event: Event) -> None:
            if event.id not in told and event.type == "job.changed":
                told.add(event.id)
                said = event.parse(job_pb2.JobChanged)
                if said.status == "succeeded":
                    ended[said.job_id] += 1

        subscription = shop.bus.subscribe(["sixfold.jobs"], "chaos.listener", hear)
        await eventually(lambda: all(ended[job.id] for job in jobs))
        await subscription.close()
        assert set(ended.values()) == {1}
        assert [worker.stop() for worker in [*workers, service]] == [0, 0, 0]
    finally:
        for worker in [*workers, service]:
            worker.kill()
        await shop.close()
    steps = sum(1 for line in shop.lines() if line[2] == "step")
    rows = [
        ("kills", f"{killed.total()} ({', '.join(f'{n} {what}' for what, n in sorted(killed.items()))})"),
        ("jobs, lost, done twice", f"{JOBS}, 0, 0"),
        ("not ended at the last kill", f"{len(left)}"),
        ("attempts", f"{attempts}"),
        ("steps asked for, done", f"{JOBS * STEPS}, {steps}"),
        ("steps repeated", f"{repeated} (at most {EVERY} an attempt)"),
        ("seconds of kills, in all", f"{in_flight_until:.0f}, {time.monotonic() - began:.0f}"),
        ("seed", f"{seed}"),
    ]
    with capsys.disabled():
        print(file=sys.stderr)
        for name, value in rows:
            print(f"{name:<26} {value}", file=sys.stderr)
