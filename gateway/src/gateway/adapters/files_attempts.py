"""Idempotent creations of files and uploads: a name, what it was used for, and what it made."""

from __future__ import annotations

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.adapters.files_tables import file_attempts
from gateway.files.types import Attempt
from servicekit.errors import Reason, SixfoldError


async def made_before(connection: AsyncConnection, attempt: Attempt, now: float) -> str | None:
    """The id of what this attempt made. Raises ALREADY_EXISTS when it was made for something else."""
    await connection.execute(delete(file_attempts).where(file_attempts.c.expires_at <= now))
    found = await connection.execute(select(file_attempts).where(file_attempts.c.token == attempt.token))
    row = found.mappings().one_or_none()
    if row is None:
        return None
    if bytes(row["fingerprint"]) != attempt.fingerprint:
        raise SixfoldError(
            Reason.ALREADY_EXISTS,
            "This Idempotency-Key was used for a different request.",
            param="Idempotency-Key",
        )
    return str(row["made"])


async def remember(connection: AsyncConnection, attempt: Attempt, made: str) -> None:
    """What this attempt made."""
    await connection.execute(
        insert(file_attempts).values(
            token=attempt.token, fingerprint=attempt.fingerprint, made=made, expires_at=attempt.expires_at
        )
    )


async def forget(connection: AsyncConnection, made: str, *, keep: str = "") -> None:
    """What was made is gone: the same request makes it anew. Not one whose name begins with `keep`."""
    query = delete(file_attempts).where(file_attempts.c.made == made)
    if keep:
        query = query.where(file_attempts.c.token.not_like(f"{keep}%"))
    await connection.execute(query)
