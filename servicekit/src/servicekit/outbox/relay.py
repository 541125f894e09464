"""Carries events from the outbox to the bus: in order, one relay at a time, deleted once acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import Row, delete, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from servicekit.bus.base import Bus, Event
from servicekit.errors import SixfoldError
from servicekit.logs import get_logger
from servicekit.outbox import inbox, metrics
from servicekit.outbox.tables import LEASE, OUTBOX
from servicekit.store import Store

_COUNT_SECONDS = 5.0
_TRIM_SECONDS = 3600.0
_log = get_logger("servicekit.outbox")


class Relay:
    """Start one in every process that has the store; the lease row decides which of them works.

    `poll_seconds` passes at most until an event of another process is seen; `wake` saves the wait for
    this one's. The lease is `lease_seconds` long, and so is the pause after the working process is
    killed. Seen events are forgotten after `inbox_days`: more than any bus keeps for a replay.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        *,
        batch: int = 100,
        poll_seconds: float = 0.5,
        lease_seconds: float = 10,
        longest_wait: float = 5,
        inbox_days: float = 30,
    ) -> None:
        self._store = store
        self._bus = bus
        self._batch = batch
        self._poll_seconds = poll_seconds
        self._lease_seconds = lease_seconds
        self._longest_wait = longest_wait
        self._inbox_seconds = inbox_days * 86400
        self._owner = uuid4().hex
        self._lease_until = float("-inf")  # on the monotonic clock, earlier than the row says
        self._woken = asyncio.Event()
        self._closing = False
        self._count_at = float("-inf")
        self._trim_at = time.monotonic() + random.uniform(60, _TRIM_SECONDS)  # noqa: S311  spread, not secret
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to work, in a task of the running loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="outbox-relay")

    def wake(self) -> None:
        """Call it after a transaction that added events: they are published at once."""
        self._woken.set()

    async def close(self) -> None:
        """Ends after the batch in hand, and lets another process go on. Calling it twice is fine."""
        self._closing = True
        self._woken.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=self._lease_seconds)
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self) -> None:
        failed = 0
        try:
            while not self._closing:
                self._woken.clear()
                try:
                    more = await self._step()
                    failed = 0
                except Exception as error:  # whatever it is, events must not stay behind for ever
                    more, failed = False, failed + 1
                    metrics.FAILURES.inc()
                    if failed == 1:
                        known = isinstance(error, SixfoldError)
                        _log.warning("relay fails, and goes on trying", exc_info=None if known else error)
                if not more:
                    await self._rest(failed)
        finally:
            with contextlib.suppress(Exception):  # it runs out by itself
                await self._release()

    async def _rest(self, failed: int) -> None:
        if failed and not self._closing:
            # Not cut short by new events: what keeps the first from going keeps them too.
            await asyncio.sleep(min(self._longest_wait, 0.1 * 2 ** min(failed, 10)))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._poll_seconds):
                await self._woken.wait()

    async def _step(self) -> bool:
        """Moves one batch. True when there may be more at once."""
        await self._trim_inbox()
        async with self._store.read() as connection:
            first = (await connection.execute(select(func.min(OUTBOX.c.id)))).scalar_one_or_none()
            await self._measure(connection, empty=first is None)
        if first is None or not await self._lead():
            return False
        async with self._store.read() as connection:
            oldest = select(OUTBOX).order_by(OUTBOX.c.id).limit(self._batch)
            rows = (await connection.execute(oldest)).all()
        by_topic: dict[str, list[Row[tuple[object, ...]]]] = {}
        for row in rows:
            by_topic.setdefault(row.topic, []).append(row)
        for topic, some in by_topic.items():
            await self._publish(topic, some)
        return len(rows) == self._batch

    async def _publish(self, topic: str, rows: Sequence[Row[tuple[object, ...]]]) -> None:
        # The lease outlasts the publishing: nobody else carries the same events meanwhile.
        if not await self._lead():
            return
        await self._bus.publish(topic, [_event(row) for row in rows], timeout=self._lease_seconds / 3)
        async with self._store.begin() as connection:
            await connection.execute(delete(OUTBOX).where(OUTBOX.c.id.in_([row.id for row in rows])))
        metrics.RELAYED.labels(topic).inc(len(rows))

    async def _lead(self) -> bool:
        """Whether this relay has the lease for at least half its length; takes or renews it if need be."""
        asked = time.monotonic()
        if self._lease_until - asked > self._lease_seconds / 2:
            return True
        async with self._store.begin() as connection:
            now = await _now(connection)
            taken = await connection.execute(
                update(LEASE)
                .where(
                    LEASE.c.id == 1,
                    or_(
                        LEASE.c.owner == self._owner,
                        LEASE.c.expires_at < now,
                        # A clock that was set back must not leave a lease for ever.
                        LEASE.c.expires_at > now + 10 * self._lease_seconds,
                    ),
                )
                .values(owner=self._owner, expires_at=now + self._lease_seconds)
            )
        mine = taken.rowcount == 1
        self._lease_until = asked + self._lease_seconds if mine else float("-inf")
        return mine

    async def _release(self) -> None:
        if self._lease_until == float("-inf"):
            return
        async with self._store.begin() as connection:
            await connection.execute(
                update(LEASE).where(LEASE.c.owner == self._owner).values(owner="", expires_at=0.0)
            )

    async def _measure(self, connection: AsyncConnection, *, empty: bool) -> None:
        now = time.monotonic()
        if empty:
            metrics.WAITING.set(0)
            metrics.OLDEST.set(0)
        elif now - self._count_at > _COUNT_SECONDS:
            self._count_at = now
            facts = select(func.count(), func.min(OUTBOX.c.time)).select_from(OUTBOX)
            count, oldest = (await connection.execute(facts)).one()
            metrics.WAITING.set(count)
            metrics.OLDEST.set(max(0.0, time.time() - (oldest or time.time())))

    async def _trim_inbox(self) -> None:
        if time.monotonic() > self._trim_at:
            self._trim_at = time.monotonic() + _TRIM_SECONDS
            await inbox.trim(self._store, self._inbox_seconds)


async def _now(connection: AsyncConnection) -> float:
    """The clock that all relays of this database share, in seconds since 1970."""
    if connection.dialect.name == "postgresql":
        return float(
            (await connection.execute(text("SELECT extract(epoch FROM clock_timestamp())"))).scalar_one()
        )
    return time.time()


def _event(row: Row[tuple[object, ...]]) -> Event:
    return Event(
        id=row.event_id,
        source=row.source,
        type=row.type,
        subject=row.subject,
        time=datetime.fromtimestamp(row.time, UTC),
        tenant=row.tenant,
        traceparent=row.traceparent,
        data=bytes(row.data),
    )
