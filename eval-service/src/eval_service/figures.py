"""What the instruments are told of releases and of finished jobs."""

from __future__ import annotations

import asyncio
import contextlib

import orjson

from eval_service import metrics
from eval_service.adapters.records.releases import ReleaseRecords
from eval_service.release.states import Release, State
from servicekit.errors import SixfoldError
from servicekit.jobs import Claim, Done, Outcome

_ACTIVE = tuple(state for state in State if state.active)


def stepped(before: Release | None, after: Release) -> None:
    """A release has moved."""
    was = before.state if before is not None else None
    if was is after.state and before is not None and before.share == after.share:
        return
    metrics.RELEASES.labels(after.state.value).inc()
    # Taken back before the gate has looked at it is no decision of the gate.
    if was is State.EVALUATING and after.state is not State.ROLLED_BACK:
        metrics.GATE.labels("refused" if after.state is State.REFUSED else "passed").inc()


def ended(claim: Claim, outcome: Outcome) -> None:
    """A job has come to an end."""
    if not isinstance(outcome, Done):
        return
    counts = orjson.loads(outcome.result).get("counts") or {}
    if claim.kind == "evaluation":
        for name in ("passed", "failed", "errored"):
            metrics.ITEMS.labels(name).inc(counts.get(name, 0))
    elif claim.kind == "batch":
        for name in ("completed", "failed"):
            metrics.BATCHED.labels(name).inc(counts.get(name, 0))


class Counting:
    """Looks every few seconds at what is under way."""

    def __init__(self, records: ReleaseRecords, *, seconds: float = 5.0) -> None:
        self._records = records
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="release-figures")

    async def close(self) -> None:
        """Twice is fine."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def count(self) -> None:
        """Once."""
        found = await self._records.under_way()
        for state in _ACTIVE:
            metrics.RELEASES_OPEN.labels(state.value).set(found.states.get(state, 0))
        metrics.CANARIES.clear()
        for share, number in found.shares.items():
            metrics.CANARIES.labels(f"{share:g}").set(number)

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(SixfoldError):  # figures wait until the records answer again
                await self.count()
            await asyncio.sleep(self._seconds)
