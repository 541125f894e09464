"""Feedback in the record store: its row and its event in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import and_, delete, insert, or_, select
from sqlalchemy.exc import IntegrityError

from gateway.adapters.feedback_tables import feedback as table
from gateway.feedback.ports import Added
from gateway.feedback.types import Attempt, Feedback, Given
from servicekit import outbox
from servicekit.bus import Event
from servicekit.bus.topics import FEEDBACK
from servicekit.errors import Reason, SixfoldError
from servicekit.store import Store
from sixfold.events.v1 import request_pb2

_TYPE, _SOURCE = "feedback.given", "gateway"


class SqlFeedback:
    """`gateway.feedback.ports.FeedbackStore` over SQLite or PostgreSQL."""

    def __init__(self, store: Store, *, announced: Callable[[], None]) -> None:
        """`announced` is called after a transaction that has added an event."""
        self._store = store
        self._announced = announced

    async def add(self, feedback: Feedback, attempt: Attempt | None) -> Added:
        """See the port."""
        if attempt is not None and (first := await self._first(attempt)) is not None:
            return Added(first, True)
        try:
            async with self._store.begin() as connection:
                await connection.execute(insert(table).values(_row(feedback, attempt)))
                await outbox.add(connection, FEEDBACK, _event(feedback))
        except IntegrityError:
            # The same attempt came twice at once, and the other one was first.
            if attempt is None or (first := await self._first(attempt)) is None:
                raise
            return Added(first, True)
        self._announced()
        return Added(feedback, False)

    async def get(self, tenant: str, feedback_id: str) -> Feedback | None:
        """See the port."""
        query = select(table).where(table.c.tenant == tenant, table.c.id == feedback_id)
        async with self._store.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return None if row is None else _feedback(row)

    async def page(
        self, tenant: str, *, request_id: str | None, after: str | None, ascending: bool, limit: int
    ) -> Sequence[Feedback]:
        """See the port."""
        made, name = table.c.created_at, table.c.id
        query = select(table).where(table.c.tenant == tenant)
        if request_id is not None:
            query = query.where(table.c.request_id == request_id)
        async with self._store.read() as connection:
            if after is not None:
                place = select(made).where(table.c.tenant == tenant, name == after)
                at = (await connection.execute(place)).scalar_one_or_none()
                if at is None:
                    return []
                behind = (made > at, name > after) if ascending else (made < at, name < after)
                query = query.where(or_(behind[0], and_(made == at, behind[1])))
            order = (made, name) if ascending else (made.desc(), name.desc())
            rows = await connection.execute(query.order_by(*order).limit(limit))
            return [_feedback(row) for row in rows.mappings()]

    async def sweep(self, *, before: float, limit: int) -> int:
        """See the port."""
        old = select(table.c.id).where(table.c.created_at < before).limit(limit)
        async with self._store.begin() as connection:
            return (await connection.execute(delete(table).where(table.c.id.in_(old)))).rowcount

    async def _first(self, attempt: Attempt) -> Feedback | None:
        query = select(table).where(table.c.attempt == attempt.token)
        async with self._store.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            return None
        if bytes(row["fingerprint"]) != attempt.fingerprint:
            raise SixfoldError(
                Reason.ALREADY_EXISTS,
                "This Idempotency-Key was used for a different request.",
                param="Idempotency-Key",
            )
        return _feedback(row)


def _event(feedback: Feedback) -> Event:
    given = feedback.given
    told = request_pb2.FeedbackGiven(
        feedback_id=feedback.id,
        request_id=given.request_id,
        kind=given.kind,
        value=given.value or 0.0,
        correction=given.correction,
        comment=given.comment,
        subject=feedback.subject,
    )
    return Event.new(_TYPE, told, source=_SOURCE, subject=given.request_id, tenant=feedback.tenant)


def _row(feedback: Feedback, attempt: Attempt | None) -> dict[str, Any]:
    given = feedback.given
    return {
        "id": feedback.id,
        "tenant": feedback.tenant,
        "request_id": given.request_id,
        "kind": given.kind,
        "value": given.value,
        "correction": given.correction,
        "comment": given.comment,
        "subject": feedback.subject,
        "created_at": feedback.created_at,
        "attempt": attempt.token if attempt is not None else None,
        "fingerprint": attempt.fingerprint if attempt is not None else None,
    }


def _feedback(row: Any) -> Feedback:
    return Feedback(
        id=row["id"],
        tenant=row["tenant"],
        given=Given(row["request_id"], row["kind"], row["value"], row["correction"], row["comment"]),
        subject=row["subject"],
        created_at=row["created_at"],
    )
