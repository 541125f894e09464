"""A file's way into the index, step by step."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from retrieval_service.adapters.records import events
from retrieval_service.adapters.records.base import Part
from retrieval_service.adapters.records.common import note_state, release, store_row_of
from retrieval_service.adapters.records.files import forget_bands
from retrieval_service.adapters.records.rows import to_attachment
from retrieval_service.adapters.records.tables import attachments, near_bands, stores
from retrieval_service.documents.errors import FileFault
from retrieval_service.stores.records import Completed, OriginalGone, Outcome
from retrieval_service.stores.types import Attachment, FileState
from servicekit import outbox
from servicekit.bus import DEAD
from servicekit.bus.topics import DOCUMENTS
from servicekit.outbox import inbox

GROUP = "retrieval-service"
"""The consumer group of this service."""

_CANDIDATES = 32
"""Possible near duplicates that are compared."""

_WAITING = (attachments.c.state == FileState.IN_PROGRESS.value, attachments.c.accepted)


class IndexingRecords(Part):
    """See `retrieval_service.stores.records.Records`."""

    async def accept(self, tenant: str, event_id: str, store_id: str, attachment_id: str) -> bool:
        """Once for an event, however often it is delivered."""
        async with self._database.begin() as connection:
            if not await inbox.first_time(connection, GROUP, event_id):
                return False
            await connection.execute(
                update(attachments).where(*_mine(tenant, store_id, attachment_id)).values(accepted=True)
            )
            return True

    async def next_waiting(
        self, tenant: str, store_id: str, *, skip: Collection[str], max_bytes: int | None
    ) -> Attachment | None:
        """Small files first: one huge file keeps nobody waiting."""
        query = (
            select(attachments)
            .where(
                attachments.c.tenant == tenant,
                attachments.c.store_id == store_id,
                *_WAITING,
                attachments.c.retry_us <= self._clock(),
            )
            .order_by(attachments.c.bytes, attachments.c.created_us, attachments.c.id)
            .limit(1)
        )
        if skip:
            query = query.where(attachments.c.id.not_in(skip))
        if max_bytes is not None:
            query = query.where(attachments.c.bytes <= max_bytes)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
            return None if row is None else to_attachment(row)

    async def begin(self, tenant: str, store_id: str, attachment_id: str) -> Attachment | None:
        """The try is counted before it is made: a file that kills the process is given up too."""
        async with self._database.begin() as connection:
            if await store_row_of(connection, tenant, store_id) is None:
                return None
            row = (
                (
                    await connection.execute(
                        update(attachments)
                        .where(*_mine(tenant, store_id, attachment_id), *_WAITING)
                        .values(attempts=attachments.c.attempts + 1)
                        .returning(attachments)
                    )
                )
                .mappings()
                .one_or_none()
            )
            return None if row is None else to_attachment(row)

    async def waits(self, tenant: str, store_id: str, attachment_id: str) -> bool:
        """Asked between steps."""
        query = select(attachments.c.id).where(*_mine(tenant, store_id, attachment_id), *_WAITING)
        async with self._database.read() as connection:
            if await store_row_of(connection, tenant, store_id) is None:
                return False
            return (await connection.execute(query)).one_or_none() is not None

    async def postpone(
        self, tenant: str, store_id: str, attachment_id: str, *, seconds: float, counted: bool
    ) -> None:
        """It waits again."""
        values: dict[str, Any] = {"retry_us": self._clock() + int(seconds * 1e6)}
        if not counted:
            values["attempts"] = attachments.c.attempts - 1
        async with self._database.begin() as connection:
            await connection.execute(
                update(attachments).where(*_mine(tenant, store_id, attachment_id), *_WAITING).values(values)
            )

    async def same_text(self, tenant: str, store_id: str, digest: str, *, but: str) -> Attachment | None:
        """The one that owns the passages; an old attachment that is about to go is none."""
        query = (
            select(attachments)
            .where(
                attachments.c.tenant == tenant,
                attachments.c.store_id == store_id,
                attachments.c.digest == digest,
                attachments.c.state == FileState.COMPLETED.value,
                attachments.c.is_current,
                attachments.c.duplicate_of == "",
                attachments.c.file_id != but,
            )
            .order_by(attachments.c.created_us, attachments.c.id)
            .limit(1)
        )
        return await self._first(query)

    async def near_texts(
        self, tenant: str, store_id: str, bands: Sequence[str], *, but: str
    ) -> list[tuple[str, bytes]]:
        """The oldest first."""
        if not bands:
            return []
        query = (
            select(attachments.c.file_id, attachments.c.signature)
            .where(
                attachments.c.tenant == tenant,
                attachments.c.store_id == store_id,
                attachments.c.state == FileState.COMPLETED.value,
                attachments.c.is_current,
                attachments.c.file_id != but,
                attachments.c.id.in_(
                    select(near_bands.c.attachment_id).where(
                        near_bands.c.tenant == tenant,
                        near_bands.c.store_id == store_id,
                        near_bands.c.band.in_(bands),
                    )
                ),
            )
            .order_by(attachments.c.created_us, attachments.c.id)
            .limit(_CANDIDATES)
        )
        async with self._database.read() as connection:
            return [(row[0], bytes(row[1])) for row in await connection.execute(query)]

    async def complete(
        self, tenant: str, store_id: str, attachment_id: str, outcome: Outcome
    ) -> Completed | None:
        """The row, its event, the end of older attachments and of their passages: all or nothing."""
        async with self._database.begin() as connection:
            store = await store_row_of(connection, tenant, store_id, lock=True)
            if store is None:
                return None
            if outcome.duplicate_of and not await self._still_there(connection, tenant, store_id, outcome):
                raise OriginalGone
            row = (
                (
                    await connection.execute(
                        update(attachments)
                        .where(*_mine(tenant, store_id, attachment_id), *_WAITING)
                        .values(
                            state=FileState.COMPLETED.value,
                            passages=outcome.passages,
                            pages=outcome.pages,
                            usage_bytes=outcome.usage_bytes,
                            language=outcome.language,
                            digest=outcome.digest,
                            signature=outcome.signature,
                            duplicate_of=outcome.duplicate_of,
                            near_duplicate_of=outcome.near_duplicate_of,
                            index_id=outcome.index_id,
                            embedding=_model(outcome),
                            reason="",
                            message="",
                        )
                        .returning(attachments)
                    )
                )
                .mappings()
                .one_or_none()
            )
            if row is None:
                return None
            if not store["embedding_version"] and outcome.embedding_version:
                await connection.execute(
                    update(stores)
                    .where(stores.c.tenant == tenant, stores.c.id == store_id)
                    .values(embedding_version=outcome.embedding_version)
                )
            await note_state(connection, tenant, store_id, [attachment_id], FileState.COMPLETED)
            if outcome.bands:
                await connection.execute(
                    insert(near_bands),
                    [
                        {
                            "tenant": tenant,
                            "store_id": store_id,
                            "band": band,
                            "attachment_id": attachment_id,
                        }
                        for band in dict.fromkeys(outcome.bands)
                    ],
                )
            replaced, heirs = await self._replace(connection, row)
            await outbox.add(connection, DOCUMENTS, events.indexed(row, seconds=outcome.seconds))
        self._announced()
        return Completed(to_attachment(row), replaced, heirs)

    async def fail(
        self, tenant: str, store_id: str, attachment_id: str, fault: FileFault, *, seconds: float, dead: bool
    ) -> bool:
        """An older attachment of the file, if there is one, goes on answering."""
        async with self._database.begin() as connection:
            row = (
                (
                    await connection.execute(
                        update(attachments)
                        .where(*_mine(tenant, store_id, attachment_id), *_WAITING)
                        .values(
                            state=FileState.FAILED.value, reason=fault.reason.value, message=fault.message
                        )
                        .returning(attachments)
                    )
                )
                .mappings()
                .one_or_none()
            )
            if row is None:
                return False
            await note_state(connection, tenant, store_id, [attachment_id], FileState.FAILED)
            await release(connection, tenant, store_id, [attachment_id])
            await outbox.add(connection, DOCUMENTS, events.indexed(row, seconds=seconds))
            if dead:
                await outbox.add(connection, DOCUMENTS + DEAD, events.added_again(row))
        self._announced()
        return True

    async def _replace(self, connection: AsyncConnection, row: Any) -> tuple[list[str], list[Attachment]]:
        """Older attachments of the same file end now."""
        tenant, store_id = row["tenant"], row["store_id"]
        old = list(
            (
                await connection.execute(
                    delete(attachments)
                    .where(
                        attachments.c.tenant == tenant,
                        attachments.c.store_id == store_id,
                        attachments.c.file_id == row["file_id"],
                        attachments.c.id != row["id"],
                        attachments.c.is_current.is_(False),
                    )
                    .returning(attachments)
                )
            ).mappings()
        )
        if not old:
            return [], []
        await forget_bands(connection, tenant, store_id, [each["id"] for each in old])
        heirs = await release(connection, tenant, store_id, {each["index_id"] for each in old})
        return [each["id"] for each in old], heirs

    async def _still_there(
        self, connection: AsyncConnection, tenant: str, store_id: str, outcome: Outcome
    ) -> bool:
        """Whether the original of a duplicate is still in the index."""
        query = select(attachments.c.id).where(
            attachments.c.tenant == tenant,
            attachments.c.store_id == store_id,
            attachments.c.index_id == outcome.index_id,
            attachments.c.state == FileState.COMPLETED.value,
        )
        return (await connection.execute(query.limit(1))).one_or_none() is not None

    async def _first(self, query: Any) -> Attachment | None:
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
            return None if row is None else to_attachment(row)


def _mine(tenant: str, store_id: str, attachment_id: str) -> tuple[Any, ...]:
    return (
        attachments.c.tenant == tenant,
        attachments.c.store_id == store_id,
        attachments.c.id == attachment_id,
    )


def _model(outcome: Outcome) -> str:
    if not outcome.embedding_model:
        return ""
    return f"{outcome.embedding_model}@{outcome.embedding_version}"
