"""/v1/vector_stores/{id}/file_batches: files that are attached together."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from gateway.api.rest.changes import Changing, Reading
from gateway.api.rest.store_files import AddFile, ByStatus
from gateway.api.rest.stores_common import (
    POLL_AFTER,
    Attributes,
    Chunking,
    Counts,
    Page,
    Service,
    Status,
    StoreFileList,
    Strict,
    chunking_of,
    counts_of,
    files_of,
)
from gateway.openai import fields
from gateway.retrieval import types
from gateway.retrieval.service import MAX_FILES, Wanted

router = APIRouter(prefix="/v1/vector_stores/{store_id}/file_batches", tags=["vector stores"])


class CreateBatch(Strict):
    """Files by their ids, or each with what it is attached with; not both."""

    file_ids: list[str] | None = Field(None, min_length=1, max_length=MAX_FILES)
    files: list[AddFile] | None = Field(None, min_length=1, max_length=MAX_FILES)
    attributes: Attributes | None = Field(None, description="Of each of `file_ids`.")
    chunking_strategy: Chunking | None = Field(None, description="For each of `file_ids`.")

    def wanted(self) -> tuple[list[Wanted], str]:
        """In the domain's words, and the field that it came from. Raises INVALID_REQUEST."""
        if self.file_ids is not None and self.files is not None:
            raise fields.invalid("files", "give 'file_ids' or 'files', not both.")
        if self.files is not None:
            return [file.wanted() for file in self.files], "files"
        if self.file_ids is None:
            raise fields.missing("file_ids")
        attributes, chunking = self.attributes or {}, chunking_of(self.chunking_strategy)
        return [Wanted(file_id, attributes, chunking) for file_id in self.file_ids], "file_ids"


class FileBatch(BaseModel):
    """Files that were attached together."""

    id: str
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
    created_at: int
    vector_store_id: str
    status: Status
    file_counts: Counts


@router.post("", summary="Attach files together", description="Needs the scope `stores:write`.")
async def create_batch(
    store_id: str, body: CreateBatch, call: Changing, service: Service, response: Response
) -> FileBatch:
    wanted, param = body.wanted()
    return _shown(await service.add_batch(call, store_id, wanted, param), response)


@router.get("/{batch_id}", summary="Show a batch", description="Needs the scope `stores:read`.")
async def get_batch(
    store_id: str, batch_id: str, call: Reading, service: Service, response: Response
) -> FileBatch:
    return _shown(await service.get_batch(call, store_id, batch_id), response)


@router.post(
    "/{batch_id}/cancel",
    summary="Call off what a batch has not indexed yet",
    description="Needs the scope `stores:write`.",
)
async def cancel_batch(
    store_id: str, batch_id: str, call: Changing, service: Service, response: Response
) -> FileBatch:
    return _shown(await service.cancel_batch(call, store_id, batch_id), response)


@router.get("/{batch_id}/files", summary="List a batch's files", description="Needs the scope `stores:read`.")
async def list_batch_files(
    store_id: str, batch_id: str, call: Reading, service: Service, page: Page, status: ByStatus = None
) -> StoreFileList:
    return files_of(await service.list_files(call, store_id, page, batch_id=batch_id, status=status))


def _shown(batch: types.Batch, response: Response) -> FileBatch:
    if batch.status == "in_progress":
        response.headers.update(POLL_AFTER)
    return FileBatch(
        id=batch.id,
        created_at=batch.created_at,
        vector_store_id=batch.store_id,
        status=batch.status,
        file_counts=counts_of(batch.counts),
    )
