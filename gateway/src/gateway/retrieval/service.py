"""What callers may do with vector stores: scopes, ids, and files that are their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.identity.principal import Principal, require
from gateway.identity.roles import SEARCH_READ, STORES_READ, STORES_WRITE
from gateway.openai import fields
from gateway.retrieval.filters import Filter
from gateway.retrieval.ids import BATCH, FILE, STORE, check_cursor, check_id, not_found
from gateway.retrieval.ports import FileSource, Retrieval
from gateway.retrieval.types import (
    Attributes,
    Batch,
    Chunking,
    FileRef,
    FileStatus,
    FileToAdd,
    Found,
    Page,
    Passage,
    Passages,
    Store,
    StoreFile,
    StoreFiles,
    Stores,
)
from gateway.routing.ports import Asker

AUTO = Chunking()
"""As the retrieval service finds right."""
MAX_FILES = 500
"""Files of one request."""
_PASSAGES = 200
_PAGE_CHARACTERS = 4_000_000
"""A page of a file's content ends behind the passages that pass this."""


class Call(NamedTuple):
    """Who asks, and the names of the request."""

    caller: Principal
    request_id: str
    """In logs and traces."""
    change: str = ""
    """Of what it changes: the same change has no second effect."""

    @property
    def asker(self) -> Asker:
        """For the retrieval service."""
        return Asker(self.caller.tenant, self.caller.subject, self.request_id)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to attach, by its id."""

    file_id: str
    attributes: Attributes = field(default_factory=dict)
    chunking: Chunking = AUTO


class StoresService:
    """Stores of the caller's tenant. Every method raises SixfoldError."""

    def __init__(self, retrieval: Retrieval, files: FileSource, *, deadline: float) -> None:
        """`deadline` is how many seconds one call to the retrieval service may take."""
        self._retrieval = retrieval
        self._files = files
        self._deadline = deadline

    async def create(
        self,
        call: Call,
        *,
        name: str,
        description: str,
        expires_after_days: int,
        metadata: Mapping[str, str],
        files: Sequence[Wanted],
    ) -> Store:
        """A new store. NOT_FOUND, and no store, when one of the files is not the tenant's."""
        require(call.caller, STORES_WRITE)
        return await self._retrieval.create_store(
            call.asker,
            call.change,
            name=name,
            description=description,
            expires_after_days=expires_after_days,
            metadata=metadata,
            files=await self._resolved(call, files, "file_ids"),
            deadline=self._deadline,
        )

    async def list(self, call: Call, page: Page, *, name: str = "") -> Stores:
        """The tenant's stores."""
        require(call.caller, STORES_READ)
        return await self._retrieval.list_stores(
            call.asker, _checked(page, STORE), name=name, deadline=self._deadline
        )

    async def get(self, call: Call, store_id: str) -> Store:
        """One store."""
        require(call.caller, STORES_READ)
        check_id(STORE, store_id)
        return await self._retrieval.get_store(call.asker, store_id, deadline=self._deadline)

    async def update(
        self,
        call: Call,
        store_id: str,
        *,
        name: str | None,
        expires_after_days: int | None,
        metadata: Mapping[str, str] | None,
    ) -> Store:
        """Changes what is not None."""
        require(call.caller, STORES_WRITE)
        check_id(STORE, store_id)
        return await self._retrieval.update_store(
            call.asker,
            call.change,
            store_id,
            name=name,
            expires_after_days=expires_after_days,
            metadata=metadata,
            deadline=self._deadline,
        )

    async def delete(self, call: Call, store_id: str) -> None:
        """Deletes a store with its index; files stay."""
        require(call.caller, STORES_WRITE)
        check_id(STORE, store_id)
        await self._retrieval.delete_store(call.asker, call.change, store_id, deadline=self._deadline)

    async def add_file(self, call: Call, store_id: str, wanted: Wanted) -> StoreFile:
        """Attaches one file."""
        require(call.caller, STORES_WRITE)
        check_id(STORE, store_id)
        files = await self._resolved(call, [wanted], "file_id")
        added = await self._retrieval.add_files(
            call.asker, call.change, store_id, files, batch=False, deadline=self._deadline
        )
        return added.files[0]

    async def add_batch(self, call: Call, store_id: str, wanted: Sequence[Wanted], param: str) -> Batch:
        """Attaches files as a batch: all of them, or none when one is not the tenant's."""
        require(call.caller, STORES_WRITE)
        check_id(STORE, store_id)
        files = await self._resolved(call, wanted, param)
        added = await self._retrieval.add_files(
            call.asker, call.change, store_id, files, batch=True, deadline=self._deadline
        )
        assert added.batch is not None
        return added.batch

    async def get_file(self, call: Call, store_id: str, file_id: str) -> StoreFile:
        """One file of a store."""
        require(call.caller, STORES_READ)
        check_id(STORE, store_id)
        check_id(FILE, file_id)
        return await self._retrieval.get_file(call.asker, store_id, file_id, deadline=self._deadline)

    async def list_files(
        self, call: Call, store_id: str, page: Page, *, batch_id: str | None, status: FileStatus | None
    ) -> StoreFiles:
        """A store's files, or a batch's."""
        require(call.caller, STORES_READ)
        check_id(STORE, store_id)
        if batch_id is not None:
            check_id(BATCH, batch_id)
        return await self._retrieval.list_files(
            call.asker,
            store_id,
            _checked(page, FILE),
            batch_id=batch_id or "",
            status=status,
            deadline=self._deadline,
        )

    async def update_file(self, call: Call, store_id: str, file_id: str, attributes: Attributes) -> StoreFile:
        """Replaces a file's attributes."""
        require(call.caller, STORES_WRITE)
        check_id(STORE, store_id)
        check_id(FILE, file_id)
        return await self._retrieval.update_file(
            call.asker, call.change, store_id, file_id, attributes, deadline=self._deadline
        )

    async def remove_file(self, call: Call, store_id: str, file_id: str) -> None:
        """Takes a file out of a store. When it returns no search finds it there."""
        require(call.caller, STORES_WRITE)
        check_id(STORE, store_id)
        check_id(FILE, file_id)
        await self._retrieval.remove_file(call.asker, call.change, store_id, file_id, deadline=self._deadline)

    async def content(self, call: Call, store_id: str, file_id: str, page_token: str) -> Passages:
        """What was read out of a file, from where `page_token` says, several million characters at most."""
        require(call.caller, STORES_READ)
        check_id(STORE, store_id)
        check_id(FILE, file_id)
        read: list[Passage] = []
        characters = 0
        while True:
            page = await self._retrieval.list_passages(
                call.asker,
                store_id,
                file_id,
                page_size=_PASSAGES,
                page_token=page_token,
                deadline=self._deadline,
            )
            read += page.data
            characters += sum(len(passage.text) for passage in page.data)
            page_token = page.next_page
            if not page_token or not page.data or characters > _PAGE_CHARACTERS:
                return Passages(tuple(read), page_token)

    async def get_batch(self, call: Call, store_id: str, batch_id: str) -> Batch:
        """One batch."""
        require(call.caller, STORES_READ)
        check_id(STORE, store_id)
        check_id(BATCH, batch_id)
        return await self._retrieval.get_batch(call.asker, store_id, batch_id, deadline=self._deadline)

    async def cancel_batch(self, call: Call, store_id: str, batch_id: str) -> Batch:
        """Calls off what is not indexed yet."""
        require(call.caller, STORES_WRITE)
        check_id(STORE, store_id)
        check_id(BATCH, batch_id)
        return await self._retrieval.cancel_batch(
            call.asker, call.change, store_id, batch_id, deadline=self._deadline
        )

    async def search(
        self,
        call: Call,
        store_id: str,
        queries: Sequence[str],
        *,
        max_results: int,
        filter: Filter | None,
        threshold: float,
        weight: float | None,
    ) -> Found:
        """The best passages of one store."""
        require(call.caller, SEARCH_READ)
        check_id(STORE, store_id)
        return await self._retrieval.search(
            call.asker,
            [store_id],
            queries,
            max_results=max_results,
            filter=filter,
            threshold=threshold,
            weight=weight,
            deadline=self._deadline,
        )

    async def _resolved(self, call: Call, wanted: Sequence[Wanted], param: str) -> Sequence[FileToAdd]:
        """The files with what the index must know of them, each once. All are the tenant's, or NOT_FOUND."""
        if len(wanted) > MAX_FILES:
            raise fields.invalid(param, f"more than {MAX_FILES} entries.")
        unique: dict[str, Wanted] = {}
        for entry in wanted:
            check_id(FILE, entry.file_id, param)
            if unique.setdefault(entry.file_id, entry) != entry:
                raise fields.invalid(param, f"names '{entry.file_id}' twice, in different ways.")
        if not unique:
            return []
        refs: Mapping[str, FileRef] = await self._files.refs(call.caller.tenant, list(unique))
        for file_id in unique:
            if file_id not in refs:
                raise not_found(FILE, file_id, param)
        return [FileToAdd(refs[entry.file_id], entry.attributes, entry.chunking) for entry in unique.values()]


def _checked(page: Page, prefix: str) -> Page:
    check_cursor(prefix, page.after, "after")
    check_cursor(prefix, page.before, "before")
    return page
