"""Writing events where their cause is written."""

from __future__ import annotations

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from servicekit.bus.base import Event, check_event
from servicekit.outbox.tables import OUTBOX

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:subject, 7043))")


async def add(connection: AsyncConnection, topic: str, *events: Event) -> None:
    """Publishes these events if, and only if, the caller's transaction commits; `Relay.wake` afterwards.

    Events of one subject are published in the order in which their transactions commit. REQUEST_TOO_LARGE
    for an event that no bus takes.
    """
    for event in events:
        check_event(event)  # one that no bus takes would keep all later ones waiting
    if not events:
        return
    if connection.dialect.name == "postgresql":
        # Numbers are given before the commit, so two open transactions could commit in the other order.
        # Those of one subject take turns from here on; sorted, so that two callers never wait crosswise.
        for subject in sorted({event.subject for event in events}):
            await connection.execute(_LOCK, {"subject": subject})
    await connection.execute(insert(OUTBOX), [_row(topic, event) for event in events])


def _row(topic: str, event: Event) -> dict[str, object]:
    return {
        "topic": topic,
        "event_id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": event.time.timestamp(),
        "tenant": event.tenant,
        "traceparent": event.traceparent,
        "data": event.data,
    }
