"""Hands records to a handler: many subjects at once, each in its order, every one to its end."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal, NamedTuple

import structlog

from servicekit.bus import metrics, spans
from servicekit.bus.base import Delivery, Event, Handler, Poison
from servicekit.bus.wire import Cause, Partition, Record, to_event
from servicekit.errors import Reason, SixfoldError
from servicekit.logs import get_logger

_UNWILLING_SECONDS = 5.0
"""How long a handler that was cancelled may go on before it is left alone."""

_log = get_logger("servicekit.bus")


class _Lane(NamedTuple):
    """Records of one lane are handled one after the other."""

    partition: Partition
    key: bytes


class Track:
    """Which offsets of a partition are done. The one to go on from is below everything unfinished."""

    def __init__(self) -> None:
        self._open: dict[int, None] = {}
        self._next = 0

    def add(self, offset: int) -> None:
        """Offsets come in rising order."""
        self._open[offset] = None
        self._next = offset + 1

    def finish(self, offset: int) -> int | None:
        """The offset to go on from, if this moved it."""
        first = next(iter(self._open)) == offset
        del self._open[offset]
        if not first:
            return None
        return next(iter(self._open)) if self._open else self._next


class _Failure(NamedTuple):
    """What went wrong in one call of a handler."""

    reason: str
    kind: Literal["failure", "outage", "poison"]
    retry_after: float | None = None


@dataclass
class _Work:
    """One lane's records, and the task that handles them."""

    queue: deque[Record] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None
    in_handler: bool = False
    stopping: bool = False


class Dispatcher:
    """Belongs to one subscription. `offer`, `take_commits`, `paused` and `pending` are for its reading

    thread; the rest happens in the loop. `bury` puts a record among the dead; `progressed` is called
    whenever something ended.
    """

    def __init__(
        self,
        group: str,
        handler: Handler,
        delivery: Delivery,
        bury: Callable[[Record, Cause], Awaitable[None]],
        progressed: Callable[[], None],
    ) -> None:
        self._group = group
        self._handler = handler
        self._delivery = delivery
        self._bury = bury
        self._progressed = progressed
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(delivery.concurrency)
        self._work: dict[_Lane, _Work] = {}
        self._tracks: dict[Partition, Track] = {}
        self._held: set[Partition] = set()
        self._lock = Lock()
        self._counts: Counter[Partition] = Counter()
        self._commits: dict[Partition, int] = {}

    # For the reading thread.

    @property
    def pending(self) -> int:
        """Records that were offered and have not ended."""
        with self._lock:
            return self._counts.total()

    def paused(self, held: int) -> tuple[set[Partition], int]:
        """Partitions that have enough in memory, and how many records of each other one may come.

        Every partition has its share, so that one whose subject is stuck leaves room for the others.
        """
        share = max(1, self._delivery.pending // max(1, held))
        half = max(1, share // 2)
        with self._lock:
            full = {partition for partition, count in self._counts.items() if count + half > share}
        return full, half

    def offer(self, records: Sequence[Record]) -> None:
        """Takes the records over."""
        with self._lock:
            self._counts.update(record.partition for record in records)
        self._loop.call_soon_threadsafe(self._take, records)

    def take_commits(self) -> dict[Partition, int]:
        """Offsets to keep that were not taken before."""
        with self._lock:
            taken, self._commits = self._commits, {}
            return taken

    def put_back(self, offsets: Mapping[Partition, int]) -> None:
        """They could not be kept now. Newer ones win; of what was let go of, others keep the offsets."""
        with self._lock:
            held = {partition: offset for partition, offset in offsets.items() if partition in self._held}
            self._commits = {**held, **self._commits}

    # In the loop.

    def take_up(self, partitions: Collection[Partition]) -> None:
        """From now on records of these partitions are handled."""
        self._held.update(partitions)

    async def let_go(self, partitions: Collection[Partition] | None = None) -> Mapping[Partition, int]:
        """Ends the work on these partitions, or all; what waits is dropped. Says which offsets to keep."""
        gone = set(self._held) if partitions is None else set(partitions)
        self._held -= gone  # what is on its way here comes too late
        works = [work for lane, work in self._work.items() if lane.partition in gone]
        for work in works:
            work.stopping = True
            if not work.in_handler and work.task is not None:
                work.task.cancel()
        await self._end([work.task for work in works if work.task is not None])
        with self._lock:
            kept = {partition: self._commits.pop(partition) for partition in gone & set(self._commits)}
            for partition in gone:
                self._tracks.pop(partition, None)
                self._counts.pop(partition, None)
        for lane in [lane for lane in self._work if lane.partition in gone]:
            del self._work[lane]
        return kept

    async def _end(self, tasks: Collection[asyncio.Task[None]]) -> None:
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self._delivery.stop_seconds)
        for task in late:
            task.cancel()
        if late:
            _, unwilling = await asyncio.wait(late, timeout=_UNWILLING_SECONDS)
            if unwilling:
                _log.error("handlers do not end", group=self._group, handlers=len(unwilling))

    def _take(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.partition not in self._held:
                with self._lock:
                    self._counts[record.partition] -= 1
                continue
            self._tracks.setdefault(record.partition, Track()).add(record.offset)
            lane = _Lane(record.partition, record.key)
            work = self._work.get(lane)
            if work is None:
                work = self._work[lane] = _Work()
                work.task = self._loop.create_task(self._run(lane, work), name=f"bus-{self._group}")
            work.queue.append(record)

    async def _run(self, lane: _Lane, work: _Work) -> None:
        track = self._tracks[lane.partition]
        while work.queue:
            record = work.queue[0]
            if not await self._to_its_end(record, work):
                return
            work.queue.popleft()
            self._finish(record, track)
            if work.stopping:
                return
        del self._work[lane]

    def _finish(self, record: Record, track: Track) -> None:
        partition = record.partition
        if self._tracks.get(partition) is not track:
            return  # it was let go of, and this handler did not want to end
        moved = track.finish(record.offset)
        with self._lock:
            self._counts[partition] -= 1
            if moved is not None:
                self._commits[partition] = moved
        self._progressed()

    async def _to_its_end(self, record: Record, work: _Work) -> bool:
        """Whether the record is done with: handled, or buried. Otherwise the lane was told to stop."""
        topic = record.partition.topic
        try:
            event = to_event(record)
        except Poison as poison:
            return await self._lay_to_rest(record, poison.reason, 0, work)
        attempts, calls = 0, 0
        out_since: float | None = None
        while True:
            calls += 1
            failure = await self._call(record, event, calls, work)
            if failure is None:
                metrics.CONSUMED.labels(topic, self._group).inc()
                return True
            if work.stopping:
                return False
            if failure.kind == "outage":
                out_since = out_since or time.monotonic()
                longest = self._delivery.outage_seconds
                over = longest is not None and time.monotonic() - out_since > longest
            else:
                attempts, out_since = attempts + 1, None
                over = failure.kind == "poison" or attempts >= self._delivery.tries
            if over:
                return await self._lay_to_rest(record, failure.reason, calls, work)
            metrics.RETRIES.labels(topic, self._group, failure.kind).inc()
            await self._wait(calls, failure.retry_after)

    async def _call(self, record: Record, event: Event, call: int, work: _Work) -> _Failure | None:
        """One call of the handler. What went wrong, if anything."""
        async with self._slots:
            work.in_handler = True
            started = time.perf_counter()
            try:
                with (
                    structlog.contextvars.bound_contextvars(tenant=event.tenant, event_id=event.id),
                    spans.consumer_span(record, event, self._group, call) as span,
                ):
                    failure = await self._guarded(event)
                    if span is not None and failure is not None:
                        spans.fail(span, failure.reason)
                    return failure
            finally:
                work.in_handler = False
                took = time.perf_counter() - started
                metrics.HANDLER_DURATION.labels(record.partition.topic, self._group).observe(took)

    async def _guarded(self, event: Event) -> _Failure | None:
        facts = {"group": self._group, "type": event.type}
        try:
            async with asyncio.timeout(self._delivery.handler_seconds) as limit:
                await self._handler(event)
        except Poison as poison:
            return _Failure(poison.reason, "poison")
        except SixfoldError as error:
            passes = error.status.retryable and error.reason is not Reason.INTERNAL
            _log.info("handler failed", **facts, reason=error.reason.value)
            return _Failure(error.reason.value, "outage" if passes else "failure", error.retry_after)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return _Failure(Reason.CANCELLED.value, "failure")  # something within it was
        except Exception as error:
            if isinstance(error, TimeoutError) and limit.expired():
                _log.warning("handler took too long", **facts)
                return _Failure(Reason.DEADLINE_EXCEEDED.value, "failure")
            _log.warning("handler failed", **facts, exc_info=error)
            return _Failure(Reason.INTERNAL.value, "failure")
        return None

    async def _lay_to_rest(self, record: Record, reason: str, attempts: int, work: _Work) -> bool:
        """Among the dead letters, however long the log is away."""
        tries = 0
        while not work.stopping:
            try:
                await self._bury(record, Cause(reason, attempts, self._group))
            except SixfoldError:
                tries += 1
                await self._wait(tries, None)
                continue
            topic = record.partition.topic
            metrics.DEAD_LETTERS.labels(topic, self._group).inc()
            _log.error(
                "event is dead",
                topic=topic,
                group=self._group,
                partition=record.partition.number,
                offset=record.offset,
                reason=reason,
                attempts=attempts,
            )
            return True
        return False

    async def _wait(self, calls: int, asked: float | None) -> None:
        wait = min(self._delivery.longest_wait, self._delivery.first_wait * 2 ** min(calls - 1, 20))
        wait = max(wait, min(asked or 0.0, self._delivery.longest_wait))
        await asyncio.sleep(wait * random.uniform(0.75, 1.0))  # noqa: S311  spread, not secret
