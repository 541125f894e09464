"""Stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from retrieval_service.adapters.records.attach import attach
from retrieval_service.adapters.records.base import Part
from retrieval_service.adapters.records.common import (
    first_try,
    keep_answer,
    paged,
    store_counts,
    store_row_of,
    touch,
)
from retrieval_service.adapters.records.rows import Row, json, store_row, to_store
from retrieval_service.adapters.records.tables import stores
from retrieval_service.stores.records import Attempt
from retrieval_service.stores.types import NewFile, Page, Store, StoreView
from servicekit.errors import Reason, SixfoldError

_MAPPINGS = ("metadata", "weights")


class StoreRecords(Part):
    """See `retrieval_service.stores.records.Records`."""

    async def create_store(
        self, tenant: str, store: Store, files: Sequence[NewFile], attempt: Attempt
    ) -> StoreView:
        """With its first files, in one transaction."""
        if store.tenant != tenant:
            raise ValueError("the store is another tenant's")
        async with self._database.begin() as connection:
            await first_try(connection, tenant, attempt, self._clock())
            number = await connection.scalar(
                select(func.count())
                .select_from(stores)
                .where(stores.c.tenant == tenant, stores.c.deleted.is_(False))
            )
            if (number or 0) >= self._bounds.stores_a_tenant:
                raise SixfoldError(
                    Reason.INVALID_REQUEST,
                    f"There are already {self._bounds.stores_a_tenant} stores. Delete one first.",
                )
            await connection.execute(insert(stores).values(store_row(store)))
            if files:
                await attach(
                    connection,
                    tenant,
                    store.id,
                    files,
                    batch=False,
                    now=store.created_us,
                    max_files=self._bounds.files_a_store,
                )
            view = await _view(connection, tenant, store_row(store))
            await self._keep(connection, tenant, attempt, view)
        if files:
            self._announced()
        return view

    async def store(self, tenant: str, store_id: str) -> StoreView | None:
        """One that exists."""
        async with self._database.read() as connection:
            row = await store_row_of(connection, tenant, store_id)
            return None if row is None else await _view(connection, tenant, row)

    async def list_stores(self, tenant: str, page: Page, name: str) -> tuple[list[StoreView], bool]:
        """Those that exist; of this name only, if one is given."""
        query = select(stores).where(stores.c.tenant == tenant, stores.c.deleted.is_(False))
        if name:
            query = query.where(stores.c.name == name)
        async with self._database.read() as connection:
            rows, more = await paged(connection, query, stores, page, cursor="id")
            counts = await store_counts(connection, tenant, [row["id"] for row in rows])
        return [StoreView(to_store(row), *counts[row["id"]]) for row in rows], more

    async def update_store(
        self, tenant: str, store_id: str, changes: Mapping[str, Any], attempt: Attempt
    ) -> StoreView | None:
        """Only the fields named; it counts as activity."""
        now = self._clock()
        values = {key: json(value) if key in _MAPPINGS else value for key, value in changes.items()}
        async with self._database.begin() as connection:
            await first_try(connection, tenant, attempt, now)
            row = await store_row_of(connection, tenant, store_id, lock=True)
            if row is None:
                return None
            values["last_active_us"] = max(now, row["last_active_us"])
            await connection.execute(
                update(stores).where(stores.c.tenant == tenant, stores.c.id == store_id).values(values)
            )
            view = await _view(connection, tenant, {**row, **values})
            await self._keep(connection, tenant, attempt, view)
            return view

    async def delete_store(self, tenant: str, store_id: str, attempt: Attempt) -> bool:
        """Marks it: nobody sees it from now on."""
        async with self._database.begin() as connection:
            await first_try(connection, tenant, attempt, self._clock())
            if await store_row_of(connection, tenant, store_id, lock=True) is None:
                return False
            await connection.execute(
                update(stores).where(stores.c.tenant == tenant, stores.c.id == store_id).values(deleted=True)
            )
            await self._keep(connection, tenant, attempt, None)
            return True

    async def touch(self, tenant: str, store_id: str, last_active_us: int) -> None:
        """Never backwards."""
        async with self._database.begin() as connection:
            await touch(connection, tenant, store_id, last_active_us)

    async def _keep(self, connection: AsyncConnection, tenant: str, attempt: Attempt, result: Any) -> None:
        await keep_answer(
            connection, tenant, attempt, result, expires_us=self._clock() + self._bounds.answers_us
        )


async def _view(connection: AsyncConnection, tenant: str, row: Row) -> StoreView:
    counts = await store_counts(connection, tenant, [row["id"]])
    return StoreView(to_store(row), *counts[row["id"]])
