"""What people do with stores and their files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from retrieval_service.documents.attributes import Attributes
from retrieval_service.documents.passage import Passage
from retrieval_service.stores import ids
from retrieval_service.stores.opened import OpenStores, no_store
from retrieval_service.stores.records import Added, Attempt, Records, Removed
from retrieval_service.stores.types import Attachment, Batch, FileState, NewFile, Page, Store, StoreView
from servicekit.errors import Reason, SixfoldError


class Stores:
    """Every method takes the tenant of the verified caller first. What is not the tenant's is NOT_FOUND."""

    def __init__(
        self,
        records: Records,
        opened: OpenStores,
        *,
        embedding_model: str,
        removed: Callable[[], None] = lambda: None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        """New stores take `embedding_model`. `removed` is called when an index has something to forget."""
        self._records = records
        self._opened = opened
        self._embedding_model = embedding_model
        self._removed = removed
        self._clock = clock

    async def create(
        self,
        tenant: str,
        attempt: Attempt,
        *,
        name: str,
        description: str,
        expires_after_days: int,
        metadata: Mapping[str, str],
        files: Sequence[NewFile],
    ) -> StoreView:
        """A new store, with its first files."""
        now = self._clock()
        store = Store(
            tenant=tenant,
            id=ids.store_id(),
            name=name,
            description=description,
            created_us=now,
            last_active_us=now,
            expires_after_days=expires_after_days,
            metadata=metadata,
            weights={},
            threshold=None,
            embedding_model=self._embedding_model,
        )
        return await self._records.create_store(tenant, store, files, attempt)

    async def get(self, tenant: str, store_id: str) -> StoreView:
        """As it stands; what was searched a moment ago is active now."""
        view = await self._records.store(tenant, store_id)
        if view is None:
            raise no_store()
        opened = self._opened.peek(tenant, store_id)
        if opened is not None and opened.store.last_active_us > view.store.last_active_us:
            return replace(view, store=replace(view.store, last_active_us=opened.store.last_active_us))
        return view

    async def list_stores(self, tenant: str, page: Page, name: str) -> tuple[list[StoreView], bool]:
        """A page of them."""
        return await self._records.list_stores(tenant, page, name)

    async def update(
        self, tenant: str, store_id: str, attempt: Attempt, changes: Mapping[str, Any]
    ) -> StoreView:
        """Only what `changes` names."""
        await self._usable(tenant, store_id)
        async with self._opened.lock(tenant, store_id):
            view = await self._records.update_store(tenant, store_id, changes, attempt)
            if view is None:
                raise no_store()
            opened = self._opened.peek(tenant, store_id)
            if opened is not None:
                opened.renew(view.store)
        return view

    async def delete(self, tenant: str, store_id: str, attempt: Attempt) -> None:
        """Nobody finds it when this returns. Its index goes afterwards."""
        if not await self._records.delete_store(tenant, store_id, attempt):
            raise no_store()
        async with self._opened.lock(tenant, store_id):
            opened = self._opened.peek(tenant, store_id)
            if opened is not None:
                opened.forget()
        self._removed()

    async def add_files(
        self, tenant: str, store_id: str, attempt: Attempt, files: Sequence[NewFile], *, batch: bool
    ) -> Added:
        """Returns when they are recorded; indexing follows."""
        await self._usable(tenant, store_id)
        async with self._opened.lock(tenant, store_id):
            added = await self._records.add_files(tenant, store_id, files, batch=batch, attempt=attempt)
            if added is None:
                raise no_store()
            self._swap(tenant, store_id, added.changed)
        return added

    async def file(self, tenant: str, store_id: str, file_id: str) -> Attachment:
        """As its owner sees it."""
        found = await self._records.attachment(tenant, store_id, file_id)
        if found is None:
            raise _no_file()
        return found

    async def list_files(
        self, tenant: str, store_id: str, page: Page, *, batch_id: str = "", state: FileState | None = None
    ) -> tuple[list[Attachment], bool]:
        """A page of a store's files, or of a batch's."""
        if batch_id:
            await self.batch(tenant, store_id, batch_id)
        else:
            await self.get(tenant, store_id)
        return await self._records.list_files(tenant, store_id, page, batch_id=batch_id, state=state)

    async def update_file(
        self, tenant: str, store_id: str, file_id: str, attempt: Attempt, attributes: Attributes
    ) -> Attachment:
        """Searches see it when this returns."""
        async with self._opened.lock(tenant, store_id):
            changed = await self._records.update_file(tenant, store_id, file_id, attributes, attempt)
            if changed is None:
                raise _no_file()
            attachment, answering = changed
            self._swap(tenant, store_id, answering)
        return attachment

    async def remove_file(self, tenant: str, store_id: str, file_id: str, attempt: Attempt) -> None:
        """No search finds it when this returns."""
        removed = await self._records.remove_file(tenant, store_id, file_id, attempt)
        if removed is None:
            raise _no_file()
        await self._take_out(tenant, removed)

    async def remove_document(self, tenant: str, file_id: str, attempt: Attempt) -> Removed:
        """Out of every store, and kept out."""
        removed = await self._records.remove_document(tenant, file_id, attempt)
        await self._take_out(tenant, removed)
        return removed

    async def batch(self, tenant: str, store_id: str, batch_id: str) -> Batch:
        """As it stands."""
        found = await self._records.batch(tenant, store_id, batch_id)
        if found is None:
            raise _no_batch()
        return found

    async def cancel_batch(self, tenant: str, store_id: str, batch_id: str, attempt: Attempt) -> Batch:
        """What is indexed already stays."""
        found = await self._records.cancel_batch(tenant, store_id, batch_id, attempt)
        if found is None:
            raise _no_batch()
        return found

    async def passages(
        self, tenant: str, store_id: str, file_id: str, *, start: int, limit: int
    ) -> tuple[list[tuple[str, Passage]], int]:
        """A slice of a file's passages with their ids, and how many there are."""
        await self.file(tenant, store_id, file_id)
        answering = await self._records.answering(tenant, store_id, file_id)
        if answering is None or start >= answering.passages:
            return [], answering.passages if answering else 0
        names = [
            f"{answering.index_id}:{index}" for index in range(start, min(start + limit, answering.passages))
        ]
        async with self._opened.use(tenant, store_id) as opened:
            found = await opened.call(opened.arms.lexical.passages, names)
        return [(name, found[name]) for name in names if name in found], answering.passages

    async def _usable(self, tenant: str, store_id: str) -> None:
        view = await self.get(tenant, store_id)
        if view.store.expired(self._clock()):
            raise SixfoldError(Reason.INVALID_REQUEST, "The store has expired.", param="store_id")

    async def _take_out(self, tenant: str, removed: Removed) -> None:
        for store_id, gone in removed.attachments.items():
            heirs = [heir for heir in removed.heirs if heir.store_id == store_id]
            async with self._opened.lock(tenant, store_id):
                self._swap(tenant, store_id, heirs, gone)
        self._removed()

    def _swap(self, tenant: str, store_id: str, new: Iterable[Attachment], gone: Iterable[str] = ()) -> None:
        opened = self._opened.peek(tenant, store_id)
        if opened is not None:
            opened.table.swap(new, gone)


def _no_file() -> SixfoldError:
    return SixfoldError(Reason.NOT_FOUND, "There is no such file in this store.", param="file_id")


def _no_batch() -> SixfoldError:
    return SixfoldError(Reason.NOT_FOUND, "There is no such batch in this store.", param="batch_id")
