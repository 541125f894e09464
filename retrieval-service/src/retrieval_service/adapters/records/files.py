"""Files of stores, and batches, as their owner sees and changes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from retrieval_service.adapters.records import events
from retrieval_service.adapters.records.attach import attach, set_attributes
from retrieval_service.adapters.records.base import Part
from retrieval_service.adapters.records.common import (
    SLICE,
    batch_counts,
    first_try,
    keep_answer,
    note_state,
    paged,
    release,
    store_row_of,
    touch,
)
from retrieval_service.adapters.records.rows import json, to_attachment, to_batch
from retrieval_service.adapters.records.tables import (
    attachments,
    batch_files,
    batches,
    near_bands,
    tombstones,
)
from retrieval_service.documents.attributes import Attributes
from retrieval_service.stores.records import Added, Attempt, Removed
from retrieval_service.stores.types import Attachment, Batch, FileState, NewFile, Page
from servicekit import outbox
from servicekit.bus.topics import DOCUMENTS


class FileRecords(Part):
    """See `retrieval_service.stores.records.Records`."""

    async def add_files(
        self, tenant: str, store_id: str, files: Sequence[NewFile], *, batch: bool, attempt: Attempt
    ) -> Added | None:
        """None where there is no such store."""
        now = self._clock()
        async with self._database.begin() as connection:
            await first_try(connection, tenant, attempt, now)
            if await store_row_of(connection, tenant, store_id, lock=True) is None:
                return None
            added = await attach(
                connection,
                tenant,
                store_id,
                files,
                batch=batch,
                now=now,
                max_files=self._bounds.files_a_store,
            )
            await self._keep(connection, tenant, attempt, added)
        self._announced()
        return added

    async def attachment(self, tenant: str, store_id: str, file_id: str) -> Attachment | None:
        """The current one."""
        return await self._one(tenant, store_id, file_id, attachments.c.is_current)

    async def answering(self, tenant: str, store_id: str, file_id: str) -> Attachment | None:
        """The completed one."""
        return await self._one(tenant, store_id, file_id, attachments.c.state == FileState.COMPLETED.value)

    async def list_files(
        self, tenant: str, store_id: str, page: Page, *, batch_id: str = "", state: FileState | None = None
    ) -> tuple[list[Attachment], bool]:
        """Those of a batch are the ones that it brought or found."""
        query = select(attachments).where(
            attachments.c.tenant == tenant, attachments.c.store_id == store_id, attachments.c.is_current
        )
        if batch_id:
            members = select(batch_files.c.attachment_id).where(
                batch_files.c.tenant == tenant,
                batch_files.c.store_id == store_id,
                batch_files.c.batch_id == batch_id,
            )
            query = query.where(attachments.c.id.in_(members))
        if state is not None:
            query = query.where(attachments.c.state == state.value)
        async with self._database.read() as connection:
            rows, more = await paged(connection, query, attachments, page, cursor="file_id")
        return [to_attachment(row) for row in rows], more

    async def update_file(
        self, tenant: str, store_id: str, file_id: str, attributes: Attributes, attempt: Attempt
    ) -> tuple[Attachment, Sequence[Attachment]] | None:
        """All of the attributes are replaced."""
        now = self._clock()
        async with self._database.begin() as connection:
            await first_try(connection, tenant, attempt, now)
            row = await self._row(connection, tenant, store_id, file_id)
            if row is None:
                return None
            text = json(attributes)
            answering = await set_attributes(connection, tenant, store_id, file_id, text)
            await touch(connection, tenant, store_id, now)
            changed = to_attachment({**row, "attributes": text})
            await self._keep(connection, tenant, attempt, changed)
            return changed, answering

    async def remove_file(self, tenant: str, store_id: str, file_id: str, attempt: Attempt) -> Removed | None:
        """None where it is not."""
        now = self._clock()
        async with self._database.begin() as connection:
            await first_try(connection, tenant, attempt, now)
            if await store_row_of(connection, tenant, store_id, lock=True) is None:
                return None
            removed = await self._remove(connection, tenant, file_id, store_id)
            if not removed.stores:
                return None
            await touch(connection, tenant, store_id, now)
            await self._keep(connection, tenant, attempt, removed)
        self._announced()
        return removed

    async def remove_document(self, tenant: str, file_id: str, attempt: Attempt) -> Removed:
        """The tombstone is for ever: ids of files do not come again."""
        now = self._clock()
        async with self._database.begin() as connection:
            await first_try(connection, tenant, attempt, now)
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            await connection.execute(
                dialect.insert(tombstones)
                .values(tenant=tenant, file_id=file_id, removed_us=now)
                .on_conflict_do_nothing()
            )
            removed = await self._remove(connection, tenant, file_id)
            await self._keep(connection, tenant, attempt, removed)
        self._announced()
        return removed

    async def batch(self, tenant: str, store_id: str, batch_id: str) -> Batch | None:
        """One of a store that exists."""
        async with self._database.read() as connection:
            return await self._batch(connection, tenant, store_id, batch_id)

    async def cancel_batch(self, tenant: str, store_id: str, batch_id: str, attempt: Attempt) -> Batch | None:
        """What is indexed stays."""
        now = self._clock()
        async with self._database.begin() as connection:
            await first_try(connection, tenant, attempt, now)
            if await self._batch(connection, tenant, store_id, batch_id) is None:
                return None
            mine = (
                batches.c.tenant == tenant, batches.c.store_id == store_id, batches.c.id == batch_id,
            )  # fmt: skip
            await connection.execute(update(batches).where(*mine).values(cancelled=True))
            waiting = (
                attachments.c.tenant == tenant,
                attachments.c.store_id == store_id,
                attachments.c.batch_id == batch_id,
                attachments.c.state == FileState.IN_PROGRESS.value,
            )
            called_off = (
                await connection.execute(
                    update(attachments)
                    .where(*waiting)
                    .values(state=FileState.CANCELLED.value)
                    .returning(attachments.c.id)
                )
            ).scalars()
            await note_state(connection, tenant, store_id, list(called_off), FileState.CANCELLED)
            await touch(connection, tenant, store_id, now)
            cancelled = await self._batch(connection, tenant, store_id, batch_id)
            await self._keep(connection, tenant, attempt, cancelled)
            return cancelled

    async def live(self, tenant: str, store_id: str) -> list[Attachment]:
        """Completed ones, older ones that still answer included."""
        query = select(attachments).where(
            attachments.c.tenant == tenant,
            attachments.c.store_id == store_id,
            attachments.c.state == FileState.COMPLETED.value,
        )
        async with self._database.read() as connection:
            return [to_attachment(row) for row in (await connection.execute(query)).mappings()]

    async def _one(self, tenant: str, store_id: str, file_id: str, which: Any) -> Attachment | None:
        async with self._database.read() as connection:
            row = await self._row(connection, tenant, store_id, file_id, which)
            return None if row is None else to_attachment(row)

    async def _row(
        self,
        connection: AsyncConnection,
        tenant: str,
        store_id: str,
        file_id: str,
        which: Any = attachments.c.is_current,
    ) -> Any:
        if await store_row_of(connection, tenant, store_id) is None:
            return None
        query = select(attachments).where(
            attachments.c.tenant == tenant,
            attachments.c.store_id == store_id,
            attachments.c.file_id == file_id,
            which,
        )
        return (await connection.execute(query)).mappings().first()

    async def _remove(
        self, connection: AsyncConnection, tenant: str, file_id: str, store_id: str = ""
    ) -> Removed:
        """Rows, events and what the index may forget."""
        mine = [attachments.c.tenant == tenant, attachments.c.file_id == file_id]
        if store_id:
            mine.append(attachments.c.store_id == store_id)
        gone = list(
            (await connection.execute(delete(attachments).where(*mine).returning(attachments))).mappings()
        )
        by_store: dict[str, list[str]] = {}
        heirs: list[Attachment] = []
        for row in gone:
            by_store.setdefault(row["store_id"], []).append(row["id"])
            await forget_bands(connection, tenant, row["store_id"], [row["id"]])
            if row["state"] == FileState.IN_PROGRESS.value:
                await note_state(connection, tenant, row["store_id"], [row["id"]], FileState.CANCELLED)
        for name in by_store:
            # The one being indexed may have written something already; its own id names that.
            used = {row["index_id"] or row["id"] for row in gone if row["store_id"] == name}
            heirs += await release(connection, tenant, name, used)
        await outbox.add(connection, DOCUMENTS, *(events.removed(row) for row in gone if row["is_current"]))
        return Removed(by_store, heirs)

    async def _batch(
        self, connection: AsyncConnection, tenant: str, store_id: str, batch_id: str
    ) -> Batch | None:
        if await store_row_of(connection, tenant, store_id) is None:
            return None
        query = select(batches).where(
            batches.c.tenant == tenant, batches.c.store_id == store_id, batches.c.id == batch_id
        )
        row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            return None
        return to_batch(row, await batch_counts(connection, tenant, store_id, batch_id))

    async def _keep(self, connection: AsyncConnection, tenant: str, attempt: Attempt, result: Any) -> None:
        await keep_answer(
            connection, tenant, attempt, result, expires_us=self._clock() + self._bounds.answers_us
        )


async def forget_bands(
    connection: AsyncConnection, tenant: str, store_id: str, attachment_ids: Sequence[str]
) -> None:
    """These are no more what others are compared with."""
    for start in range(0, len(attachment_ids), SLICE):
        await connection.execute(
            delete(near_bands).where(
                near_bands.c.tenant == tenant,
                near_bands.c.store_id == store_id,
                near_bands.c.attachment_id.in_(attachment_ids[start : start + SLICE]),
            )
        )


__all__ = ["FileRecords", "forget_bands"]
