"""Requests and feedback as events bring them, each kept exactly once; joined when a data set asks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import and_, delete, insert, or_, select, tuple_

from servicekit.bus import Event
from servicekit.outbox import inbox
from servicekit.store import Store
from sixfold.events.v1 import request_pb2
from training_service import metrics
from training_service.adapters.tables import FEEDBACK, REQUESTS
from training_service.datasets.feedback import GOOD_SCORE

GROUP = "training-service"
_PAGE_BYTES = 4 << 20
_PAGE = 200
_TRIM_SECONDS = 3600.0


class Kept:
    """A handler of both topics, and the question that data sets ask. Content is forgotten after `days`."""

    def __init__(self, store: Store, *, days: float) -> None:
        self._store = store
        self._seconds = days * 86400
        self._trim_at = 0.0

    async def __call__(self, event: Event) -> None:
        """An event that comes again has no second effect."""
        if event.type == "request.completed":
            await self._request(event)
        elif event.type == "feedback.given":
            await self._feedback(event)

    async def rows(
        self,
        tenant: str,
        *,
        kinds: Sequence[str],
        since: float = 0,
        until: float = 0,
        model: str = "",
        after: Sequence[Any] = (),
    ) -> dict[str, Any]:
        """A page of judged answers, oldest feedback first: `items` and `after`, empty at the end.

        Corrections, thumbs up and good scores, of those `kinds` (corrections alone if empty).
        """
        wanted = [FEEDBACK.c.kind == "correction"] if not kinds or "correction" in kinds else []
        if "thumbs" in kinds:
            wanted.append(and_(FEEDBACK.c.kind == "thumbs", FEEDBACK.c.value > 0))
        if "score" in kinds:
            wanted.append(and_(FEEDBACK.c.kind == "score", FEEDBACK.c.value >= GOOD_SCORE))
        where = [FEEDBACK.c.tenant == tenant, or_(*wanted)]
        if since:
            where.append(FEEDBACK.c.at >= since)
        if until:
            where.append(FEEDBACK.c.at < until)
        if model:
            where.append(REQUESTS.c.requested_model == model)
        if after:
            where.append(tuple_(FEEDBACK.c.at, FEEDBACK.c.feedback_id) > tuple_(*after))
        joined = FEEDBACK.outerjoin(
            REQUESTS,
            and_(REQUESTS.c.tenant == FEEDBACK.c.tenant, REQUESTS.c.request_id == FEEDBACK.c.request_id),
        )
        page = (
            select(FEEDBACK, REQUESTS.c.content)
            .select_from(joined)
            .where(*where)
            .order_by(FEEDBACK.c.at, FEEDBACK.c.feedback_id)
            .limit(_PAGE)
        )
        items: list[dict[str, Any]] = []
        size = 0
        last: list[Any] = []
        async with self._store.read() as connection:
            rows = (await connection.execute(page)).all()
        for row in rows:
            size += len(row.content or b"") + len(row.correction)
            if items and size > _PAGE_BYTES:
                return {"items": items, "after": last}
            last = [row.at, row.feedback_id]
            items.append(
                {
                    "feedback_id": row.feedback_id,
                    "request_id": row.request_id,
                    "correction": row.correction if row.kind == "correction" else "",
                    **content_of(row.content or b""),
                }
            )
        return {"items": items, "after": last if len(rows) == _PAGE else []}

    async def _request(self, event: Event) -> None:
        told = event.parse(request_pb2.RequestCompleted)
        if not told.content_json or told.status >= 400:
            return
        values = {
            "tenant": event.tenant,
            "request_id": told.request_id,
            "at": event.time.timestamp(),
            "requested_model": told.requested_model[:256],
            "model": told.model[:256],
            "model_version": told.model_version[:200],
            "content": told.content_json,
        }
        async with self._store.begin() as connection:
            if await inbox.first_time(connection, GROUP, event.id):
                mine = REQUESTS.c.tenant == event.tenant, REQUESTS.c.request_id == told.request_id
                await connection.execute(delete(REQUESTS).where(*mine))
                await connection.execute(insert(REQUESTS).values(values))
                metrics.KEPT.labels("request").inc()
        await self._trim()

    async def _feedback(self, event: Event) -> None:
        told = event.parse(request_pb2.FeedbackGiven)
        values = {
            "tenant": event.tenant,
            "feedback_id": told.feedback_id,
            "request_id": told.request_id,
            "kind": told.kind[:32],
            "value": told.value,
            "correction": told.correction,
            "comment": told.comment,
            "subject": told.subject[:256],
            "at": event.time.timestamp(),
        }
        async with self._store.begin() as connection:
            if await inbox.first_time(connection, GROUP, event.id):
                mine = FEEDBACK.c.tenant == event.tenant, FEEDBACK.c.feedback_id == told.feedback_id
                await connection.execute(delete(FEEDBACK).where(*mine))
                await connection.execute(insert(FEEDBACK).values(values))
                metrics.KEPT.labels("feedback").inc()

    async def _trim(self) -> None:
        now = time.time()
        if now < self._trim_at:
            return
        self._trim_at = now + _TRIM_SECONDS
        async with self._store.begin() as connection:
            await connection.execute(delete(REQUESTS).where(REQUESTS.c.at < now - self._seconds))
            await connection.execute(delete(FEEDBACK).where(FEEDBACK.c.at < now - self._seconds))


def content_of(content: bytes) -> Mapping[str, Any]:
    """`messages` and `answer` of a kept request; nothing if it has another form."""
    if not content:
        return {}
    try:
        told = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(told, dict):
        return {}
    return {"messages": told.get("messages"), "answer": _first_text(told.get("answer"))}


def _first_text(answer: object) -> str:
    """Of the first choice: the gateway keeps all of them, each with its text."""
    choice = answer[0] if isinstance(answer, list) and answer else answer
    if isinstance(choice, dict):
        choice = choice.get("text")
    return choice if isinstance(choice, str) else ""
