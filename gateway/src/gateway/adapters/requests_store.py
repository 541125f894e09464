"""Records of requests in the record store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import orjson
from sqlalchemy import delete, or_, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from gateway.adapters.requests_tables import requests as table
from gateway.lineage.types import Passage, Record
from servicekit.store import Store

_NAMES = tuple(field.name for field in fields(Record))
_FAILURE = 400
"""The least status that is none of an answer."""


class SqlRequests:
    """`gateway.lineage.ports.RequestStore` over SQLite or PostgreSQL."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._put = _upsert(store.dialect)

    async def keep(self, records: Sequence[Record]) -> None:
        """See the port."""
        if not records:
            return
        # In one order for everybody: two workers with the same keys then never wait crosswise.
        rows = [_row(record) for record in sorted(records, key=lambda record: (record.tenant, record.id))]
        async with self._store.begin() as connection:
            await connection.execute(self._put, rows)

    async def find(self, tenant: str, id: str) -> Record | None:
        """See the port."""
        named = or_(table.c.id == id, table.c.answer_id == id)
        query = (
            select(table)
            .where(table.c.tenant == tenant, named)
            # A repeated answer, which no model was asked for again, is behind the one that it repeats.
            .order_by(table.c.id != id, table.c.model == "", table.c.at)
            .limit(1)
        )
        async with self._store.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return None if row is None else _record(row)

    async def oldest_of(self, newest: int) -> float | None:
        """See the port."""
        query = select(table.c.at).order_by(table.c.at.desc()).offset(newest - 1).limit(1)
        async with self._store.read() as connection:
            return (await connection.execute(query)).scalar_one_or_none()

    async def sweep(self, *, before: float, limit: int) -> int:
        """See the port."""
        old = select(table.c.tenant, table.c.id).where(table.c.at < before).limit(limit)
        gone = delete(table).where(tuple_(table.c.tenant, table.c.id).in_(old))
        async with self._store.begin() as connection:
            return (await connection.execute(gone)).rowcount


def _upsert(dialect: str) -> Any:
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    put = make(table)
    new = put.excluded
    return put.on_conflict_do_update(
        index_elements=["tenant", "id"],
        set_={name: new[name] for name in _NAMES if name not in ("tenant", "id")},
        where=(table.c.status >= _FAILURE) & (new.at > table.c.at),
    )


def _row(record: Record) -> dict[str, Any]:
    row = {name: getattr(record, name) for name in _NAMES}
    row["passages"] = (
        orjson.dumps([list(each) for each in record.passages]).decode() if record.passages else ""
    )
    return row


def _record(row: Any) -> Record:
    given = {name: row[name] for name in _NAMES}
    kept = orjson.loads(given["passages"]) if given["passages"] else ()
    given["passages"] = tuple(Passage(*each) for each in kept)
    return Record(**given)
