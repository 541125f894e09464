"""A changing call and its answer in one transaction, so that the same request id has one effect."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, Table, and_, delete, insert, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from eval_service.adapters.records.tables import answers
from servicekit.errors import Reason, SixfoldError

DAY_US = 86_400_000_000
_TENANT_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:tenant, 7045))")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A changing call: its id, what it says, and how its answer is written down."""

    request_id: str
    fingerprint: bytes
    seal: Callable[[Any], bytes]


class Repeated(Exception):
    """The call was made before; `answer` is what it got."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.answer = answer


def now_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


async def first_try(connection: AsyncConnection, tenant: str, attempt: Attempt) -> None:
    """Raises `Repeated` with the first answer to a call that was made before.

    INVALID_REQUEST if the same request id stood for something else. Changing calls of one tenant happen one
    after the other.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(_TENANT_LOCK, {"tenant": tenant})
    row = (
        await connection.execute(
            select(answers).where(
                answers.c.tenant == tenant,
                answers.c.request_id == attempt.request_id,
                answers.c.expires_us > now_us(),
            )
        )
    ).one_or_none()
    if row is None:
        return
    if bytes(row.fingerprint) != attempt.fingerprint:
        raise SixfoldError(
            Reason.INVALID_REQUEST, "This request id was used for another request.", param="request_id"
        )
    raise Repeated(bytes(row.answer))


async def keep_answer(connection: AsyncConnection, tenant: str, attempt: Attempt, result: Any) -> None:
    """Keeps the answer beside its effect, for a day; those of yesterday go."""
    now = now_us()
    await connection.execute(
        delete(answers).where(
            or_(
                answers.c.expires_us < now,
                and_(answers.c.tenant == tenant, answers.c.request_id == attempt.request_id),
            )
        )
    )
    await connection.execute(
        insert(answers).values(
            tenant=tenant,
            request_id=attempt.request_id,
            fingerprint=attempt.fingerprint,
            answer=attempt.seal(result),
            expires_us=now + DAY_US,
        )
    )


async def paged(
    connection: AsyncConnection, query: Select[Any], table: Table, *, after: str, limit: int, ascending: bool
) -> tuple[list[Any], bool]:
    """A page by age, and whether there is more. NOT_FOUND for an `after` that is not in the list."""
    at, last = table.c.created_us, table.c.id
    if after:
        edge = (
            await connection.execute(query.with_only_columns(at, last).where(last == after))
        ).one_or_none()
        if edge is None:
            raise SixfoldError(Reason.NOT_FOUND, "'after' names nothing in this list.", param="after")
        beyond = (
            or_(at > edge[0], and_(at == edge[0], last > edge[1]))
            if ascending
            else or_(at < edge[0], and_(at == edge[0], last < edge[1]))
        )
        query = query.where(beyond)
    order = (at, last) if ascending else (at.desc(), last.desc())
    rows = list(await connection.execute(query.order_by(*order).limit(limit + 1)))
    return rows[:limit], len(rows) > limit
