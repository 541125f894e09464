"""Attaching files: which are new, which are known, which are to be indexed anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from retrieval_service.adapters.records import events
from retrieval_service.adapters.records.common import SLICE, batch_counts, note_state, touch
from retrieval_service.adapters.records.rows import attachment_row, json, to_attachment, to_batch
from retrieval_service.adapters.records.tables import attachments, batch_files, batches, tombstones
from retrieval_service.stores import ids
from retrieval_service.stores.records import Added
from retrieval_service.stores.types import Attachment, FileState, NewFile
from servicekit import outbox
from servicekit.bus.topics import DOCUMENTS
from servicekit.errors import Reason, SixfoldError

_ATTACHED = (FileState.IN_PROGRESS.value, FileState.COMPLETED.value)


async def attach(
    connection: AsyncConnection,
    tenant: str,
    store_id: str,
    files: Sequence[NewFile],
    *,
    batch: bool,
    now: int,
    max_files: int,
) -> Added:
    """Within the caller's transaction, which has locked the store.

    A file that is there with the same content and cut keeps its place; only its attributes may change. With
    others it gets a new attachment, and the one in the index answers until that is complete. One that had
    failed or was called off is tried anew.
    """
    names = list({new.file.id for new in files})
    await _refuse_removed(connection, tenant, files, names)
    current = await _rows_of(connection, tenant, store_id, names)
    await _check_room(connection, tenant, store_id, len(set(names) - current.keys()), max_files)
    batch_id = ids.batch_id() if batch else ""
    if batch:
        await connection.execute(
            insert(batches).values(
                tenant=tenant, store_id=store_id, id=batch_id, created_us=now, cancelled=False
            )
        )
    new_rows: dict[str, dict[str, Any]] = {}
    changed: list[Attachment] = []
    for offset, new in enumerate(files):
        row = current.get(new.file.id)
        if row is not None and _same(row, new):
            changed += await _set_attributes(connection, row, new)
            continue
        if row is not None:
            await _step_aside(connection, row, new_rows)
        fresh = attachment_row(
            tenant, store_id, ids.attachment_id(), new, created_us=now + offset, batch_id=batch_id
        )
        current[new.file.id] = new_rows[fresh["id"]] = fresh
    announced = []
    for row in new_rows.values():
        event = events.added(row)
        row["event_id"], row["traceparent"] = event.id, event.traceparent
        announced.append(event)
    if new_rows:
        await connection.execute(insert(attachments), list(new_rows.values()))
    if batch:
        members = {current[new.file.id]["id"]: current[new.file.id]["state"] for new in files}
        await connection.execute(
            insert(batch_files),
            [
                {
                    "tenant": tenant,
                    "store_id": store_id,
                    "batch_id": batch_id,
                    "attachment_id": attachment_id,
                    "state": state,
                }
                for attachment_id, state in members.items()
            ],
        )
    await outbox.add(connection, DOCUMENTS, *announced)
    await touch(connection, tenant, store_id, now)
    made = None
    if batch:
        row_of_batch = {
            "tenant": tenant, "store_id": store_id, "id": batch_id, "created_us": now, "cancelled": False,
        }  # fmt: skip
        made = to_batch(row_of_batch, await batch_counts(connection, tenant, store_id, batch_id))
    return Added([to_attachment(current[new.file.id]) for new in files], made, changed)


def _same(row: dict[str, Any], new: NewFile) -> bool:
    """Whether indexing it again would change nothing."""
    return (
        row["state"] in _ATTACHED
        and row["sha256"] == new.file.sha256
        and row["max_tokens"] == new.chunking.max_tokens
        and row["overlap_tokens"] == new.chunking.overlap_tokens
    )


async def _set_attributes(connection: AsyncConnection, row: dict[str, Any], new: NewFile) -> list[Attachment]:
    attributes = json(new.attributes)
    if row["attributes"] == attributes:
        return []
    row["attributes"] = attributes
    return await set_attributes(connection, row["tenant"], row["store_id"], row["file_id"], attributes)


async def set_attributes(
    connection: AsyncConnection, tenant: str, store_id: str, file_id: str, attributes: str
) -> list[Attachment]:
    """Of the file, wherever it stands in the store. Returns the attachments that answer."""
    mine = (
        attachments.c.tenant == tenant,
        attachments.c.store_id == store_id,
        attachments.c.file_id == file_id,
    )
    await connection.execute(update(attachments).where(*mine).values(attributes=attributes))
    found = await connection.execute(
        select(attachments).where(*mine, attachments.c.state == FileState.COMPLETED.value)
    )
    return [to_attachment(row) for row in found.mappings()]


async def _step_aside(
    connection: AsyncConnection, row: dict[str, Any], new_rows: dict[str, dict[str, Any]]
) -> None:
    """A completed one answers on until its successor is complete; any other is superseded now."""
    if new_rows.pop(row["id"], None) is not None:  # named twice in one call: the last one counts
        return
    mine = (
        attachments.c.tenant == row["tenant"],
        attachments.c.store_id == row["store_id"],
        attachments.c.id == row["id"],
    )
    if row["state"] == FileState.COMPLETED.value:
        await connection.execute(update(attachments).where(*mine).values(is_current=False))
        return
    await connection.execute(delete(attachments).where(*mine))
    if row["state"] == FileState.IN_PROGRESS.value:
        await note_state(connection, row["tenant"], row["store_id"], [row["id"]], FileState.CANCELLED)


async def _refuse_removed(
    connection: AsyncConnection, tenant: str, files: Sequence[NewFile], names: Sequence[str]
) -> None:
    for start in range(0, len(names), SLICE):
        gone = (
            await connection.execute(
                select(tombstones.c.file_id).where(
                    tombstones.c.tenant == tenant,
                    tombstones.c.file_id.in_(names[start : start + SLICE]),
                )
            )
        ).scalars()
        for name in gone:
            index = next(i for i, new in enumerate(files) if new.file.id == name)
            raise SixfoldError(Reason.NOT_FOUND, "There is no such file.", param=f"files[{index}]")


async def _rows_of(
    connection: AsyncConnection, tenant: str, store_id: str, names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for start in range(0, len(names), SLICE):
        found = await connection.execute(
            select(attachments).where(
                attachments.c.tenant == tenant,
                attachments.c.store_id == store_id,
                attachments.c.is_current,
                attachments.c.file_id.in_(names[start : start + SLICE]),
            )
        )
        rows.update({row["file_id"]: dict(row) for row in found.mappings()})
    return rows


async def _check_room(
    connection: AsyncConnection, tenant: str, store_id: str, more: int, max_files: int
) -> None:
    number = await connection.scalar(
        select(func.count())
        .select_from(attachments)
        .where(attachments.c.tenant == tenant, attachments.c.store_id == store_id, attachments.c.is_current)
    )
    if (number or 0) + more > max_files:
        raise SixfoldError(Reason.INVALID_REQUEST, f"A store holds at most {max_files} files.")
