"""A service that has nothing but jobs, and its workers: in this process or in ones that can be killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from servicekit.bus import Bus, open_bus
from servicekit.errors import Reason, SixfoldError
from servicekit.jobs import Job, Jobs, NewJob, Worker, WorkLimits
from servicekit.jobs.launchers import open_launcher
from servicekit.jobs.types import Claim
from servicekit.objects import Objects, open_objects
from servicekit.outbox import Relay
from servicekit.store import Store

MIGRATION = """
from alembic import op

from servicekit import jobs, outbox

revision = "0001"
down_revision = None


def upgrade() -> None:
    outbox.create_tables(op)
    jobs.create_tables(op)


def downgrade() -> None:
    jobs.drop_tables(op)
    outbox.drop_tables(op)
"""
TESTS = Path(__file__).parents[1]
HANDLERS = {kind: f"parts.job_work:{kind}" for kind in ("count", "fail", "files")}
HANDLERS["fine_tuning"] = HANDLERS["count"]
PREFIXES = {"count": "countjob-", "fail": "failjob-", "files": "filesjob-", "fine_tuning": "ftjob-"}
QUICK = WorkLimits(
    slots=4, lease_seconds=3, beat_seconds=0.1, sweep_seconds=0.2, stop_seconds=3, memory_bytes=300 * 1024**2
)


def write_package(folder: Path) -> None:
    """The package `workshop`, with migrations as a service has them."""
    versions = folder / "workshop" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "workshop" / "__init__.py").touch()
    (versions / "0001_jobs.py").write_text(MIGRATION)


async def double(_claim: Claim, arguments: Mapping[str, Any]) -> int:
    return int(arguments["number"]) * 2


async def refuse(_claim: Claim, _arguments: Mapping[str, Any]) -> None:
    raise SixfoldError(Reason.PERMISSION_DENIED, "No.")


class Workshop:
    """The service's side; `new_worker` starts a worker in this process."""

    def __init__(self, store: Store, bus: Bus, objects: Objects, folder: Path, **options: Any) -> None:
        self.store = store
        self.bus = bus
        self.objects = objects
        self.folder = folder
        self.relay = Relay(store, bus, poll_seconds=0.05, lease_seconds=2, longest_wait=0.2)
        usual = {"first_pause": 0.1, "longest_pause": 1.0}
        self.jobs = Jobs(
            store, source="workshop", prefixes=PREFIXES, wake=self.relay.wake, **(usual | options)
        )
        self.record = folder / "record"

    @classmethod
    async def open(cls, store_url: str, bus_url: str, folder: Path, **options: Any) -> Workshop:
        store = await Store.open(store_url, migrations="workshop:migrations", timeout=10)
        bus = open_bus(bus_url)
        return cls(store, bus, open_objects(f"file://{folder}/objects"), folder, **options)

    def new_worker(
        self, limits: WorkLimits = QUICK, *, launcher_url: str = "subprocess://", **options: Any
    ) -> Worker:
        launcher = open_launcher(
            launcher_url, folder=self.folder / "work", environment={"PYTHONPATH": str(TESTS)}
        )
        calls = {"double": double, "refuse": refuse}
        worker = Worker(
            self.jobs,
            self.bus,
            self.objects,
            launcher,
            HANDLERS,
            group="workshop.jobs",
            limits=limits,
            calls=calls,
            **options,
        )
        worker.start()
        return worker

    async def order(self, kind: str = "count", tenant: str = "acme", key: str = "", **more: Any) -> Job:
        """An order in a transaction of its own. What is no field of the order goes into its spec."""
        fields = {name: more.pop(name) for name in list(more) if name in NewJob.__dataclass_fields__}
        spec = orjson.dumps({"record": str(self.record), "steps": 10, **more})
        new = NewJob(kind, tenant, spec, idempotency_key=key or uuid4().hex, **fields)
        async with self.store.begin() as connection:
            job = await self.jobs.create(connection, new)
        self.jobs.announce()
        return job

    async def until(self, job: Job, *statuses: str, seconds: float = 60) -> Job:
        """The job once it has one of these statuses."""
        found = job

        async def there() -> bool:
            nonlocal found
            found = await self.jobs.get(job.tenant, job.id)
            if found.status.final and found.status not in statuses:
                raise AssertionError(f"{found.status}: {found.reason} {found.message}")
            return found.status in statuses

        await eventually(there, seconds)
        return found

    def lines(self) -> list[tuple[str, int, str, int]]:
        """What jobs wrote down: id, fence, what, step; in the order in which it happened."""
        if not self.record.exists():
            return []
        parts = [line.split() for line in self.record.read_text().splitlines()]
        return [(id, int(fence), what, int(step)) for id, fence, what, step in parts]

    async def close(self) -> None:
        await self.relay.close()
        await self.bus.close()
        await self.objects.close()
        await self.store.close()


def check_record(lines: list[tuple[str, int, str, int]], jobs: Mapping[str, int], every: int) -> int:
    """That each of `jobs` (id → steps) was done once; returns how many steps were repeated in all.

    Nobody works under an older fence than somebody before; an attempt repeats at most one interval between
    checkpoints of what is behind it; every step was done, and the end reached once.
    """
    by_job: dict[str, list[tuple[int, str, int]]] = defaultdict(list)
    for id, fence, what, step in lines:
        by_job[id].append((fence, what, step))
    assert set(by_job) == set(jobs)
    repeated = 0
    for id, facts in by_job.items():
        fences = [fence for fence, _, _ in facts]
        assert fences == sorted(fences), f"{id} was done twice at once"
        furthest = 0
        for _, what, step in facts:
            if what == "begin":
                assert step <= furthest
                assert furthest - step <= every, f"{id} repeats {furthest - step} steps"
                repeated += furthest - step
            elif what == "step":
                assert step <= furthest + 1, f"{id} left steps out"
                furthest = max(furthest, step)
        assert furthest == jobs[id]
    return repeated


async def eventually(check: Callable[[], bool | Awaitable[bool]], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while True:
            answer = check()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.03)


class WorkerProcess:
    """A worker that can be killed."""

    def __init__(
        self, package: Path, store_url: str, bus_url: str, folder: Path, slots: int, traces: str = "off"
    ) -> None:
        script = Path(__file__).with_name("jobs_worker.py")
        places = [script, package, store_url, bus_url, folder]
        command = [sys.executable, "-P", *map(str, places), str(slots), traces]
        environment = {
            name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"
        }
        self.process = subprocess.Popen(
            command,
            env=environment | {"PYTHONPATH": str(TESTS)},
            stderr=(folder / "worker.log").open("ab"),
            stdout=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds: float = 30) -> int:
        """Its exit code after SIGTERM."""
        self.process.terminate()
        return self.process.wait(seconds)


def children(pid: int, named: str = "") -> list[int]:
    """Process ids right below a process; only those with `named` in their command."""
    found: list[int] = []
    with suppress(OSError):  # it may end while it is looked at, and so may they
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return [child for child in found if named in _command(child)]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Whether it runs; one that nobody has waited for does not."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]
    except FileNotFoundError:
        return False
