"""Claims jobs and has them done, as many at once as it has slots."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Mapping
from uuid import uuid4

from servicekit.bus.base import Bus, Event, Subscription
from servicekit.bus.topics import JOBS as TOPIC
from servicekit.errors import SixfoldError
from servicekit.jobs import metrics
from servicekit.jobs.attempt import Attempt, Ended, HostCall, WorkLimits
from servicekit.jobs.jobs import Jobs
from servicekit.jobs.launchers import Launcher
from servicekit.jobs.types import Status
from servicekit.logs import get_logger
from servicekit.objects import Objects
from sixfold.events.v1 import job_pb2

__all__ = ["Ended", "HostCall", "WorkLimits", "Worker"]

_COUNT_SECONDS = 5.0
_log = get_logger("servicekit.jobs")


class Worker:
    """One a process; any number on one database.

    `handlers` gives each kind the function that does it, as `"package.module:function"`. `group` names the
    service's workers to the bus. `calls` are what a job's process may ask the service for by name. An event
    that says "job.created" only wakes the worker: what counts is the row, which a sweep finds as well.
    `telemetry_url` is where the processes' spans go. `ended` hears how attempts ended, for figures.
    """

    def __init__(
        self,
        jobs: Jobs,
        bus: Bus,
        objects: Objects,
        launcher: Launcher,
        handlers: Mapping[str, str],
        *,
        group: str,
        limits: WorkLimits = WorkLimits(),  # noqa: B008  frozen
        calls: Mapping[str, HostCall] | None = None,
        telemetry_url: str = "off",
        ended: Ended = lambda claim, outcome: None,
    ) -> None:
        self._jobs = jobs
        self._bus = bus
        self._objects = objects
        self._launcher = launcher
        self._handlers = dict(handlers)
        self._group = group
        self._limits = limits
        self._calls = dict(calls or {})
        self._telemetry_url = telemetry_url
        self._told = ended
        self._name = f"{os.uname().nodename}-{os.getpid()}-{uuid4().hex[:8]}"
        self._woken = asyncio.Event()
        self._draining = False
        self._running: dict[asyncio.Task[None], Attempt] = {}
        self._task: asyncio.Task[None] | None = None
        self._subscription: Subscription | None = None
        self._count_at = float("-inf")

    @property
    def running(self) -> int:
        """Jobs that run in this process."""
        return len(self._running)

    def start(self) -> None:
        """Begins to work, in tasks of the running loop."""
        if self._task is None:
            self._subscription = self._bus.subscribe([TOPIC], self._group, self._hear)
            self._task = asyncio.get_running_loop().create_task(self._run(), name="job-worker")

    def wake(self) -> None:
        """There may be something to claim."""
        self._woken.set()

    async def close(self) -> None:
        """Claims nothing more, has running jobs make a checkpoint and gives them back. Twice is fine."""
        self._draining = True
        self._woken.set()
        if self._subscription is not None:
            await self._subscription.close()
            self._subscription = None
        if self._task is not None:
            await asyncio.wait([self._task])
            self._task = None
        for attempt in self._running.values():
            attempt.release()
        if self._running:
            patience = self._limits.stop_seconds + self._limits.lease_seconds
            _, left = await asyncio.wait(list(self._running), timeout=patience)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)
        await self._launcher.close()

    async def _hear(self, event: Event) -> None:
        """Notes the event and returns at once: its offset is not held while the job waits or runs."""
        if event.type == "job.created":
            created = event.parse(job_pb2.JobCreated)
            if created.kind in self._handlers and await self._jobs.hear(self._group, event.id):
                self._woken.set()
        elif event.type == "job.changed" and event.parse(job_pb2.JobChanged).status == Status.QUEUED.value:
            self._woken.set()

    async def _run(self) -> None:
        failed = 0
        while not self._draining:
            self._woken.clear()
            try:
                await self._jobs.recover(self._handlers)
                while not self._draining and len(self._running) < self._limits.slots and await self._claim():
                    pass
                await self._measure()
                failed = 0
            except Exception as error:  # whatever it is, jobs must not wait for ever
                failed += 1
                if failed == 1:
                    known = isinstance(error, SixfoldError)
                    _log.warning("jobs cannot be claimed, trying on", exc_info=None if known else error)
            if failed and not self._draining:
                await asyncio.sleep(min(5.0, 0.1 * 2 ** min(failed, 10)))
                continue
            # Not all at the same moment: sweeps of several workers spread by themselves.
            pause = self._limits.sweep_seconds * random.uniform(0.75, 1.25)  # noqa: S311
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    async def _claim(self) -> bool:
        limits = self._limits
        claim = await self._jobs.claim(
            self._name, self._handlers, limits.lease_seconds, tenant_slots=limits.tenant_slots
        )
        if claim is None:
            return False
        attempt = Attempt(
            self._jobs,
            claim,
            self._launcher,
            self._objects,
            self._handlers[claim.kind],
            limits,
            self._calls,
            self._telemetry_url,
            self._told,
        )
        task = asyncio.create_task(attempt.run(), name=f"job {claim.id}")
        self._running[task] = attempt
        task.add_done_callback(self._ended)
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("an attempt failed inside", exc_info=error)
        self._woken.set()

    async def _measure(self) -> None:
        if time.monotonic() - self._count_at < _COUNT_SECONDS:
            return
        self._count_at = time.monotonic()
        counts = await self._jobs.count(self._handlers)
        for kind in self._handlers:
            for status in (Status.QUEUED, Status.RUNNING, Status.PAUSED):
                metrics.BY_STATUS.labels(kind, status.value).set(counts.get((kind, status.value), 0))
