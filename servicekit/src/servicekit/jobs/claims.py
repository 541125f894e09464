"""Who may work on which job, and what may be written about it: statements within one transaction each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Float, case, cast, delete, exists, func, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from servicekit.errors import Reason, SixfoldError
from servicekit.jobs import metrics as instruments
from servicekit.jobs import rows
from servicekit.jobs.changes import announce
from servicekit.jobs.tables import CHECKPOINTS, JOBS, SHARES
from servicekit.jobs.types import (
    MAX_RESULT_BYTES,
    Broke,
    Checkpoint,
    Claim,
    Done,
    Job,
    Lost,
    Note,
    Outcome,
    Status,
    Steer,
)

_RECOVERED = 20
"""Jobs taken back in one transaction."""


class Claims:
    """The rules. Pauses are in seconds; see `Jobs` for the rest."""

    def __init__(
        self,
        source: str,
        *,
        first_pause: float,
        longest_pause: float,
        aging_seconds: float,
        kept_checkpoints: int,
    ) -> None:
        self._source = source
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._aging_seconds = aging_seconds
        self._kept_checkpoints = kept_checkpoints

    async def anything(self, connection: AsyncConnection, kinds: Collection[str]) -> bool:
        """Whether a job is ready: asked without a lock, since mostly none is."""
        at = await rows.now(connection)
        ready = exists().where(*_of(Status.QUEUED, kinds), JOBS.c.ready_at <= at)
        return bool((await connection.execute(select(ready))).scalar_one())

    async def take(
        self,
        connection: AsyncConnection,
        worker: str,
        kinds: Collection[str],
        lease_seconds: float,
        tenant_slots: int,
    ) -> Claim | None:
        """Claims the next job.

        The tenant that has the fewest running goes first, then the one that was served longest ago: thirty
        jobs of one do not stand before another's single one. Among one tenant's, priority and age decide;
        waiting `aging_seconds` counts as much as one step of priority, so that nothing waits for ever.
        """
        at = await rows.now(connection)
        running = (
            select(JOBS.c.tenant, func.count().label("number"))
            .where(JOBS.c.status == Status.RUNNING)
            .group_by(JOBS.c.tenant)
            .subquery("running")
        )
        number = func.coalesce(running.c.number, 0)
        waited = literal(at, Float) - JOBS.c.ready_at
        rank = cast(JOBS.c.priority, Float) + waited / self._aging_seconds
        next_one = (
            select(JOBS)
            .select_from(
                JOBS.outerjoin(running, running.c.tenant == JOBS.c.tenant).outerjoin(
                    SHARES, SHARES.c.tenant == JOBS.c.tenant
                )
            )
            .where(*_of(Status.QUEUED, kinds), JOBS.c.ready_at <= at)
            .order_by(
                number, func.coalesce(SHARES.c.served_at, 0.0), rank.desc(), JOBS.c.created_at, JOBS.c.id
            )
            .limit(1)
            .with_for_update(of=JOBS, skip_locked=True)
        )
        if tenant_slots:
            next_one = next_one.where(number < tenant_slots)
        row = (await connection.execute(next_one)).one_or_none()
        if row is None:
            return None
        await connection.execute(
            update(JOBS)
            .where(JOBS.c.id == row.id)
            .values(
                status=Status.RUNNING,
                wanted="",
                fence=row.fence + 1,
                worker=worker,
                lease_until=at + lease_seconds,
                started_at=row.started_at or at,
                began_at=at,
                began_progress=row.progress,
            )
        )
        await self._serve(connection, row.tenant, at)
        if row.fence == 0:
            instruments.WAITING_SECONDS.labels(row.kind).observe(max(0.0, at - row.ready_at))
        attempt = row.failures + 1
        await announce(connection, self._source, row, Status.RUNNING, attempt=attempt)
        newest = select(CHECKPOINTS).where(CHECKPOINTS.c.job_id == row.id)
        newest = newest.order_by(CHECKPOINTS.c.step.desc()).limit(1)
        checkpoint = (await connection.execute(newest)).one_or_none()
        return Claim(
            id=row.id,
            kind=row.kind,
            tenant=row.tenant,
            worker=worker,
            fence=row.fence + 1,
            attempt=attempt,
            max_attempts=row.max_attempts,
            spec=bytes(row.spec),
            checkpoint=rows.to_checkpoint(checkpoint) if checkpoint is not None else None,
            memory_bytes=row.memory_bytes,
            seconds=row.seconds,
            ran_seconds=row.ran_seconds,
            progress=row.progress,
            metadata=orjson.loads(row.metadata),
            traceparent=row.traceparent,
        )

    async def heartbeat(
        self,
        connection: AsyncConnection,
        claim: Claim,
        lease_seconds: float,
        progress: float | None,
        metrics: Mapping[str, float] | None,
        notes: Sequence[Note],
        ran_seconds: float,
    ) -> str:
        at = await rows.now(connection)
        values: dict[str, Any] = {
            "lease_until": at + lease_seconds,
            "ran_seconds": JOBS.c.ran_seconds + ran_seconds,
            "events": JOBS.c.events + len(notes),
        }
        if progress is not None:
            values["progress"] = min(1.0, max(0.0, progress))
        if metrics is not None:
            values["metrics"] = rows.figures(metrics)
        row = await self._write(connection, claim, values)
        await rows.write_notes(connection, claim.id, row.events - len(notes), notes, at)
        return str(row.wanted)

    async def keep_checkpoint(
        self, connection: AsyncConnection, claim: Claim, checkpoint: Checkpoint
    ) -> Sequence[Checkpoint]:
        forward = JOBS.c.step < checkpoint.step
        await self._write(
            connection,
            claim,
            {
                # Attempts that get further are no crash loop, however many workers are lost.
                "failures": case((forward, 0), else_=JOBS.c.failures),
                "step": case((forward, checkpoint.step), else_=JOBS.c.step),
            },
        )
        mine = CHECKPOINTS.c.job_id == claim.id
        found = await connection.execute(select(CHECKPOINTS).where(mine).order_by(CHECKPOINTS.c.step.desc()))
        before = [rows.to_checkpoint(row) for row in found]
        same = [old for old in before if old.step == checkpoint.step]
        others = [old for old in before if old.step != checkpoint.step]
        gone = [*same, *others[self._kept_checkpoints - 1 :]]
        if gone:
            ids = [old.id for old in gone]
            await connection.execute(delete(CHECKPOINTS).where(CHECKPOINTS.c.id.in_(ids)))
        await connection.execute(
            insert(CHECKPOINTS).values(
                id=checkpoint.id,
                job_id=claim.id,
                created_at=checkpoint.created_at,
                step=checkpoint.step,
                metrics=rows.figures(checkpoint.metrics),
                object_key=checkpoint.object_key,
            )
        )
        return gone

    async def finish(
        self, connection: AsyncConnection, claim: Claim, outcome: Outcome, notes: Sequence[Note]
    ) -> Job:
        locked = select(JOBS).where(*_held(claim)).with_for_update()
        row = (await connection.execute(locked)).one_or_none()
        if row is None:
            raise Lost
        at = await rows.now(connection)
        await self._end_attempt(connection, row, outcome, notes, at)
        row = (await connection.execute(select(JOBS).where(JOBS.c.id == claim.id))).one()
        return rows.to_job(row, at)

    async def expired(self, connection: AsyncConnection, kinds: Collection[str]) -> bool:
        """Whether a lease ran out: asked without a lock."""
        at = await rows.now(connection)
        late = exists().where(*_of(Status.RUNNING, kinds), JOBS.c.lease_until < at)
        return bool((await connection.execute(select(late))).scalar_one())

    async def recover(self, connection: AsyncConnection, kinds: Collection[str]) -> int:
        at = await rows.now(connection)
        late = (
            select(JOBS)
            .where(*_of(Status.RUNNING, kinds), JOBS.c.lease_until < at)
            .order_by(JOBS.c.lease_until)
            .limit(_RECOVERED)
            .with_for_update(skip_locked=True)
        )
        found = (await connection.execute(late)).all()
        for row in found:
            instruments.LEASES_LOST.labels(row.kind).inc()
            instruments.ATTEMPTS.labels(row.kind, "lost").inc()
            lost = Broke("WORKER_LOST", "The worker that ran the job is gone.")
            await self._end_attempt(connection, row, lost, (), at)
        return len(found)

    async def steer(self, connection: AsyncConnection, row: Any, steer: Steer, at: float) -> None:
        """Does what is asked of a row that the caller has locked."""
        status = Status(row.status)
        running = status is Status.RUNNING
        match steer:
            case Steer.CANCEL if running:
                await self._want(connection, row, "cancel")
            case Steer.CANCEL if not status.final:
                await self._move(connection, row, Status.CANCELLED, at, finished_at=at)
            case Steer.PAUSE if running:
                if row.wanted != "cancel":
                    await self._want(connection, row, "pause")
            case Steer.PAUSE if status is Status.QUEUED:
                await self._move(connection, row, Status.PAUSED, at)
            case Steer.RESUME if running:
                if row.wanted == "pause":
                    await self._want(connection, row, "")
            case Steer.RESUME if status is Status.PAUSED:
                await self._move(connection, row, Status.QUEUED, at, ready_at=at, failures=0)
            case Steer.PAUSE if status is Status.PAUSED:
                pass
            case Steer.RESUME if status is Status.QUEUED:
                pass
            case Steer.CANCEL if status is Status.CANCELLED:
                pass
            case _:
                raise SixfoldError(
                    Reason.INVALID_REQUEST,
                    f"The job has {status.value}: it cannot be asked to {steer.value}."
                    if status is not Status.CANCELLED
                    else f"The job was cancelled: it cannot be asked to {steer.value}.",
                )

    async def _end_attempt(
        self, connection: AsyncConnection, row: Any, outcome: Outcome, notes: Sequence[Note], at: float
    ) -> None:
        match outcome:
            case Done(result) if len(result) <= MAX_RESULT_BYTES:
                await self._move(
                    connection,
                    row,
                    Status.SUCCEEDED,
                    at,
                    notes=notes,
                    finished_at=at,
                    result=result,
                    progress=1.0,
                    failures=0,
                )
            case Done():
                too_large = Broke("INVALID_RESULT", "What came out is too large.", retry=False)
                await self._broke(connection, row, too_large, notes, at)
            case Broke():
                await self._broke(connection, row, outcome, notes, at)
            case _:
                # What is asked now counts, not what it was when the process was told.
                status = _AS_ASKED.get(row.wanted, Status.QUEUED)
                finished = {"finished_at": at} if status.final else {}
                await self._move(connection, row, status, at, notes=notes, **finished)

    async def _broke(
        self, connection: AsyncConnection, row: Any, broke: Broke, notes: Sequence[Note], at: float
    ) -> None:
        failures = row.failures + 1
        if row.wanted == "cancel":
            await self._move(connection, row, Status.CANCELLED, at, notes=notes, finished_at=at)
            return
        again = broke.retry and failures < row.max_attempts
        note = Note(broke.message, "warn" if again else "error", data=orjson.dumps({"reason": broke.reason}))
        notes = [*notes, note]
        if not again:
            instruments.DEAD.labels(row.kind, broke.reason).inc()
            message = (
                broke.message if failures == 1 else f"Given up after {failures} attempts. {broke.message}"
            )
            await self._move(
                connection,
                row,
                Status.FAILED,
                at,
                notes=notes,
                reason=broke.reason,
                message=message,
                finished_at=at,
                failures=failures,
            )
            return
        if row.wanted == "pause":
            await self._move(connection, row, Status.PAUSED, at, notes=notes, failures=failures)
            return
        # A worker may be lost through no fault of the job: the first time it goes on at once.
        once = broke.reason == "WORKER_LOST" and failures == 1
        pause = 0.0 if once else min(self._longest_pause, self._first_pause * 2 ** (failures - 1))
        await self._move(
            connection, row, Status.QUEUED, at, notes=notes, failures=failures, ready_at=at + pause
        )

    async def _move(
        self,
        connection: AsyncConnection,
        row: Any,
        status: Status,
        at: float,
        *,
        notes: Sequence[Note] = (),
        **values: Any,
    ) -> None:
        """A new status, with its event and its line in the diary."""
        notes = [*notes, Note(_SAID[status])]
        values |= {
            "status": status,
            "wanted": "",
            "worker": "",
            "lease_until": 0.0,
            "events": row.events + len(notes),
        }
        await connection.execute(update(JOBS).where(JOBS.c.id == row.id).values(**values))
        await rows.write_notes(connection, row.id, row.events, notes, at)
        if status.final:
            instruments.ENDED.labels(row.kind, status.value).inc()
        moved = (await connection.execute(select(JOBS).where(JOBS.c.id == row.id))).one()
        await announce(
            connection, self._source, moved, status, reason=moved.reason, attempt=rows.attempt(moved)
        )

    async def _want(self, connection: AsyncConnection, row: Any, wanted: str) -> None:
        await connection.execute(update(JOBS).where(JOBS.c.id == row.id).values(wanted=wanted))

    async def _write(self, connection: AsyncConnection, claim: Claim, values: Mapping[str, Any]) -> Any:
        """Writes under the fence, and locks the row with it. Raises `Lost`."""
        statement = update(JOBS).where(*_held(claim)).values(**values).returning(JOBS.c.wanted, JOBS.c.events)
        row = (await connection.execute(statement)).one_or_none()
        if row is None:
            raise Lost
        return row

    async def _serve(self, connection: AsyncConnection, tenant: str, at: float) -> None:
        make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        served = make(SHARES).values(tenant=tenant, served_at=at)
        served = served.on_conflict_do_update(index_elements=["tenant"], set_={"served_at": at})
        await connection.execute(served)


_AS_ASKED = {"cancel": Status.CANCELLED, "pause": Status.PAUSED}

_SAID = {
    Status.QUEUED: "The job waits for a worker.",
    Status.PAUSED: "The job stands still.",
    Status.SUCCEEDED: "The job is done.",
    Status.FAILED: "The job failed.",
    Status.CANCELLED: "The job was cancelled.",
}


def _of(status: Status, kinds: Collection[str]) -> tuple[Any, Any]:
    return JOBS.c.status == status.value, JOBS.c.kind.in_(list(kinds))


def _held(claim: Claim) -> tuple[Any, Any, Any]:
    return JOBS.c.id == claim.id, JOBS.c.fence == claim.fence, JOBS.c.status == Status.RUNNING.value
