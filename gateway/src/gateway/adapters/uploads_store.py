"""Uploads and their parts in the record store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.adapters.files_attempts import forget, made_before, remember
from gateway.adapters.files_store import store_pending
from gateway.adapters.files_tables import file_attempts, upload_parts, uploads
from gateway.adapters.files_usage import give_back, hold, take
from gateway.files.ports import Begun, Owned
from gateway.files.types import Attempt, FileRecord, Upload, UploadPart
from servicekit.errors import Reason, SixfoldError
from servicekit.store import Store


class UploadsStore:
    """`gateway.files.ports.UploadRecords` over SQLite or PostgreSQL."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def begin(
        self, upload: Upload, attempt: Attempt, *, max_total: int, max_files: int, created_by: str
    ) -> Begun:
        async with self._store.begin() as connection:
            await hold(connection, upload.tenant)
            made = await made_before(connection, attempt, upload.created_at)
            first = None if made is None else await _upload(connection, upload.tenant, made)
            if first is not None:
                return Begun(first, repeated=True)
            if made is not None:
                await forget(connection, made)
            await take(
                connection, upload.tenant, upload.bytes, files=1, max_total=max_total, max_files=max_files
            )
            await connection.execute(insert(uploads).values(_row(upload, created_by)))
            await remember(connection, attempt, upload.id)
        return Begun(upload, repeated=False)

    async def get(self, tenant: str, upload_id: str) -> Upload | None:
        async with self._store.read() as connection:
            return await _upload(connection, tenant, upload_id)

    async def add_part(self, tenant: str, part: UploadPart, token: str, *, max_parts: int) -> UploadPart:
        async with self._store.begin() as connection:
            upload = await _locked(connection, tenant, part.upload_id)
            if upload is None or upload.state != "pending":
                raise SixfoldError(Reason.CONFLICT, "The upload has ended: it takes no more parts.")
            mine = upload_parts.c.upload_id == upload.id
            found = await connection.execute(select(upload_parts).where(mine, upload_parts.c.token == token))
            if (row := found.mappings().one_or_none()) is not None:
                return _part(row)
            count, size = (
                await connection.execute(select(func.count(), func.sum(upload_parts.c.bytes)).where(mine))
            ).one()
            if count >= max_parts:
                raise SixfoldError(Reason.INVALID_REQUEST, f"An upload has at most {max_parts} parts.")
            # A part that is sent again may lie there twice; more than that is a mistake.
            if int(size or 0) + part.bytes > 2 * upload.bytes:
                raise SixfoldError(
                    Reason.INVALID_REQUEST,
                    f"The parts have more bytes than the {upload.bytes} that the upload was to have.",
                    param="data",
                )
            await connection.execute(
                insert(upload_parts).values(
                    id=part.id,
                    upload_id=part.upload_id,
                    token=token,
                    bytes=part.bytes,
                    object_key=part.object_key,
                    created_at=part.created_at,
                )
            )
        return part

    async def parts(self, tenant: str, upload_id: str, part_ids: Sequence[str]) -> Sequence[UploadPart]:
        query = (
            select(upload_parts)
            .join(uploads, uploads.c.id == upload_parts.c.upload_id)
            .where(uploads.c.tenant == tenant, uploads.c.id == upload_id)
        )
        async with self._store.read() as connection:
            found = {row["id"]: _part(row) for row in (await connection.execute(query)).mappings()}
        return [found[part_id] for part_id in part_ids if part_id in found]

    async def complete(self, upload: Upload, file: FileRecord, *, now: float) -> Upload:
        async with self._store.begin() as connection:
            changed = await connection.execute(
                update(uploads)
                .where(_of(upload.tenant, upload.id), uploads.c.state == "pending")
                .values(state="completed", file_id=file.id)
            )
            if changed.rowcount:
                await store_pending(connection, file)
                # The file counts for itself now: as one, and its bytes are those of the upload.
                await give_back(connection, upload.tenant, 0, files=1)
            ended = await _upload(connection, upload.tenant, upload.id)
        assert ended is not None
        return ended

    async def cancel(self, tenant: str, upload_id: str) -> Upload | None:
        async with self._store.begin() as connection:
            upload = await _locked(connection, tenant, upload_id)
            if upload is not None and upload.state == "pending":
                await _end(connection, upload, "cancelled")
                upload = await _upload(connection, tenant, upload_id)
        return upload

    async def expire(self, *, now: float, limit: int) -> int:
        query = select(uploads).where(uploads.c.state == "pending", uploads.c.expires_at <= now).limit(limit)
        async with self._store.read() as connection:
            late = [_made(row) for row in (await connection.execute(query)).mappings()]
        for upload in late:
            async with self._store.begin() as connection:
                await _end(connection, upload, "expired")
        return len(late)

    async def ended(self, *, limit: int) -> Sequence[Owned]:
        query = (
            select(uploads.c.tenant, uploads.c.id)
            .where(uploads.c.state != "pending", uploads.c.cleared.is_(False))
            .order_by(uploads.c.created_at)
            .limit(limit)
        )
        async with self._store.read() as connection:
            return [Owned(str(row[0]), str(row[1])) for row in await connection.execute(query)]

    async def cleared(self, owned: Owned) -> None:
        async with self._store.begin() as connection:
            await connection.execute(delete(upload_parts).where(upload_parts.c.upload_id == owned.id))
            await connection.execute(update(uploads).where(_of(*owned)).values(cleared=True))

    async def forget(self, *, before: float, limit: int) -> None:
        old = (
            select(uploads.c.id)
            .where(uploads.c.state != "pending", uploads.c.cleared.is_(True), uploads.c.created_at < before)
            .limit(limit)
        )
        async with self._store.read() as connection:
            ids = [str(row[0]) for row in await connection.execute(old)]
        if ids:
            async with self._store.begin() as connection:
                await connection.execute(delete(file_attempts).where(file_attempts.c.made.in_(ids)))
                await connection.execute(delete(uploads).where(uploads.c.id.in_(ids)))


def _of(tenant: str, upload_id: str) -> Any:
    return and_(uploads.c.tenant == tenant, uploads.c.id == upload_id)


async def _upload(connection: AsyncConnection, tenant: str, upload_id: str) -> Upload | None:
    found = await connection.execute(select(uploads).where(_of(tenant, upload_id)))
    row = found.mappings().one_or_none()
    return None if row is None else _made(row)


async def _locked(connection: AsyncConnection, tenant: str, upload_id: str) -> Upload | None:
    """The upload, whose turn is ours until the transaction ends."""
    await connection.execute(update(uploads).where(_of(tenant, upload_id)).values(cleared=uploads.c.cleared))
    return await _upload(connection, tenant, upload_id)


async def _end(connection: AsyncConnection, upload: Upload, state: str) -> None:
    changed = await connection.execute(
        update(uploads).where(_of(upload.tenant, upload.id), uploads.c.state == "pending").values(state=state)
    )
    if changed.rowcount:
        await give_back(connection, upload.tenant, upload.bytes, files=1)


def _row(upload: Upload, created_by: str) -> dict[str, Any]:
    return {
        "id": upload.id,
        "tenant": upload.tenant,
        "state": upload.state,
        "cleared": False,
        "created_by": created_by,
        "created_at": upload.created_at,
        "expires_at": upload.expires_at,
        "filename": upload.filename,
        "purpose": upload.purpose,
        "bytes": upload.bytes,
        "mime_type": upload.mime_type,
        "file_expires_after": upload.file_expires_after,
        "file_id": upload.file_id,
    }


def _made(row: Any) -> Upload:
    return Upload(
        id=row["id"],
        tenant=row["tenant"],
        filename=row["filename"],
        purpose=row["purpose"],
        bytes=row["bytes"],
        mime_type=row["mime_type"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        state=row["state"],
        file_id=row["file_id"],
        file_expires_after=row["file_expires_after"],
    )


def _part(row: Any) -> UploadPart:
    return UploadPart(row["id"], row["upload_id"], row["bytes"], row["object_key"], row["created_at"])
