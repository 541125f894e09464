"""What has to be looked after in all stores, whoever's they are."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import BigInteger, and_, cast, delete, func, or_, select, update

from retrieval_service.adapters.records import events
from retrieval_service.adapters.records.base import Part
from retrieval_service.adapters.records.common import SLICE, note_state, put_garbage, store_row_of
from retrieval_service.adapters.records.files import forget_bands
from retrieval_service.adapters.records.rows import to_store
from retrieval_service.adapters.records.tables import (
    answers,
    attachments,
    batch_files,
    batches,
    garbage,
    near_bands,
    stores,
)
from retrieval_service.stores.records import Indexed, Queue
from retrieval_service.stores.types import DAY_US, FileState, Store
from servicekit import outbox
from servicekit.bus.topics import DOCUMENTS
from servicekit.outbox import inbox

_DAY = cast(DAY_US, BigInteger)
_SEEN_SECONDS = 30 * 86_400
"""Longer than any bus keeps events."""


class SqlUpkeep(Part):
    """`retrieval_service.stores.records.Upkeep` over SQLite or PostgreSQL."""

    async def queues(self) -> list[Queue]:
        """Counted anew each time: the records are the queue."""
        query = (
            select(attachments.c.tenant, attachments.c.store_id, func.count())
            .where(
                attachments.c.state == FileState.IN_PROGRESS.value,
                attachments.c.accepted,
                attachments.c.retry_us <= self._clock(),
            )
            .group_by(attachments.c.tenant, attachments.c.store_id)
            .order_by(attachments.c.tenant, attachments.c.store_id)
        )
        async with self._database.read() as connection:
            return [Queue(*row) for row in await connection.execute(query)]

    async def waiting(self) -> int:
        """Those that are announced and not yet accepted included."""
        query = (
            select(func.count())
            .select_from(attachments)
            .where(attachments.c.state == FileState.IN_PROGRESS.value)
        )
        async with self._database.read() as connection:
            return int(await connection.scalar(query) or 0)

    async def stores(self, after: tuple[str, str] | None, limit: int) -> list[Store]:
        """In the order of tenant and id."""
        query = select(stores).where(stores.c.deleted.is_(False))
        if after is not None:
            query = query.where(
                or_(
                    stores.c.tenant > after[0],
                    and_(stores.c.tenant == after[0], stores.c.id > after[1]),
                )
            )
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(stores.c.tenant, stores.c.id).limit(limit))
            return [to_store(row) for row in rows.mappings()]

    async def deleted(self, limit: int) -> list[tuple[str, str]]:
        """Their rows are still there."""
        query = select(stores.c.tenant, stores.c.id).where(stores.c.deleted).limit(limit)
        async with self._database.read() as connection:
            return [(tenant, store_id) for tenant, store_id in await connection.execute(query)]

    async def expire(self, before_us: int, limit: int) -> list[tuple[str, str]]:
        """As if their owners had deleted them."""
        over = (
            stores.c.deleted.is_(False),
            stores.c.expires_after_days > 0,
            stores.c.last_active_us + cast(stores.c.expires_after_days, BigInteger) * _DAY < before_us,
        )
        async with self._database.begin() as connection:
            query = select(stores.c.tenant, stores.c.id).where(*over).limit(limit)
            found = [(tenant, store_id) for tenant, store_id in await connection.execute(query)]
            for tenant, store_id in found:
                await connection.execute(
                    update(stores)
                    .where(stores.c.tenant == tenant, stores.c.id == store_id)
                    .values(deleted=True)
                )
            return found

    async def purge(self, tenant: str, store_id: str, limit: int) -> bool:
        """In slices, so that others may write between."""
        mine = (attachments.c.tenant == tenant, attachments.c.store_id == store_id)
        async with self._database.begin() as connection:
            names = (await connection.execute(select(attachments.c.id).where(*mine).limit(limit))).scalars()
            gone = list(
                (
                    await connection.execute(
                        delete(attachments)
                        .where(*mine, attachments.c.id.in_(list(names)))
                        .returning(attachments)
                    )
                ).mappings()
            )
            await outbox.add(
                connection, DOCUMENTS, *(events.removed(row) for row in gone if row["is_current"])
            )
        self._announced()
        return len(gone) < limit

    async def forget(self, tenant: str, store_id: str) -> None:
        """Every table."""
        async with self._database.begin() as connection:
            for table in (near_bands, batch_files, batches, garbage, attachments):
                await connection.execute(
                    delete(table).where(table.c.tenant == tenant, table.c.store_id == store_id)
                )
            await connection.execute(
                delete(stores).where(stores.c.tenant == tenant, stores.c.id == store_id, stores.c.deleted)
            )

    async def garbage(self, limit: int, *, store_id: str = "") -> list[tuple[str, str, str]]:
        """Of stores that exist; a deleted one's index goes as a whole."""
        query = (
            select(garbage.c.tenant, garbage.c.store_id, garbage.c.index_id)
            .join(stores, (stores.c.tenant == garbage.c.tenant) & (stores.c.id == garbage.c.store_id))
            .where(stores.c.deleted.is_(False))
            .order_by(garbage.c.tenant, garbage.c.store_id)
            .limit(limit)
        )
        if store_id:
            query = query.where(garbage.c.store_id == store_id)
        async with self._database.read() as connection:
            return [(row[0], row[1], row[2]) for row in await connection.execute(query)]

    async def cleaned(self, tenant: str, store_id: str, index_ids: Collection[str]) -> None:
        """Nothing of these is left."""
        names = list(index_ids)
        async with self._database.begin() as connection:
            for start in range(0, len(names), SLICE):
                await connection.execute(
                    delete(garbage).where(
                        garbage.c.tenant == tenant,
                        garbage.c.store_id == store_id,
                        garbage.c.index_id.in_(names[start : start + SLICE]),
                    )
                )

    async def indexed(self, tenant: str, store_id: str) -> Indexed | None:
        """By the records."""
        mine = (attachments.c.tenant == tenant, attachments.c.store_id == store_id)
        async with self._database.read() as connection:
            if await store_row_of(connection, tenant, store_id) is None:
                return None
            complete = await connection.execute(
                select(attachments.c.index_id)
                .where(*mine, attachments.c.state == FileState.COMPLETED.value, attachments.c.passages > 0)
                .distinct()
            )
            pending = await connection.execute(
                select(attachments.c.id).where(*mine, attachments.c.state == FileState.IN_PROGRESS.value)
            )
            return Indexed(frozenset(complete.scalars()), frozenset(pending.scalars()))

    async def requeue(self, tenant: str, store_id: str, index_ids: Collection[str]) -> list[str]:
        """They are in progress again; none of them answers until it is complete."""
        names = list(index_ids)
        again: list[str] = []
        async with self._database.begin() as connection:
            for start in range(0, len(names), SLICE):
                mine = (
                    attachments.c.tenant == tenant,
                    attachments.c.store_id == store_id,
                    attachments.c.index_id.in_(names[start : start + SLICE]),
                    attachments.c.state == FileState.COMPLETED.value,
                )
                # One that answers only until its successor is complete is not worth the work.
                old = await connection.execute(
                    delete(attachments)
                    .where(*mine, attachments.c.is_current.is_(False))
                    .returning(attachments.c.id)
                )
                ended = list(old.scalars())
                rows = await connection.execute(
                    update(attachments)
                    .where(*mine)
                    .values(
                        state=FileState.IN_PROGRESS.value,
                        accepted=True,
                        retry_us=0,
                        attempts=0,
                        duplicate_of="",
                        near_duplicate_of="",
                        index_id="",
                        digest="",
                    )
                    .returning(attachments.c.id)
                )
                renewed = list(rows.scalars())
                await forget_bands(connection, tenant, store_id, [*ended, *renewed])
                await note_state(connection, tenant, store_id, renewed, FileState.IN_PROGRESS)
                for index_id in names[start : start + SLICE]:
                    if index_id not in renewed:
                        await put_garbage(connection, tenant, store_id, index_id)
                again += renewed + ended
        return again

    async def trim(self) -> None:
        """A slice at a time is enough: it is called again and again."""
        async with self._database.begin() as connection:
            await connection.execute(delete(answers).where(answers.c.expires_us < self._clock()))
        await inbox.trim(self._database, _SEEN_SECONDS)
