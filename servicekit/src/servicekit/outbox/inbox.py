"""Which events a consumer has seen: makes handlers idempotent by event id."""

from __future__ import annotations

import time

from sqlalchemy import delete, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from servicekit.outbox.tables import INBOX
from servicekit.store import Store

_TRIM_ROWS = 1000


async def first_time(connection: AsyncConnection, group: str, event_id: str) -> bool:
    """Whether this group sees the event for the first time. Ask inside the transaction of the effect:

    the answer is kept if, and only if, that commits. Somebody else who asks meanwhile waits for it.
    """
    row = {"consumer": group, "event_id": event_id, "seen_at": time.time()}
    if connection.dialect.name == "postgresql":
        statement = postgresql.insert(INBOX).values(row).on_conflict_do_nothing()
        return (await connection.execute(statement)).rowcount == 1
    return (await connection.execute(sqlite.insert(INBOX).values(row).on_conflict_do_nothing())).rowcount == 1


async def trim(store: Store, older_than: float) -> int:
    """Forgets events seen over `older_than` seconds ago, which no replay brings back; says how many.

    In small transactions, so that handlers hardly wait.
    """
    key = tuple_(INBOX.c.consumer, INBOX.c.event_id)
    old = select(INBOX.c.consumer, INBOX.c.event_id).where(INBOX.c.seen_at < time.time() - older_than)
    forgotten = 0
    while True:
        async with store.begin() as connection:
            gone = (await connection.execute(delete(INBOX).where(key.in_(old.limit(_TRIM_ROWS))))).rowcount
        forgotten += gone
        if gone < _TRIM_ROWS:
            return forgotten
