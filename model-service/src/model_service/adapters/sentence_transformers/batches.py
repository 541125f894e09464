"""Texts of many callers in one queue, taken in batches."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from servicekit.errors import Reason, SixfoldError


@dataclass(slots=True, eq=False)
class Job:
    """One caller's texts. `result` is done when `rows` is full."""

    texts: list[str]
    result: asyncio.Future[None]
    rows: dict[int, npt.NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts that are embedded together, and whose they are: (job, index within it)."""

    number: int
    owners: list[tuple[Job, int]]
    since: float

    @property
    def texts(self) -> list[str]:
        """The texts."""
        return [job.texts[index] for job, index in self.owners]


class BatchQueue:
    """Holds up to `max_waiting` texts; gives them out `max_batch` at a time, first come first served."""

    def __init__(self, max_batch: int, max_waiting: int) -> None:
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[Job, int]] = deque()
        self._number = 0
        self._per_text = 0.02  # seconds, measured as batches come back
        self.current: Batch | None = None

    @property
    def waiting(self) -> int:
        """Texts in line."""
        return len(self._waiting)

    def put(self, texts: list[str]) -> Job:
        """Queue a caller's texts, all or none. Raises SixfoldError(QUEUE_FULL)."""
        if self._waiting and len(self._waiting) + len(texts) > self._max_waiting:
            raise SixfoldError(
                Reason.QUEUE_FULL,
                "The embedding queue is full.",
                retry_after=max(0.05, len(self._waiting) * self._per_text),
                metadata={"waiting": str(len(self._waiting))},
            )
        job = Job(texts, asyncio.get_running_loop().create_future())
        self._waiting.extend((job, index) for index in range(len(texts)))
        return job

    def withdraw(self, job: Job) -> None:
        """The caller has left: do not embed what is still in line."""
        self._waiting = deque(entry for entry in self._waiting if entry[0] is not job)

    def next(self) -> Batch | None:
        """The next batch, unless one is out or nothing waits."""
        if self.current is not None or not self._waiting:
            return None
        self._number += 1
        count = min(self._max_batch, len(self._waiting))
        owners = [self._waiting.popleft() for _ in range(count)]
        self.current = Batch(self._number, owners, time.monotonic())
        return self.current

    def done(self, number: int, vectors: Sequence[npt.NDArray[np.float32]]) -> None:
        """Give every caller its vectors."""
        batch = self.current
        if batch is None or batch.number != number:
            return
        self.current = None
        took = (time.monotonic() - batch.since) / len(batch.owners)
        self._per_text += 0.2 * (took - self._per_text)
        for (job, index), vector in zip(batch.owners, vectors, strict=True):
            job.rows[index] = vector
            if len(job.rows) == len(job.texts) and not job.result.done():
                job.result.set_result(None)

    def fail_all(self, error: SixfoldError) -> None:
        """Nobody gets an answer."""
        entries = [*(self.current.owners if self.current else ()), *self._waiting]
        self.current = None
        self._waiting.clear()
        for job, _ in entries:
            if not job.result.done():
                job.result.set_exception(error)
