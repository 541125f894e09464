"""Workers: each takes a file, runs it, and records how it ended. The records are the queue.

Tenants take turns, then a tenant's stores, then the smallest file of the store: a batch of one tenant keeps
no other waiting. One worker never takes a large file, so that there is always one for small ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from retrieval_service.documents.errors import DocumentError, FileFault, FileReason
from retrieval_service.ingest.observe import document_span
from retrieval_service.ingest.outages import is_outage
from retrieval_service.ingest.pipeline import CalledOff, Pipeline
from retrieval_service.stores.records import Queue, Records, Upkeep
from retrieval_service.stores.types import Attachment
from servicekit.errors import Reason, SixfoldError
from servicekit.logs import get_logger

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WorkLimits:
    """Seconds and numbers."""

    workers: int = 2
    large_bytes: int = 8 << 20
    """From here a file counts as large."""
    max_attempts: int = 5
    """Tries that end in something unforeseen, the death of the process among them."""
    first_wait: float = 1.0
    """After a failed try; doubles with each further one."""
    longest_wait: float = 15.0
    poll: float = 2.0
    """Between two looks for files whose wait is over."""
    file_seconds: float = 1800.0
    """For one file, all steps of one try."""


@dataclass(frozen=True, slots=True)
class Observer:
    """Whom workers tell. All of it is for metrics."""

    ended: Callable[[str, str, float, int], None] = lambda outcome, reason, seconds, size: None
    """Outcome, reason, seconds, bytes."""
    postponed: Callable[[str], None] = lambda cause: None
    running: Callable[[int], None] = lambda change: None


class Workers:
    """Started once; `wake` when a file may be indexed."""

    def __init__(
        self,
        records: Records,
        upkeep: Upkeep,
        pipeline: Pipeline,
        limits: WorkLimits,
        *,
        observer: Observer = Observer(),
    ) -> None:
        self._records = records
        self._upkeep = upkeep
        self._pipeline = pipeline
        self._limits = limits
        self._observer = observer
        self._claimed: set[str] = set()
        self._turns: dict[str, int] = {}
        """Number of the last turn of each tenant and each store."""
        self._turn = 0
        self._picking = asyncio.Lock()
        self._woken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins to work, in tasks of the running loop."""
        for number in range(self._limits.workers):
            small = number == 0 and self._limits.workers > 1
            self._tasks.append(asyncio.create_task(self._work(small), name=f"ingest {number}"))

    def wake(self) -> None:
        """There is something to do."""
        self._woken.set()

    async def close(self) -> None:
        """Stops at once; what was begun is begun again at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _work(self, only_small: bool) -> None:
        troubles = 0
        while True:
            try:
                attachment = await self._pick(only_small)
                if attachment is None:
                    await self._rest()
                    continue
                try:
                    passed = await self._run(attachment)
                finally:
                    self._claimed.discard(attachment.id)
                troubles = 0 if passed else troubles + 1
            except Exception as error:  # the records are away
                troubles += 1
                if troubles == 1:
                    known = isinstance(error, SixfoldError)
                    _log.warning("indexing cannot go on, and tries again", exc_info=None if known else error)
            if troubles:
                await asyncio.sleep(self._wait(troubles))

    async def _rest(self) -> None:
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.poll):
                await self._woken.wait()

    async def _pick(self, only_small: bool) -> Attachment | None:
        """The next file, claimed; None when there is none for this worker."""
        most = self._limits.large_bytes if only_small else None
        async with self._picking:
            for queue in self._in_turn(await self._upkeep.queues()):
                found = await self._records.next_waiting(
                    queue.tenant, queue.store_id, skip=list(self._claimed), max_bytes=most
                )
                if found is not None:
                    self._turn += 1
                    self._turns[queue.tenant] = self._turns[queue.store_id] = self._turn
                    self._claimed.add(found.id)
                    return found
        return None

    def _in_turn(self, queues: Sequence[Queue]) -> list[Queue]:
        """Whose last turn is longest ago comes first."""
        present = {queue.tenant for queue in queues} | {queue.store_id for queue in queues}
        self._turns = {name: turn for name, turn in self._turns.items() if name in present}
        return sorted(
            queues, key=lambda queue: (self._turns.get(queue.tenant, 0), self._turns.get(queue.store_id, 0))
        )

    async def _run(self, waiting: Attachment) -> bool:
        """One try. False when something that all files need is away."""
        attachment = await self._records.begin(waiting.tenant, waiting.store_id, waiting.id)
        if attachment is None:
            return True
        began = time.monotonic()
        self._observer.running(1)
        try:
            with document_span(
                attachment.traceparent, attempt=attachment.attempts, size=attachment.file.bytes
            ):
                return await self._try(attachment, began)
        except asyncio.CancelledError:
            # The service stops: that is not the file's fault.
            with contextlib.suppress(Exception):
                await self._records.postpone(
                    attachment.tenant, attachment.store_id, attachment.id, seconds=0, counted=False
                )
            raise
        finally:
            self._observer.running(-1)

    async def _try(self, attachment: Attachment, began: float) -> bool:
        if attachment.attempts > self._limits.max_attempts:
            # It was counted before each try: the process must have died with it, again and again.
            return await self._give_up(attachment, began)
        try:
            async with asyncio.timeout(self._limits.file_seconds) as timer:
                done = await self._pipeline.run(attachment)
        except CalledOff:
            self._ended("gone", "", attachment, began)
        except DocumentError as error:
            await self._fail(attachment, error.fault, began)
        except SixfoldError as error:
            if error.reason is Reason.NOT_FOUND:  # the store was deleted
                self._ended("gone", "", attachment, began)
                return True
            if is_outage(error):
                return await self._outage(attachment, error)
            return await self._unforeseen(attachment, error, began)
        except Exception as error:
            if is_outage(error) and not timer.expired():
                return await self._outage(attachment, error)
            return await self._unforeseen(attachment, error, began)
        else:
            self._ended("duplicate" if done.outcome.duplicate_of else "completed", "", attachment, began)
        return True

    async def _outage(self, attachment: Attachment, error: BaseException) -> bool:
        reason = error.reason.value if isinstance(error, SixfoldError) else type(error).__name__
        _log.warning("a file waits for what it needs", attachment=attachment.id, reason=reason)
        return await self._postpone(attachment, counted=False, cause="outage")

    async def _unforeseen(self, attachment: Attachment, error: BaseException, began: float) -> bool:
        _log.error("indexing failed", attachment=attachment.id, attempt=attachment.attempts, exc_info=error)
        if attachment.attempts >= self._limits.max_attempts:
            return await self._give_up(attachment, began)
        await self._postpone(attachment, counted=True, cause="unforeseen")
        return True

    async def _postpone(self, attachment: Attachment, *, counted: bool, cause: str) -> bool:
        self._observer.postponed(cause)
        await self._records.postpone(
            attachment.tenant,
            attachment.store_id,
            attachment.id,
            seconds=self._wait(attachment.attempts),
            counted=counted,
        )
        return False

    async def _give_up(self, attachment: Attachment, began: float) -> bool:
        fault = FileFault(FileReason.GAVE_UP, "Indexing failed as often as it is tried.")
        await self._fail(attachment, fault, began, dead=True)
        return True

    async def _fail(
        self, attachment: Attachment, fault: FileFault, began: float, *, dead: bool = False
    ) -> None:
        failed = await self._records.fail(
            attachment.tenant,
            attachment.store_id,
            attachment.id,
            fault,
            seconds=time.monotonic() - began,
            dead=dead,
        )
        _log.info("a file was refused", attachment=attachment.id, reason=fault.reason.value)
        self._ended("failed" if failed else "gone", fault.reason.value if failed else "", attachment, began)

    def _ended(self, outcome: str, reason: str, attachment: Attachment, began: float) -> None:
        self._observer.ended(outcome, reason, time.monotonic() - began, attachment.file.bytes)

    def _wait(self, tries: int) -> float:
        """Seconds; spread a little, so that files do not come back all at once."""
        whole = min(self._limits.longest_wait, self._limits.first_wait * 2 ** min(tries - 1, 16))
        return float(whole * random.uniform(0.75, 1.0))  # noqa: S311  spread, not secret
