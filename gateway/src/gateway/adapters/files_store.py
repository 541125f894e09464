"""Files in the record store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.adapters.files_attempts import forget, made_before, remember
from gateway.adapters.files_tables import file_attempts, files
from gateway.adapters.files_usage import give_back, hold, take
from gateway.files.ports import Finished, Owned
from gateway.files.types import ADOPTED, Attempt, FileRecord
from servicekit.errors import Reason, SixfoldError
from servicekit.store import Store


class FilesStore:
    """`gateway.files.ports.FileRecords` over SQLite or PostgreSQL."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def reserve(
        self, owned: Owned, size: int, *, max_total: int, max_files: int, now: float, created_by: str
    ) -> None:
        async with self._store.begin() as connection:
            await hold(connection, owned.tenant)
            await take(connection, owned.tenant, size, files=1, max_total=max_total, max_files=max_files)
            await connection.execute(
                insert(files).values(
                    id=owned.id,
                    tenant=owned.tenant,
                    state="pending",
                    changed_at=now,
                    reserved=size,
                    created_by=created_by,
                    created_at=now,
                )
            )

    async def finish(
        self, file: FileRecord, attempt: Attempt | None, *, max_total: int, now: float
    ) -> Finished:
        async with self._store.begin() as connection:
            await hold(connection, file.tenant)  # equal attempts take turns
            made = await made_before(connection, attempt, now) if attempt is not None else None
            if made is not None:
                first = _one(await connection.execute(_seen(file.tenant, now).where(files.c.id == made)))
                if first is not None:
                    await connection.execute(
                        update(files).where(_of(file)).values(state="deleting", changed_at=now)
                    )
                    return Finished(first, repeated=True)
                await forget(connection, made)
            more = file.bytes - await _reserved(connection, file)
            if more > 0:
                await take(connection, file.tenant, more, files=0, max_total=max_total, max_files=_ANY)
            else:
                await give_back(connection, file.tenant, -more, files=0)
            await store_pending(connection, file)
            if attempt is not None:
                await remember(connection, attempt, file.id)
        return Finished(file, repeated=False)

    async def made_under(self, token: str) -> str | None:
        query = select(file_attempts.c.made).where(file_attempts.c.token == token)
        async with self._store.read() as connection:
            found: str | None = await connection.scalar(query)
            return found

    async def abandon(self, owned: Owned, *, now: float) -> bool:
        query = update(files).where(_of(owned), files.c.state == "pending")
        async with self._store.begin() as connection:
            changed = await connection.execute(query.values(state="deleting", changed_at=now))
            return bool(changed.rowcount)

    async def get(self, tenant: str, file_id: str, *, now: float) -> FileRecord | None:
        async with self._store.read() as connection:
            return _one(await connection.execute(_seen(tenant, now).where(files.c.id == file_id)))

    async def get_many(self, tenant: str, file_ids: Sequence[str], *, now: float) -> Sequence[FileRecord]:
        found: list[FileRecord] = []
        async with self._store.read() as connection:
            for start in range(0, len(file_ids), _AT_ONCE):
                some = list(file_ids[start : start + _AT_ONCE])
                found += _many(await connection.execute(_seen(tenant, now).where(files.c.id.in_(some))))
        return found

    async def list(
        self, tenant: str, *, purpose: str | None, after: str | None, ascending: bool, limit: int, now: float
    ) -> Sequence[FileRecord]:
        query = _seen(tenant, now)
        if purpose is not None:
            query = query.where(files.c.purpose == purpose)
        if after is not None:
            place = select(files.c.created_at).where(files.c.tenant == tenant, files.c.id == after)
            at = place.scalar_subquery()
            created, name = files.c.created_at, files.c.id
            behind = (
                or_(created > at, and_(created == at, name > after))
                if ascending
                else or_(created < at, and_(created == at, name < after))
            )
            query = query.where(behind)
        order = (files.c.created_at, files.c.id)
        query = query.order_by(*(c.asc() if ascending else c.desc() for c in order)).limit(limit)
        async with self._store.read() as connection:
            return _many(await connection.execute(query))

    async def known(self, owned: Owned) -> bool:
        query = select(files.c.id).where(_of(owned), files.c.state.in_(("stored", "deleting")))
        async with self._store.read() as connection:
            return (await connection.execute(query)).first() is not None

    async def begin_deletion(self, owned: Owned, *, now: float) -> None:
        async with self._store.begin() as connection:
            await connection.execute(
                update(files)
                .where(_of(owned), files.c.state == "stored")
                .values(state="deleting", changed_at=now)
            )

    async def end_deletion(self, owned: Owned) -> None:
        async with self._store.begin() as connection:
            gone = await connection.execute(
                delete(files).where(_of(owned), files.c.state == "deleting").returning(files.c.reserved)
            )
            row = gone.first()
            if row is not None:
                await give_back(connection, owned.tenant, int(row[0]), files=1)
                await forget(connection, owned.id, keep=ADOPTED)

    async def expired(self, *, now: float, limit: int) -> Sequence[Owned]:
        return await self._owned(files.c.state == "stored", files.c.expires_at <= now, limit=limit)

    async def half_deleted(self, *, before: float, limit: int) -> Sequence[Owned]:
        return await self._owned(files.c.state == "deleting", files.c.changed_at < before, limit=limit)

    async def given_up(self, *, before: float, limit: int) -> Sequence[Owned]:
        return await self._owned(files.c.state == "pending", files.c.changed_at < before, limit=limit)

    async def _owned(self, *where: Any, limit: int) -> Sequence[Owned]:
        query = select(files.c.tenant, files.c.id).where(*where).order_by(files.c.changed_at).limit(limit)
        async with self._store.read() as connection:
            return [Owned(str(row[0]), str(row[1])) for row in await connection.execute(query)]


_ANY = 2**62
_AT_ONCE = 500
"""Ids in one statement."""


def _of(owned: Owned | FileRecord) -> Any:
    return and_(files.c.tenant == owned.tenant, files.c.id == owned.id)


def _seen(tenant: str, now: float) -> Any:
    """What a tenant sees of its files."""
    return select(files).where(
        files.c.tenant == tenant,
        files.c.state == "stored",
        (files.c.expires_at.is_(None)) | (files.c.expires_at > now),
    )


async def _reserved(connection: AsyncConnection, file: FileRecord) -> int:
    found = await connection.scalar(select(files.c.reserved).where(_of(file), files.c.state == "pending"))
    if found is None:
        raise _gone()
    return int(found)


async def store_pending(connection: AsyncConnection, file: FileRecord) -> None:
    """The pending file is stored. Its room is counted already. Raises CONFLICT when it was given up."""
    changed = await connection.execute(
        update(files)
        .where(_of(file), files.c.state == "pending")
        .values(
            state="stored",
            changed_at=file.created_at,
            reserved=file.bytes,
            created_at=file.created_at,
            filename=file.filename,
            purpose=file.purpose,
            bytes=file.bytes,
            sha256=file.sha256,
            object_key=file.object_key,
            expires_at=file.expires_at,
        )
    )
    if not changed.rowcount:
        raise _gone()


def _gone() -> SixfoldError:
    return SixfoldError(Reason.CONFLICT, "The file took too long to arrive and was given up. Send it again.")


def _file(row: Any) -> FileRecord:
    return FileRecord(
        id=row["id"],
        tenant=row["tenant"],
        filename=row["filename"],
        bytes=row["bytes"],
        sha256=row["sha256"],
        object_key=row["object_key"],
        created_at=row["created_at"],
        purpose=row["purpose"],
        expires_at=row["expires_at"],
    )


def _one(result: Any) -> FileRecord | None:
    row = result.mappings().one_or_none()
    return None if row is None else _file(row)


def _many(result: Any) -> Sequence[FileRecord]:
    return [_file(row) for row in result.mappings()]
