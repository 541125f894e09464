"""Texts of many callers in two lines, taken in batches.

A question waits for its vector while somebody reads; a library that is being indexed does not. Callers with
few texts stand in a line of their own that goes first, and a batch is never so long that they notice it.
"""

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
    sizes: list[int]
    """Tokens a text."""
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


FEW = 4
"""Texts of a caller who goes first."""
_IN_A_ROW = 8
"""Batches of the few after which the many have one: nobody waits for ever."""


class BatchQueue:
    """Holds up to `max_waiting` texts; gives them out in batches, in each line first come first served."""

    def __init__(self, max_batch: int, max_tokens: int, max_waiting: int) -> None:
        """A batch has at most `max_batch` texts, and `max_tokens` with padding unless it is one text."""
        self._max_batch = max_batch
        self._max_tokens = max_tokens
        self._max_waiting = max_waiting
        self._few: deque[tuple[Job, int]] = deque()
        self._many: deque[tuple[Job, int]] = deque()
        self._in_a_row = 0
        self._number = 0
        self._per_text = 0.02  # seconds, measured as batches come back
        self.current: Batch | None = None

    @property
    def waiting(self) -> int:
        """Texts in line."""
        return len(self._few) + len(self._many)

    def put(self, texts: list[str], sizes: list[int]) -> Job:
        """Queue a caller's texts of `sizes` tokens, all or none. Raises SixfoldError(QUEUE_FULL)."""
        if self.waiting and self.waiting + len(texts) > self._max_waiting:
            raise SixfoldError(
                Reason.QUEUE_FULL,
                "The embedding queue is full.",
                retry_after=max(0.05, self.waiting * self._per_text),
                metadata={"waiting": str(self.waiting)},
            )
        job = Job(texts, sizes, asyncio.get_running_loop().create_future())
        line = self._few if len(texts) <= FEW else self._many
        line.extend((job, index) for index in range(len(texts)))
        return job

    def withdraw(self, job: Job) -> None:
        """The caller has left: do not embed what is still in line."""
        self._few = deque(entry for entry in self._few if entry[0] is not job)
        self._many = deque(entry for entry in self._many if entry[0] is not job)

    def next(self) -> Batch | None:
        """The next batch, unless one is out or nothing waits."""
        if self.current is not None or not self.waiting:
            return None
        turn_of_many = self._many and (not self._few or self._in_a_row >= _IN_A_ROW)
        self._in_a_row = 0 if turn_of_many else self._in_a_row + 1
        owners = self._take(self._many if turn_of_many else self._few)
        self._number += 1
        self.current = Batch(self._number, owners, time.monotonic())
        return self.current

    def _take(self, line: deque[tuple[Job, int]]) -> list[tuple[Job, int]]:
        """From the front of a line, as much as one batch may hold."""
        owners: list[tuple[Job, int]] = []
        longest = 0
        while line and len(owners) < self._max_batch:
            job, index = line[0]
            longest = max(longest, job.sizes[index])  # shorter ones are padded to it
            if owners and longest * (len(owners) + 1) > self._max_tokens:
                break
            owners.append(line.popleft())
        return owners

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
        entries = [*(self.current.owners if self.current else ()), *self._few, *self._many]
        self.current = None
        self._few.clear()
        self._many.clear()
        for job, _ in entries:
            if not job.result.done():
                job.result.set_exception(error)
