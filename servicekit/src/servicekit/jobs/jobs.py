"""Ordering jobs, asking about them, steering them; and for workers, claiming and writing under a fence."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence

import orjson
from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from servicekit import outbox, telemetry
from servicekit.bus.base import Event
from servicekit.bus.topics import JOBS as TOPIC
from servicekit.errors import Reason, SixfoldError
from servicekit.jobs import metrics, rows
from servicekit.jobs.claims import Claims
from servicekit.jobs.tables import CHECKPOINTS, EVENTS, JOBS
from servicekit.jobs.types import (
    MAX_SPEC_BYTES,
    Checkpoint,
    Claim,
    Job,
    JobEvent,
    NewJob,
    Note,
    Outcome,
    Status,
    Steer,
)
from servicekit.store import Store
from sixfold.events.v1 import job_pb2

_PRIORITIES = range(-10, 11)
_METADATA = 16
_OPEN = (Status.QUEUED, Status.RUNNING, Status.PAUSED)


class Jobs:
    """The jobs of one service, in its store.

    `source` is the service's name. `prefixes` gives each kind its ids' beginning ("ftjob-").
    `wake` is called after each transaction that added events: the outbox relay's `wake`. A tenant has at
    most `most_open` jobs that have not ended. Every question is asked for one tenant: another tenant's job
    is NOT_FOUND.
    """

    def __init__(
        self,
        store: Store,
        *,
        source: str,
        prefixes: Mapping[str, str],
        wake: Callable[[], None] = lambda: None,
        most_open: int = 1000,
        first_pause: float = 2,
        longest_pause: float = 300,
        aging_seconds: float = 600,
        kept_checkpoints: int = 3,
    ) -> None:
        self._store = store
        self.source = source
        self._prefixes = dict(prefixes)
        self._wake = wake
        self._place_of = func.strpos if store.dialect == "postgresql" else func.instr
        self._most_open = most_open
        self._claims = Claims(
            source,
            first_pause=first_pause,
            longest_pause=longest_pause,
            aging_seconds=aging_seconds,
            kept_checkpoints=kept_checkpoints,
        )

    async def create(self, connection: AsyncConnection, new: NewJob, *, id: str = "") -> Job:
        """Orders a job within the caller's transaction; call `announce` once that is committed.

        The same order again (tenant, kind and idempotency key) gives the job that there is. ALREADY_EXISTS
        for another order under the same key, QUEUE_FULL for a tenant with too many, INVALID_REQUEST,
        REQUEST_TOO_LARGE. `id`, if given, is the job's (`new_id`), for those who must know it before.
        """
        self._check(new)
        digest = _digest(new)
        at = await rows.now(connection)
        job_id = id or self.new_id(new.kind)
        values = {
            "id": job_id,
            "tenant": new.tenant,
            "kind": new.kind,
            "idempotency_key": new.idempotency_key,
            "digest": digest,
            "status": Status.QUEUED.value,
            "wanted": "",
            "priority": new.priority,
            "spec": new.spec,
            "metadata": orjson.dumps(dict(new.metadata)).decode(),
            "traceparent": new.traceparent or telemetry.traceparent() or "",
            "memory_bytes": new.memory_bytes,
            "seconds": new.seconds,
            "max_attempts": new.max_attempts,
            "failures": 0,
            "fence": 0,
            "worker": "",
            "lease_until": 0.0,
            "ready_at": at,
            "created_at": at,
            "started_at": 0.0,
            "began_at": 0.0,
            "began_progress": 0.0,
            "ran_seconds": 0.0,
            "finished_at": 0.0,
            "progress": 0.0,
            "metrics": "{}",
            "step": -1,
            "events": 0,
            "reason": "",
            "message": "",
            "result": b"",
        }
        make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        made = await connection.execute(make(JOBS).values(values).on_conflict_do_nothing())
        same = (
            JOBS.c.tenant == new.tenant,
            JOBS.c.kind == new.kind,
            JOBS.c.idempotency_key == new.idempotency_key,
        )
        row = (await connection.execute(select(JOBS).where(*same))).one()
        if made.rowcount != 1:
            if row.digest != digest:
                raise SixfoldError(
                    Reason.ALREADY_EXISTS,
                    "This request id was used for another job.",
                    param="request_id",
                )
            return rows.to_job(row, at)
        mine = (
            select(func.count())
            .select_from(JOBS)
            .where(JOBS.c.tenant == new.tenant, JOBS.c.status.in_(_OPEN))
        )
        if (await connection.execute(mine)).scalar_one() > self._most_open:
            raise SixfoldError(
                Reason.QUEUE_FULL,
                f"There are {self._most_open:,} jobs that have not ended.",
                retry_after=60,
            )
        event = Event.new(
            "job.created",
            job_pb2.JobCreated(job_id=job_id, kind=new.kind),
            source=self.source,
            subject=job_id,
            tenant=new.tenant,
        )
        await outbox.add(connection, TOPIC, event)
        metrics.CREATED.labels(new.kind).inc()
        return rows.to_job(row, at)

    def new_id(self, kind: str) -> str:
        """An id that no job has."""
        return f"{self._prefixes[kind]}{secrets.token_hex(12)}"

    def announce(self) -> None:
        """The transaction of `create` is committed: the event may go."""
        self._wake()

    async def get(self, tenant: str, id: str) -> Job:
        """NOT_FOUND for another tenant's."""
        async with self._store.read() as connection:
            row = (await connection.execute(select(JOBS).where(*_named(tenant, id)))).one_or_none()
            if row is None:
                raise _not_found()
            return rows.to_job(row, await rows.now(connection))

    async def list(
        self,
        tenant: str,
        kinds: Collection[str],
        *,
        after: str = "",
        limit: int = 20,
        ascending: bool = False,
        metadata: Mapping[str, str] | None = None,
        statuses: Collection[Status] = (),
    ) -> tuple[Sequence[Job], bool]:
        """A page by age, and whether there is more. `after` is the last id of the page before (NOT_FOUND)."""
        limit = page_limit(limit)
        where: list[ColumnElement[bool]] = [JOBS.c.tenant == tenant, JOBS.c.kind.in_(list(kinds))]
        if statuses:
            where.append(JOBS.c.status.in_([status.value for status in statuses]))
        key = tuple_(JOBS.c.created_at, JOBS.c.id)
        order = (JOBS.c.created_at, JOBS.c.id)
        found: list[Job] = []
        async with self._store.read() as connection:
            at = await rows.now(connection)
            if after:
                last = select(JOBS.c.created_at, JOBS.c.id).where(*_named(tenant, after))
                edge = (await connection.execute(last)).one_or_none()
                if edge is None:
                    raise _not_found()
                beyond = tuple_(edge.created_at, edge.id)
                where.append(key > beyond if ascending else key < beyond)
            for name, value in (metadata or {}).items():
                # Compact JSON, in which quotes within strings are escaped: a pair is found as it is.
                pair = orjson.dumps({name: value}).decode()[1:-1]
                where.append(self._place_of(JOBS.c.metadata, pair) > 0)
            wanted = select(JOBS).where(*where)
            wanted = wanted.order_by(*(order if ascending else [column.desc() for column in order]))
            for row in await connection.execute(wanted.limit(limit + 1)):
                found.append(rows.to_job(row, at))
        return found[:limit], len(found) > limit

    async def events(
        self, tenant: str, id: str, *, after: str = "", limit: int = 20, ascending: bool = True
    ) -> tuple[Sequence[JobEvent], bool]:
        """A page of the job's diary, and whether there is more."""
        limit = page_limit(limit)
        where: list[ColumnElement[bool]] = [EVENTS.c.job_id == id]
        if after:
            number = _number(id, after)
            where.append(EVENTS.c.number > number if ascending else EVENTS.c.number < number)
        order = EVENTS.c.number if ascending else EVENTS.c.number.desc()
        async with self._store.read() as connection:
            await _must_exist(connection, tenant, id)
            page = select(EVENTS).where(*where).order_by(order).limit(limit + 1)
            found = [rows.to_event(row) for row in await connection.execute(page)]
        return found[:limit], len(found) > limit

    async def checkpoints(
        self, tenant: str, id: str, *, after: str = "", limit: int = 20
    ) -> tuple[Sequence[Checkpoint], bool]:
        """The job's checkpoints, newest first, and whether there are more."""
        limit = page_limit(limit)
        async with self._store.read() as connection:
            await _must_exist(connection, tenant, id)
            page = select(CHECKPOINTS).where(CHECKPOINTS.c.job_id == id)
            if after:
                last = select(CHECKPOINTS.c.step).where(CHECKPOINTS.c.job_id == id, CHECKPOINTS.c.id == after)
                page = page.where(CHECKPOINTS.c.step < last.scalar_subquery())
            page = page.order_by(CHECKPOINTS.c.step.desc()).limit(limit + 1)
            found = [rows.to_checkpoint(row) for row in await connection.execute(page)]
        return found[:limit], len(found) > limit

    async def steer(self, tenant: str, id: str, steer: Steer) -> Job:
        """Asks a job to stop, stand still or go on; what it already does or is, is fine.

        A running job follows within seconds. CONFLICT-like INVALID_REQUEST for what its status does not
        allow, NOT_FOUND.
        """
        async with self._store.begin() as connection:
            locked = select(JOBS).where(*_named(tenant, id)).with_for_update()
            row = (await connection.execute(locked)).one_or_none()
            if row is None:
                raise _not_found()
            at = await rows.now(connection)
            await self._claims.steer(connection, row, steer, at)
            row = (await connection.execute(select(JOBS).where(*_named(tenant, id)))).one()
            job = rows.to_job(row, at)
        self._wake()
        return job

    # For workers.

    async def hear(self, group: str, event_id: str) -> bool:
        """Keeps an event as heard; says whether it is the first time."""
        async with self._store.begin() as connection:
            return await outbox.inbox.first_time(connection, group, event_id)

    async def claim(
        self, worker: str, kinds: Collection[str], lease_seconds: float, *, tenant_slots: int = 0
    ) -> Claim | None:
        """The job that is next: of the tenant that has least, by priority and age. None when nothing waits.

        `tenant_slots` bounds how many of one tenant run at once, on all workers; 0 does not.
        """
        async with self._store.read() as connection:
            if not await self._claims.anything(connection, kinds):
                return None
        async with self._store.begin() as connection:
            claim = await self._claims.take(connection, worker, kinds, lease_seconds, tenant_slots)
        self._wake()
        return claim

    async def recover(self, kinds: Collection[str]) -> int:
        """Takes back jobs whose lease ran out: their worker is gone. Says how many."""
        async with self._store.read() as connection:
            if not await self._claims.expired(connection, kinds):
                return 0
        async with self._store.begin() as connection:
            count = await self._claims.recover(connection, kinds)
        self._wake()
        return count

    async def heartbeat(
        self,
        claim: Claim,
        lease_seconds: float,
        *,
        progress: float | None = None,
        metrics: Mapping[str, float] | None = None,
        notes: Sequence[Note] = (),
        ran_seconds: float = 0,
    ) -> str:
        """Extends the lease and writes what is new. Returns what is asked: "", "pause" or "cancel".

        `ran_seconds` are those since the last call. Raises `Lost`.
        """
        async with self._store.begin() as connection:
            return await self._claims.heartbeat(
                connection, claim, lease_seconds, progress, metrics, notes, ran_seconds
            )

    async def keep_checkpoint(self, claim: Claim, checkpoint: Checkpoint) -> Sequence[Checkpoint]:
        """Makes a stored checkpoint the place to go on from. Returns those that are no longer needed.

        Raises `Lost`.
        """
        async with self._store.begin() as connection:
            return await self._claims.keep_checkpoint(connection, claim, checkpoint)

    async def finish(self, claim: Claim, outcome: Outcome, *, notes: Sequence[Note] = ()) -> Job:
        """Writes how the attempt ended, and what that means for the job. Raises `Lost`."""
        async with self._store.begin() as connection:
            job = await self._claims.finish(connection, claim, outcome, notes)
        self._wake()
        return job

    async def count(self, kinds: Collection[str]) -> Mapping[tuple[str, str], int]:
        """(kind, status) → how many have not ended."""
        async with self._store.read() as connection:
            counted = (
                select(JOBS.c.kind, JOBS.c.status, func.count())
                .where(JOBS.c.status.in_(_OPEN), JOBS.c.kind.in_(list(kinds)))
                .group_by(JOBS.c.kind, JOBS.c.status)
            )
            return {(kind, status): number for kind, status, number in await connection.execute(counted)}

    def _check(self, new: NewJob) -> None:
        if new.kind not in self._prefixes:
            raise ValueError(f"no kind {new.kind!r}")
        if not new.tenant:
            raise ValueError("a job has a tenant")
        if not 0 < len(new.idempotency_key) <= 200:
            raise SixfoldError(Reason.INVALID_REQUEST, "A job needs a request id.", param="request_id")
        if new.priority not in _PRIORITIES:
            raise SixfoldError(Reason.INVALID_REQUEST, "A priority is from -10 to 10.", param="priority")
        if len(new.spec) > MAX_SPEC_BYTES:
            raise SixfoldError(
                Reason.REQUEST_TOO_LARGE, f"A job's order has at most {MAX_SPEC_BYTES:,} bytes."
            )
        if not 1 <= new.max_attempts <= 100:
            raise SixfoldError(Reason.INVALID_REQUEST, "Attempts are from 1 to 100.", param="max_attempts")
        fits = all(len(name) <= 64 and len(value) <= 512 for name, value in new.metadata.items())
        if len(new.metadata) > _METADATA or not fits:
            raise SixfoldError(
                Reason.INVALID_REQUEST,
                "Metadata has at most 16 pairs, with 64 characters in a name and 512 in a value.",
                param="metadata",
            )


def page_limit(limit: int) -> int:
    """0 means 20, more than 100 means 100."""
    return min(limit, 100) if limit > 0 else 20


def _named(tenant: str, id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return JOBS.c.tenant == tenant, JOBS.c.id == id


async def _must_exist(connection: AsyncConnection, tenant: str, id: str) -> None:
    if (await connection.execute(select(JOBS.c.id).where(*_named(tenant, id)))).one_or_none() is None:
        raise _not_found()


def _not_found() -> SixfoldError:
    return SixfoldError(Reason.NOT_FOUND, "There is no such job.")


def _number(id: str, event: str) -> int:
    number = event.removeprefix(f"{id}-e")
    if number == event or not (number.isdecimal() and len(number) < 10):
        raise SixfoldError(Reason.NOT_FOUND, "There is no such event.", param="after")
    return int(number)


def _digest(new: NewJob) -> str:
    facts = [new.priority, new.max_attempts, new.memory_bytes, new.seconds, sorted(new.metadata.items())]
    return hashlib.sha256(new.spec + b"\0" + orjson.dumps(facts)).hexdigest()
