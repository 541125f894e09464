"""Telling the world that a job moved on, in the transaction in which it did."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from servicekit import outbox
from servicekit.bus.base import DEAD, Event
from servicekit.bus.topics import JOBS as TOPIC
from servicekit.jobs.types import Status
from sixfold.events.v1 import job_pb2


async def announce(
    connection: AsyncConnection, source: str, row: Any, status: Status, *, reason: str = "", attempt: int
) -> None:
    """`job.changed`, and for a job that failed the same as a dead letter with its cause."""
    event = Event.new(
        "job.changed",
        job_pb2.JobChanged(
            job_id=row.id, status=status.value, reason=reason, progress=row.progress, attempt=attempt
        ),
        source=source,
        subject=row.id,
        tenant=row.tenant,
    )
    if not event.traceparent:
        event = replace(event, traceparent=row.traceparent)
    await outbox.add(connection, TOPIC, event)
    if status is Status.FAILED:
        await outbox.add(connection, TOPIC + DEAD, replace(event, id=f"{event.id}_dead"))
