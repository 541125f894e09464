"""Responses in the record store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import LargeBinary, and_, delete, insert, literal, or_, select
from sqlalchemy.exc import IntegrityError

from gateway.adapters.responses_tables import responses
from gateway.responses.ports import Kept
from servicekit.store import Store

_ALL = tuple(responses.c)
_WITHOUT_ITEMS = (
    *(column for column in _ALL if column.name != "items"),
    literal(b"[]", LargeBinary).label("items"),
)


class ResponsesStore:
    """`gateway.responses.ports.ResponseStore` over SQLite or PostgreSQL."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, kept: Kept) -> None:
        row = {
            "tenant": kept.tenant,
            "id": kept.id,
            "created_at": kept.created_at,
            "expires_at": kept.expires_at,
            "previous": kept.previous,
            "fingerprint": kept.fingerprint,
            "body": kept.body,
            "items": kept.items,
        }
        try:
            async with self._store.begin() as connection:
                await connection.execute(insert(responses).values(row))
        except IntegrityError:
            return  # the first one under this id stands

    async def get(self, tenant: str, response_id: str, *, now: float) -> Kept | None:
        query = select(*_ALL).where(*_of(tenant, now), responses.c.id == response_id)
        async with self._store.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return None if row is None else _kept(row)

    async def chain(self, tenant: str, response_id: str, *, limit: int, now: float) -> Sequence[Kept]:
        first = (
            select(responses.c.id, responses.c.previous, literal(1).label("depth"))
            .where(*_of(tenant, now), responses.c.id == response_id)
            .cte("chain", recursive=True)
        )
        chain = first.union_all(
            select(responses.c.id, responses.c.previous, first.c.depth + 1).where(
                *_of(tenant, now), responses.c.id == first.c.previous, first.c.depth < limit
            )
        )
        query = (
            select(*_ALL)
            .join(chain, responses.c.id == chain.c.id)
            .where(*_of(tenant, now))
            .order_by(chain.c.depth)
        )
        async with self._store.read() as connection:
            return [_kept(row) for row in (await connection.execute(query)).mappings()]

    async def page(
        self, tenant: str, *, after: str, limit: int, ascending: bool, now: float
    ) -> Sequence[Kept]:
        made, name = responses.c.created_at, responses.c.id
        query = select(*_WITHOUT_ITEMS).where(*_of(tenant, now))
        async with self._store.read() as connection:
            if after:
                place = select(made).where(responses.c.tenant == tenant, name == after)
                at = (await connection.execute(place)).scalar_one_or_none()
                if at is None:
                    return []
                behind = (made > at, name > after) if ascending else (made < at, name < after)
                query = query.where(or_(behind[0], and_(made == at, behind[1])))
            order = (made, name) if ascending else (made.desc(), name.desc())
            rows = await connection.execute(query.order_by(*order).limit(limit))
            return [_kept(row) for row in rows.mappings()]

    async def delete(self, tenant: str, response_id: str) -> bool:
        statement = delete(responses).where(responses.c.tenant == tenant, responses.c.id == response_id)
        async with self._store.begin() as connection:
            return (await connection.execute(statement)).rowcount > 0

    async def sweep(self, *, now: float, limit: int) -> int:
        expired = select(responses.c.tenant, responses.c.id).where(responses.c.expires_at <= now).limit(limit)
        gone = 0
        async with self._store.begin() as connection:
            for tenant, name in (await connection.execute(expired)).all():
                await connection.execute(
                    delete(responses).where(responses.c.tenant == tenant, responses.c.id == name)
                )
                gone += 1
        return gone


def _of(tenant: str, now: float) -> tuple[Any, ...]:
    return responses.c.tenant == tenant, responses.c.expires_at > now


def _kept(row: Any) -> Kept:
    return Kept(
        id=row["id"],
        tenant=row["tenant"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        previous=row["previous"],
        fingerprint=bytes(row["fingerprint"]),
        body=bytes(row["body"]),
        items=bytes(row["items"]),
    )
