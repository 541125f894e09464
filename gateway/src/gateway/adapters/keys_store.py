"""API keys in the record store.

Every change takes the next value of one counter row first. Its row lock puts changes in commit order, so
a reader that goes on from the last revision it saw misses nothing, whatever the clocks say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.adapters.keys_tables import api_key_attempts, api_key_revision, api_keys
from gateway.identity.api_keys import ApiKey
from gateway.identity.principal import KeyLimits
from gateway.identity.store import Attempt, Created
from servicekit.errors import Reason, SixfoldError
from servicekit.store import Store


class KeysStore:
    """`gateway.identity.store.KeyStore` over SQLite or PostgreSQL."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(self, key: ApiKey, attempt: Attempt | None, *, max_keys: int, now: float) -> Created:
        async with self._store.begin() as connection:
            revision = await _next_revision(connection)
            if attempt is not None:
                repeat = await _repeat(connection, key.tenant, attempt, now)
                if repeat is not None:
                    return repeat
            await _check_room(connection, key.tenant, max_keys, now)
            row = _row(key, revision)
            await connection.execute(insert(api_keys).values(row))
            if attempt is not None:
                await connection.execute(
                    insert(api_key_attempts).values(
                        token=attempt.token,
                        fingerprint=attempt.fingerprint,
                        key_id=key.id,
                        sealed=attempt.sealed,
                        expires_at=attempt.expires_at,
                    )
                )
        return Created(_key(row), None)

    async def get(self, tenant: str, key_id: str) -> ApiKey | None:
        query = select(api_keys).where(api_keys.c.tenant == tenant, api_keys.c.id == key_id)
        async with self._store.read() as connection:
            return _one(await connection.execute(query))

    async def list(self, tenant: str, *, after: str | None, limit: int) -> Sequence[ApiKey]:
        query = select(api_keys).where(api_keys.c.tenant == tenant)
        if after is not None:
            place = select(api_keys.c.created_revision).where(
                api_keys.c.tenant == tenant, api_keys.c.id == after
            )
            query = query.where(api_keys.c.created_revision < place.scalar_subquery())
        query = query.order_by(api_keys.c.created_revision.desc()).limit(limit)
        async with self._store.read() as connection:
            return _many(await connection.execute(query))

    async def revoke(self, tenant: str, key_id: str, *, at: float) -> ApiKey | None:
        mine = (api_keys.c.tenant == tenant, api_keys.c.id == key_id)
        async with self._store.begin() as connection:
            revision = await _next_revision(connection)
            await connection.execute(
                update(api_keys)
                .where(*mine, api_keys.c.revoked_at.is_(None))
                .values(revoked_at=at, revision=revision)
            )
            return _one(await connection.execute(select(api_keys).where(*mine)))

    async def changes(self, after: int, limit: int) -> Sequence[ApiKey]:
        query = select(api_keys).where(api_keys.c.revision > after).order_by(api_keys.c.revision).limit(limit)
        async with self._store.read() as connection:
            return _many(await connection.execute(query))

    async def find(self, key_id: str) -> ApiKey | None:
        async with self._store.read() as connection:
            return _one(await connection.execute(select(api_keys).where(api_keys.c.id == key_id)))


async def _next_revision(connection: AsyncConnection) -> int:
    changed = await connection.execute(
        update(api_key_revision)
        .where(api_key_revision.c.id == 1)
        .values(value=api_key_revision.c.value + 1)
        .returning(api_key_revision.c.value)
    )
    return int(changed.scalar_one())


async def _repeat(connection: AsyncConnection, tenant: str, attempt: Attempt, now: float) -> Created | None:
    """The first answer to an attempt that was made before; forgets those that are too old."""
    await connection.execute(delete(api_key_attempts).where(api_key_attempts.c.expires_at <= now))
    found = await connection.execute(
        select(api_key_attempts).where(api_key_attempts.c.token == attempt.token)
    )
    row = found.mappings().one_or_none()
    if row is None:
        return None
    key = _one(
        await connection.execute(
            select(api_keys).where(api_keys.c.tenant == tenant, api_keys.c.id == row["key_id"])
        )
    )
    if key is None:
        return None
    first = Attempt(bytes(row["token"]), bytes(row["fingerprint"]), bytes(row["sealed"]), row["expires_at"])
    return Created(key, first)


async def _check_room(connection: AsyncConnection, tenant: str, max_keys: int, now: float) -> None:
    usable = await connection.scalar(
        select(func.count())
        .select_from(api_keys)
        .where(
            api_keys.c.tenant == tenant,
            api_keys.c.revoked_at.is_(None),
            (api_keys.c.expires_at.is_(None)) | (api_keys.c.expires_at > now),
        )
    )
    if (usable or 0) >= max_keys:
        raise SixfoldError(
            Reason.INVALID_REQUEST, f"The tenant already has {max_keys} usable API keys. Revoke one first."
        )


def _row(key: ApiKey, revision: int) -> dict[str, Any]:
    limits = key.limits or KeyLimits()
    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "role": key.role,
        "scopes": " ".join(sorted(key.scopes)),
        "digest": key.digest,
        "created_at": key.created_at,
        "created_by": key.created_by,
        "created_revision": revision,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "concurrency": limits.concurrency,
        "revision": revision,
    }


def _key(row: Any) -> ApiKey:
    limits = KeyLimits(row["requests_per_minute"], row["tokens_per_minute"], row["concurrency"])
    return ApiKey(
        id=row["id"],
        tenant=row["tenant"],
        name=row["name"],
        role=row["role"],
        scopes=frozenset(row["scopes"].split()),
        digest=bytes(row["digest"]),
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        limits=None if limits == KeyLimits() else limits,
        revision=row["revision"],
    )


def _one(result: Any) -> ApiKey | None:
    row = result.mappings().one_or_none()
    return None if row is None else _key(row)


def _many(result: Any) -> Sequence[ApiKey]:
    return [_key(row) for row in result.mappings()]
