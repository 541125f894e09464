"""`make chaos`: a hundred kills at random moments with thirty jobs in flight, on PostgreSQL and Kafka.

Killed are workers, job processes, the service that takes and announces orders, the broker, and the gateway
through which orders come: thirty long ones at first, small ones all the time, from a client that tries again
with the same idempotency key until it hears an answer, and sends old orders again and again. Prints what came
of it. `SIXFOLD_CHAOS_SEED` names the dice.
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
from itertools import cycle
from pathlib import Path

import openai
import pytest
from parts.gateway import GatewayProcess
from parts.jobs import WorkerProcess, Workshop, alive, check_record, children, eventually, write_package
from parts.jobs_door import door_process
from parts.kafka import OwnKafka
from parts.process import free_port
from sqlalchemy import text

from servicekit.bus import Event
from sixfold.events.v1 import job_pb2

KILLS, JOBS, STEPS, EVERY, SLOTS = 100, 30, 500, 5, 4
SMALL_STEPS, DATASET = 10, "ds_" + "0" * 24
WHAT = {"worker": 35, "job": 35, "service": 12, "gateway": 13, "broker": 5}


class Orders:
    """A client of the official library that never gives up. Knows which job each of its keys got."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._clients = {
            tenant: openai.AsyncOpenAI(
                api_key=gateway.token(tenant), base_url=f"{gateway.url}/v1", max_retries=0, timeout=10
            )
            for tenant in ("t0", "t1", "t2")
        }
        self.jobs: dict[str, tuple[str, str, int]] = {}
        """Key → tenant, job and steps."""
        self.tries = 0
        self.unheard = 0
        """Tries whose answer did not come."""
        self.stop = asyncio.Event()

    async def place(self, number: int, steps: int) -> None:
        """Twice, and both are the same job."""
        tenant, key = f"t{number % 3}", f"k{number}"
        first = await self._heard(tenant, key, steps)
        assert await self._heard(tenant, key, steps) == first
        self.jobs[key] = (tenant, first, steps)

    async def go_on(self, number: int) -> None:
        """Small new orders every few seconds, and old ones once more in between, until it is told to stop."""
        while not self.stop.is_set():
            await self.place(number, SMALL_STEPS)
            number += 1
            new_at = time.monotonic() + 2
            for key in cycle(list(self.jobs)):
                if self.stop.is_set() or time.monotonic() > new_at:
                    break
                tenant, job_id, steps = self.jobs[key]
                assert await self._heard(tenant, key, steps) == job_id
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    async def _heard(self, tenant: str, key: str, steps: int) -> str:
        while True:
            self.tries += 1
            try:
                job = await self._clients[tenant].fine_tuning.jobs.create(
                    model="tiny",
                    training_file=DATASET,
                    metadata={"steps": str(steps), "every": str(EVERY), "pace": "0.05"},
                    extra_headers={"Idempotency-Key": key},
                )
                return job.id
            except (openai.APIConnectionError, openai.InternalServerError):
                self.unheard += 1
                await asyncio.sleep(0.1)


@pytest.mark.timeout(1800)
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
    port = free_port()
    gateway = GatewayProcess(tmp_path / "gateway", {"SIXFOLD_GATEWAY_TRAINING_SERVICE": f"127.0.0.1:{port}"})
    service = door_process(package, postgres_url, kafka_url, tmp_path, port, gateway.service_key)

    def start() -> WorkerProcess:
        return WorkerProcess(package, postgres_url, kafka_url, tmp_path, SLOTS)

    workers: list[WorkerProcess] = []
    killed: Counter[str] = Counter()
    orders = Orders(gateway)
    small: asyncio.Task[None] | None = None
    try:
        await asyncio.to_thread(service.start)
        await asyncio.to_thread(gateway.process.start)
        workers += [start() for _ in range(2)]
        began = time.monotonic()
        await asyncio.gather(*(orders.place(number, STEPS) for number in range(JOBS)))
        small = asyncio.create_task(orders.go_on(JOBS))
        await eventually(lambda: len(shop.lines()) > 10)
        while killed.total() < KILLS:
            # Something is at work whenever something is killed.
            await eventually(lambda: any(children(worker.process.pid) for worker in workers), 120)
            await asyncio.sleep(dice.uniform(0.1, 2))
            assert not small.done(), small.exception()
            what = dice.choices(list(WHAT), list(WHAT.values()))[0]
            if what == "worker":
                place = dice.randrange(2)
                below = children(workers[place].process.pid)
                workers[place].kill()
                await eventually(lambda gone=below: not any(map(alive, gone)), 10)  # type: ignore[misc]
                workers[place] = start()
            elif what in ("service", "gateway"):
                process = service if what == "service" else gateway.process
                process.kill()
                await asyncio.to_thread(process.start)
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
        orders.stop.set()
        await small
        jobs = {id: (tenant, steps) for tenant, id, steps in orders.jobs.values()}
        assert len(jobs) == len(orders.jobs)
        async with shop.store.read() as connection:
            known = (await connection.execute(text("SELECT id FROM jobs"))).scalars().all()
        assert set(known) == set(jobs)  # none that nobody knows of, none lost
        left = [id for id, (tenant, _) in jobs.items() if not (await shop.jobs.get(tenant, id)).status.final]
        for id, (tenant, _) in jobs.items():
            await shop.until(await shop.jobs.get(tenant, id), "succeeded", seconds=600)
        repeated = check_record(shop.lines(), {id: steps for id, (_, steps) in jobs.items()}, EVERY)

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
        await eventually(lambda: all(ended[id] for id in jobs))
        await subscription.close()
        assert set(ended.values()) == {1}
        assert [worker.stop() for worker in workers] == [0, 0]
    finally:
        if small is not None:
            small.cancel()
        for worker in workers:
            worker.kill()
        service.kill()
        gateway.process.kill()
        await orders.close()
        await shop.close()
    steps = sum(1 for line in shop.lines() if line[2] == "step")
    rows = [
        ("kills", f"{killed.total()} ({', '.join(f'{n} {what}' for what, n in sorted(killed.items()))})"),
        ("jobs, lost, done twice", f"{len(jobs)}, 0, 0"),
        ("orders sent, not answered", f"{orders.tries}, {orders.unheard}"),
        ("not ended at the last kill", f"{len(left)}"),
        ("attempts", f"{attempts}"),
        ("steps asked for, done", f"{sum(each for _, each in jobs.values())}, {steps}"),
        ("steps repeated", f"{repeated} (at most {EVERY} an attempt)"),
        ("seconds of kills, in all", f"{in_flight_until:.0f}, {time.monotonic() - began:.0f}"),
        ("seed", f"{seed}"),
    ]
    with capsys.disabled():
        print(file=sys.stderr)
        for name, value in rows:
            print(f"{name:<26} {value}", file=sys.stderr)
