"""/v1/vector_stores/{id}/files: the files of a store, each on its way into the index or in it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from gateway.api.rest.changes import Changing, Reading
from gateway.api.rest.stores_common import (
    POLL_AFTER,
    Attributes,
    Chunking,
    Page,
    Piece,
    Service,
    Status,
    StoreFile,
    StoreFileList,
    Strict,
    chunking_of,
    file_of,
    files_of,
)
from gateway.retrieval.service import Wanted

router = APIRouter(prefix="/v1/vector_stores/{store_id}/files", tags=["vector stores"])
ByStatus = Annotated[Status | None, Query(alias="filter", description="Only those of this status.")]


class AddFile(Strict):
    """A file to attach. One that is attached already is indexed anew where this says something else of it."""

    file_id: str
    attributes: Attributes | None = None
    chunking_strategy: Chunking | None = None

    def wanted(self) -> Wanted:
        """In the domain's words."""
        return Wanted(self.file_id, self.attributes or {}, chunking_of(self.chunking_strategy))


class UpdateFile(Strict):
    """All of the file's attributes from now on."""

    attributes: Attributes | None


class RemovedFile(BaseModel):
    """The file is out of the store, and no search finds it there; the file itself stays."""

    id: str
    object: Literal["vector_store.file.deleted"] = "vector_store.file.deleted"
    deleted: bool = True


class FileContent(BaseModel):
    """What was read out of a file, passage by passage."""

    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"
    data: list[Piece]
    has_more: bool
    next_page: str | None


@router.post("", summary="Attach a file", description="Needs the scope `stores:write`.")
async def add_file(
    store_id: str, body: AddFile, call: Changing, service: Service, response: Response
) -> StoreFile:
    file = await service.add_file(call, store_id, body.wanted())
    if file.status == "in_progress":
        response.headers.update(POLL_AFTER)
    return file_of(file)


@router.get("", summary="List a store's files", description="Needs the scope `stores:read`.")
async def list_files(
    store_id: str, call: Reading, service: Service, page: Page, status: ByStatus = None
) -> StoreFileList:
    return files_of(await service.list_files(call, store_id, page, batch_id=None, status=status))


@router.get("/{file_id}", summary="Show a store's file", description="Needs the scope `stores:read`.")
async def get_file(
    store_id: str, file_id: str, call: Reading, service: Service, response: Response
) -> StoreFile:
    file = await service.get_file(call, store_id, file_id)
    if file.status == "in_progress":
        response.headers.update(POLL_AFTER)
    return file_of(file)


@router.post(
    "/{file_id}", summary="Replace a file's attributes", description="Needs the scope `stores:write`."
)
async def update_file(
    store_id: str, file_id: str, body: UpdateFile, call: Changing, service: Service
) -> StoreFile:
    return file_of(await service.update_file(call, store_id, file_id, body.attributes or {}))


@router.delete(
    "/{file_id}", summary="Take a file out of a store", description="Needs the scope `stores:write`."
)
async def remove_file(store_id: str, file_id: str, call: Changing, service: Service) -> RemovedFile:
    await service.remove_file(call, store_id, file_id)
    return RemovedFile(id=file_id)


@router.get(
    "/{file_id}/content",
    summary="Show what was read out of a file",
    description="Needs the scope `stores:read`.",
)
async def file_content(
    store_id: str,
    file_id: str,
    call: Reading,
    service: Service,
    page: Annotated[
        str | None, Query(max_length=512, description="`next_page` of the page before. Not OpenAI's.")
    ] = None,
) -> FileContent:
    found = await service.content(call, store_id, file_id, page or "")
    return FileContent(
        data=[Piece(text=passage.text) for passage in found.data],
        has_more=bool(found.next_page),
        next_page=found.next_page or None,
    )
