"""What the parts of the records share: first answers, locks, counts, pages, and letting go of an index."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import Select, Table, and_, delete, func, insert, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from retrieval_service.adapters.records.rows import Row, to_attachment, to_counts
from retrieval_service.adapters.records.tables import answers, attachments, batch_files, garbage, stores
from retrieval_service.stores.records import Attempt, Repeated
from retrieval_service.stores.types import Attachment, Counts, FileState, Page
from servicekit.errors import Reason, SixfoldError

Clock = Callable[[], int]
"""Microseconds since 1970."""

_TENANT_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:tenant, 7044))")
SLICE = 500
"""Values of one IN list."""


def now_us() -> int:
    """The time."""
    return time.time_ns() // 1000


async def take_turn(connection: AsyncConnection, tenant: str) -> None:
    """Changes that a tenant asks for happen one after the other. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        await connection.execute(_TENANT_LOCK, {"tenant": tenant})


async def first_try(connection: AsyncConnection, tenant: str, attempt: Attempt, now: int) -> None:
    """Raises `Repeated` with the first answer to a call that was made before.

    INVALID_REQUEST if the same request id stood for something else.
    """
    await take_turn(connection, tenant)
    found = await connection.execute(
        select(answers).where(
            answers.c.tenant == tenant,
            answers.c.request_id == attempt.request_id,
            answers.c.expires_us > now,
        )
    )
    row = found.mappings().one_or_none()
    if row is None:
        return
    if bytes(row["fingerprint"]) != attempt.fingerprint:
        raise SixfoldError(
            Reason.INVALID_REQUEST, "This request id was used for another request.", param="request_id"
        )
    raise Repeated(bytes(row["answer"]))


async def keep_answer(
    connection: AsyncConnection, tenant: str, attempt: Attempt, result: Any, *, expires_us: int
) -> None:
    """Keeps the answer beside its effect."""
    await connection.execute(
        delete(answers).where(answers.c.tenant == tenant, answers.c.request_id == attempt.request_id)
    )
    await connection.execute(
        insert(answers).values(
            tenant=tenant,
            request_id=attempt.request_id,
            fingerprint=attempt.fingerprint,
            answer=attempt.seal(result),
            expires_us=expires_us,
        )
    )


async def store_row_of(
    connection: AsyncConnection, tenant: str, store_id: str, *, lock: bool = False
) -> Row | None:
    """A store that exists."""
    query = select(stores).where(
        stores.c.tenant == tenant, stores.c.id == store_id, stores.c.deleted.is_(False)
    )
    if lock:
        query = query.with_for_update()
    return (await connection.execute(query)).mappings().one_or_none()


async def touch(connection: AsyncConnection, tenant: str, store_id: str, now: int) -> None:
    """The store was used."""
    await connection.execute(
        update(stores)
        .where(stores.c.tenant == tenant, stores.c.id == store_id, stores.c.last_active_us < now)
        .values(last_active_us=now)
    )


async def store_counts(
    connection: AsyncConnection, tenant: str, store_ids: Collection[str]
) -> dict[str, tuple[Counts, int]]:
    """How the files of stores stand, and the bytes that they take."""
    query = (
        select(
            attachments.c.store_id,
            attachments.c.state,
            func.count(),
            func.coalesce(func.sum(attachments.c.usage_bytes), 0),
        )
        .where(
            attachments.c.tenant == tenant,
            attachments.c.store_id.in_(store_ids),
            attachments.c.is_current,
        )
        .group_by(attachments.c.store_id, attachments.c.state)
    )
    states: dict[str, dict[str, int]] = {}
    usage: dict[str, int] = {}
    for store_id, state, number, size in await connection.execute(query):
        states.setdefault(store_id, {})[state] = number
        usage[store_id] = usage.get(store_id, 0) + int(size)
    return {key: (to_counts(states.get(key, {})), usage.get(key, 0)) for key in store_ids}


async def batch_counts(connection: AsyncConnection, tenant: str, store_id: str, batch_id: str) -> Counts:
    """How the files of a batch stand, or stood when they left the store."""
    query = (
        select(batch_files.c.state, func.count())
        .where(
            batch_files.c.tenant == tenant,
            batch_files.c.store_id == store_id,
            batch_files.c.batch_id == batch_id,
        )
        .group_by(batch_files.c.state)
    )
    states = await connection.execute(query)
    return to_counts({row[0]: row[1] for row in states})


async def note_state(
    connection: AsyncConnection, tenant: str, store_id: str, ids: Sequence[str], state: FileState
) -> None:
    """Tells the batches of these attachments how they stand."""
    for start in range(0, len(ids), SLICE):
        await connection.execute(
            update(batch_files)
            .where(
                batch_files.c.tenant == tenant,
                batch_files.c.store_id == store_id,
                batch_files.c.attachment_id.in_(ids[start : start + SLICE]),
            )
            .values(state=state.value)
        )


async def release(
    connection: AsyncConnection, tenant: str, store_id: str, index_ids: Collection[str]
) -> list[Attachment]:
    """Rows that held these index ids are gone. What duplicates still use goes on under the oldest of them;
    the rest becomes garbage. Returns the duplicates that changed.
    """
    heirs: list[Attachment] = []
    for index_id in sorted(set(index_ids) - {""}):
        mine = (
            attachments.c.tenant == tenant,
            attachments.c.store_id == store_id,
            attachments.c.index_id == index_id,
        )
        found = await connection.execute(
            select(attachments)
            .where(*mine, attachments.c.state == FileState.COMPLETED.value)
            .order_by(attachments.c.created_us, attachments.c.id)
        )
        rows = [dict(row) for row in found.mappings()]
        if not rows:
            await put_garbage(connection, tenant, store_id, index_id)
            continue
        if any(not row["duplicate_of"] for row in rows):
            continue  # its owner is still there
        owner = rows[0]["file_id"]
        for row in rows:
            row["duplicate_of"] = "" if row["file_id"] == owner else owner
            await connection.execute(
                update(attachments)
                .where(*mine, attachments.c.id == row["id"])
                .values(duplicate_of=row["duplicate_of"])
            )
            heirs.append(to_attachment(row))
    return heirs


async def put_garbage(connection: AsyncConnection, tenant: str, store_id: str, index_id: str) -> None:
    """Nobody needs this index id any more."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    await connection.execute(
        dialect.insert(garbage)
        .values(tenant=tenant, store_id=store_id, index_id=index_id)
        .on_conflict_do_nothing()
    )


async def paged(
    connection: AsyncConnection, query: Select[Any], table: Table, page: Page, *, cursor: str
) -> tuple[list[Row], bool]:
    """A page of `query` over `table`, by time and then id; `cursor` is the column that callers name.

    Raises INVALID_REQUEST for a cursor that names nothing in the list.
    """
    ascending = page.ascending
    for name, given, newer in (("after", page.after, ascending), ("before", page.before, not ascending)):
        if not given:
            continue
        place = (
            await connection.execute(
                query.with_only_columns(table.c.created_us, table.c.id).where(table.c[cursor] == given)
            )
        ).one_or_none()
        if place is None:
            raise SixfoldError(Reason.INVALID_REQUEST, f"'{name}' names nothing in this list.", param=name)
        at, last = place
        beyond = (
            or_(table.c.created_us > at, and_(table.c.created_us == at, table.c.id > last))
            if newer
            else or_(table.c.created_us < at, and_(table.c.created_us == at, table.c.id < last))
        )
        query = query.where(beyond)
    backwards = bool(page.before) and not page.after  # those nearest to the cursor, then turned round
    up = ascending != backwards
    order = (table.c.created_us, table.c.id) if up else (table.c.created_us.desc(), table.c.id.desc())
    rows: list[Row] = list(
        (await connection.execute(query.order_by(*order).limit(page.limit + 1))).mappings()
    )
    more = len(rows) > page.limit
    rows = rows[: page.limit]
    return (rows[::-1] if backwards else rows), more
