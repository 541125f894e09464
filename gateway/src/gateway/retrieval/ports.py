"""What the gateway needs of the outside: the retrieval service, and the tenant's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.retrieval.filters import Filter
from gateway.retrieval.types import (
    Added,
    Attributes,
    Batch,
    FileRef,
    FileStatus,
    FileToAdd,
    Found,
    Page,
    Passages,
    Store,
    StoreFile,
    StoreFiles,
    Stores,
)
from gateway.routing.ports import Asker


class Retrieval(Protocol):
    """The retrieval service on one asker's behalf.

    Every call raises SixfoldError: NOT_FOUND for what is not the asker's tenant's, SERVICE_UNAVAILABLE
    while the service is away, DEADLINE_EXCEEDED, or what the service says. `deadline` is in seconds.
    `request_id` names a change: made twice under one id within a day it has one effect and one answer.
    """

    async def create_store(
        self,
        asker: Asker,
        request_id: str,
        *,
        name: str,
        description: str = "",
        expires_after_days: int = 0,
        metadata: Mapping[str, str] | None = None,
        files: Sequence[FileToAdd] = (),
        deadline: float,
    ) -> Store: ...
    async def get_store(self, asker: Asker, store_id: str, *, deadline: float) -> Store: ...
    async def list_stores(self, asker: Asker, page: Page, *, name: str = "", deadline: float) -> Stores: ...
    async def update_store(
        self,
        asker: Asker,
        request_id: str,
        store_id: str,
        *,
        name: str | None = None,
        expires_after_days: int | None = None,
        metadata: Mapping[str, str] | None = None,
        deadline: float,
    ) -> Store:
        """None leaves a field as it is; 0 days means never."""
        ...

    async def delete_store(
        self, asker: Asker, request_id: str, store_id: str, *, deadline: float
    ) -> None: ...

    async def add_files(
        self,
        asker: Asker,
        request_id: str,
        store_id: str,
        files: Sequence[FileToAdd],
        *,
        batch: bool,
        deadline: float,
    ) -> Added: ...
    async def get_file(self, asker: Asker, store_id: str, file_id: str, *, deadline: float) -> StoreFile: ...
    async def list_files(
        self,
        asker: Asker,
        store_id: str,
        page: Page,
        *,
        batch_id: str = "",
        status: FileStatus | None = None,
        deadline: float,
    ) -> StoreFiles: ...
    async def update_file(
        self,
        asker: Asker,
        request_id: str,
        store_id: str,
        file_id: str,
        attributes: Attributes,
        *,
        deadline: float,
    ) -> StoreFile: ...
    async def remove_file(
        self, asker: Asker, request_id: str, store_id: str, file_id: str, *, deadline: float
    ) -> None:
        """When it returns no search of this store finds the file."""
        ...

    async def remove_document(self, asker: Asker, request_id: str, file_id: str, *, deadline: float) -> int:
        """Takes a file out of every store, and keeps it out; gives the number of stores that it was in."""
        ...

    async def list_passages(
        self,
        asker: Asker,
        store_id: str,
        file_id: str,
        *,
        page_size: int = 0,
        page_token: str = "",
        deadline: float,
    ) -> Passages: ...
    async def get_batch(self, asker: Asker, store_id: str, batch_id: str, *, deadline: float) -> Batch: ...
    async def cancel_batch(
        self, asker: Asker, request_id: str, store_id: str, batch_id: str, *, deadline: float
    ) -> Batch: ...

    async def search(
        self,
        asker: Asker,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        max_results: int = 10,
        filter: Filter | None = None,
        threshold: float = 0.0,
        weight: float | None = None,
        deadline: float,
    ) -> Found:
        """`weight` is the vectors' share, from 0 to 1; None takes what each store was tuned to."""
        ...


class FileSource(Protocol):
    """The tenant's files."""

    async def refs(self, tenant: str, file_ids: Sequence[str]) -> dict[str, FileRef]:
        """Those of `file_ids` that are the tenant's, by id. Raises SixfoldError when it cannot tell."""
        ...
