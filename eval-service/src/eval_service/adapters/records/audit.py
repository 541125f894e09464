"""The audit: lines that are written with their cause, read in pages, and never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from eval_service import metrics
from eval_service.adapters.records.once import now_us, paged
from eval_service.adapters.records.tables import audit_trail as table
from eval_service.release.audit import Actor, Entry
from eval_service.release.states import Release
from servicekit.store import Store


@dataclass(frozen=True, slots=True)
class Line:
    """An entry, with what it is about."""

    id: str
    at: float
    """Unix seconds."""
    release_id: str
    alias: str
    candidate: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines. An empty field is no condition."""

    alias: str = ""
    release_id: str = ""
    action: str = ""
    candidate: str = ""
    until_us: int = 0


async def write(connection: AsyncConnection, release: Release, entries: Sequence[Entry]) -> None:
    """Within the transaction of the step that brought `release` to where it is."""
    at = now_us()
    for number, entry in enumerate(entries, 1):
        await connection.execute(
            insert(table).values(
                tenant=release.tenant,
                id=f"{release.id}-{release.revision}-{number}",
                created_us=at,
                release_id=release.id,
                alias=release.alias,
                candidate=release.candidate,
                action=entry.action,
                subject=entry.actor.subject,
                role=entry.actor.role,
                reason=entry.reason,
                details=orjson.dumps(entry.details).decode(),
            )
        )
        metrics.AUDIT.labels(entry.action).inc()


class Audit:
    """What was done to a tenant's releases."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(
        self, tenant: str, wanted: Wanted, *, after: str, limit: int, ascending: bool
    ) -> tuple[Sequence[Line], bool]:
        """A page by age, and whether there is more. NOT_FOUND for an `after` that is not in the list."""
        query = select(table).where(table.c.tenant == tenant)
        for column in ("alias", "release_id", "action", "candidate"):
            if value := getattr(wanted, column):
                query = query.where(table.c[column] == value)
        if wanted.until_us:
            query = query.where(table.c.created_us <= wanted.until_us)
        async with self._store.read() as connection:
            found, more = await paged(connection, query, table, after=after, limit=limit, ascending=ascending)
        return [_line(row) for row in found], more


def _line(row: Any) -> Line:
    entry = Entry(row.action, Actor(row.subject, row.role), row.reason, orjson.loads(row.details))
    return Line(row.id, row.created_us / 1e6, row.release_id, row.alias, row.candidate, entry)
