"""Rows and what they say."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import delete, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from servicekit.jobs.tables import EVENTS
from servicekit.jobs.types import MAX_METRICS, Checkpoint, Job, JobEvent, Note, Status

KEPT_EVENTS = 2000
"""Lines of one diary; older ones go."""
_MESSAGE = 2000
_DATA = 16_384


async def now(connection: AsyncConnection) -> float:
    """The clock that all workers on this database share, in Unix seconds."""
    if connection.dialect.name == "postgresql":
        clock = text("SELECT extract(epoch FROM clock_timestamp())")
        return float((await connection.execute(clock)).scalar_one())
    return time.time()


def to_job(row: Any, at: float) -> Job:
    status = Status(row.status)
    return Job(
        id=row.id,
        kind=row.kind,
        tenant=row.tenant,
        status=status,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        attempt=attempt(row),
        max_attempts=row.max_attempts,
        priority=row.priority,
        progress=row.progress,
        metrics=orjson.loads(row.metrics),
        reason=row.reason,
        message=row.message,
        estimated_finish=_estimate(row, at) if status is Status.RUNNING else 0.0,
        spec=bytes(row.spec),
        result=bytes(row.result),
        metadata=orjson.loads(row.metadata),
    )


def attempt(row: Any) -> int:
    """Failed tries since the last step forward, and the one that is under way, waits or succeeded."""
    if row.fence == 0:
        return 0
    tried: int = row.failures + (0 if row.status == Status.FAILED else 1)
    most: int = row.max_attempts
    return min(tried, most)


def _estimate(row: Any, at: float) -> float:
    won = row.progress - row.began_progress
    if won <= 0.01:
        return 0.0
    return float(at + (at - row.began_at) * (1 - row.progress) / won)


def to_event(row: Any) -> JobEvent:
    return JobEvent(
        event_id(row.job_id, row.number), row.created_at, row.level, row.message, row.type, bytes(row.data)
    )


def event_id(job_id: str, number: int) -> str:
    return f"{job_id}-e{number}"


def to_checkpoint(row: Any) -> Checkpoint:
    return Checkpoint(row.id, row.created_at, row.step, orjson.loads(row.metrics), row.object_key)


def figures(metrics: Mapping[str, float]) -> str:
    """The first `MAX_METRICS` of them, as JSON."""
    return orjson.dumps(dict(list(metrics.items())[:MAX_METRICS])).decode()


async def write_notes(
    connection: AsyncConnection, job_id: str, last: int, notes: Sequence[Note], at: float
) -> None:
    """Adds lines behind the `last`, whose row the caller has locked and moves on by their number."""
    if not notes:
        return
    rows = [
        {
            "job_id": job_id,
            "number": last + place,
            "created_at": note.at or at,
            "level": note.level,
            "type": note.type,
            "message": note.message[:_MESSAGE],
            "data": note.data if len(note.data) <= _DATA else b"",
        }
        for place, note in enumerate(notes, 1)
    ]
    await connection.execute(insert(EVENTS), rows)
    newest = last + len(notes)
    if newest > KEPT_EVENTS:
        old = delete(EVENTS).where(EVENTS.c.job_id == job_id, EVENTS.c.number <= newest - KEPT_EVENTS)
        await connection.execute(old)
