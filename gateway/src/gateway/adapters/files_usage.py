"""What a tenant's files take, in one row: counted with them in one transaction, so that no two requests fit
into room for one. Who holds the row has the tenant's turn."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.adapters.files_tables import file_usage
from servicekit.errors import Reason, SixfoldError

_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


async def hold(connection: AsyncConnection, tenant: str) -> None:
    """Waits for the tenant's turn, and has it until the transaction ends."""
    insert = _INSERT[connection.dialect.name]
    await connection.execute(
        insert(file_usage).values(tenant=tenant, bytes=0, files=0).on_conflict_do_nothing()
    )
    await give_back(connection, tenant, 0, files=0)


async def take(
    connection: AsyncConnection, tenant: str, size: int, *, files: int, max_total: int, max_files: int
) -> None:
    """Sets room aside, in the tenant's turn. Raises INVALID_REQUEST when there is none."""
    changed = await connection.execute(
        update(file_usage)
        .where(
            file_usage.c.tenant == tenant,
            file_usage.c.bytes + size <= max_total,
            file_usage.c.files + files <= max_files,
        )
        .values(bytes=file_usage.c.bytes + size, files=file_usage.c.files + files)
    )
    if not changed.rowcount:
        raise SixfoldError(
            Reason.INVALID_REQUEST,
            f"There is no room for this file: the tenant may have {max_total} bytes in {max_files} files. "
            "Delete some first.",
            metadata={"max_bytes": str(max_total), "max_files": str(max_files)},
        )


async def give_back(connection: AsyncConnection, tenant: str, size: int, *, files: int) -> None:
    """Room that is free again."""
    await connection.execute(
        update(file_usage)
        .where(file_usage.c.tenant == tenant)
        .values(bytes=file_usage.c.bytes - size, files=file_usage.c.files - files)
    )
