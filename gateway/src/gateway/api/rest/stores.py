"""/v1/vector_stores: sets of documents that are searched together."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from gateway.api.rest.changes import Changing, Reading
from gateway.api.rest.stores_common import (
    POLL_AFTER,
    Chunking,
    Counts,
    Metadata,
    Page,
    Service,
    Strict,
    chunking_of,
    counts_of,
)
from gateway.retrieval import types
from gateway.retrieval.service import MAX_FILES, Wanted

router = APIRouter(prefix="/v1/vector_stores", tags=["vector stores"])
Name = Annotated[str, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$", description="For people.")]


class StoreExpiry(Strict):
    """When the store ends."""

    anchor: Literal["last_active_at"]
    days: int = Field(ge=1, le=365)


class CreateStore(Strict):
    """What the new store is."""

    name: Name | None = None
    description: (
        Annotated[str, Field(max_length=1024, pattern=r"^[^\x00]*$", description="For people.")] | None
    ) = None
    file_ids: list[str] | None = Field(None, max_length=MAX_FILES, description="Its first files.")
    expires_after: StoreExpiry | None = None
    chunking_strategy: Chunking | None = Field(None, description="How its first files are cut.")
    metadata: Metadata | None = None


class UpdateStore(Strict):
    """What to change. What is not named stays; null takes a name, an expiry or the notes away."""

    name: Name | None = None
    expires_after: StoreExpiry | None = None
    metadata: Metadata | None = None


class ShownStoreExpiry(BaseModel):
    """When the store ends."""

    anchor: Literal["last_active_at"] = "last_active_at"
    days: int


class VectorStore(BaseModel):
    """A store. Times are Unix seconds."""

    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    name: str
    description: str
    usage_bytes: int
    file_counts: Counts
    status: Literal["in_progress", "completed", "expired"]
    expires_after: ShownStoreExpiry | None
    expires_at: int | None
    last_active_at: int | None
    metadata: dict[str, str]


class VectorStoreList(BaseModel):
    """A page of stores."""

    object: Literal["list"] = "list"
    data: list[VectorStore]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedStore(BaseModel):
    """The store and its index are gone; its files stay."""

    id: str
    object: Literal["vector_store.deleted"] = "vector_store.deleted"
    deleted: bool = True


@router.post("", summary="Make a vector store", description="Needs the scope `stores:write`.")
async def create_store(body: CreateStore, call: Changing, service: Service) -> VectorStore:
    chunking = chunking_of(body.chunking_strategy)
    store = await service.create(
        call,
        name=body.name or "",
        description=body.description or "",
        expires_after_days=body.expires_after.days if body.expires_after else 0,
        metadata=body.metadata or {},
        files=[Wanted(file_id, chunking=chunking) for file_id in body.file_ids or ()],
    )
    return _shown(store)


@router.get("", summary="List vector stores", description="Needs the scope `stores:read`.")
async def list_stores(
    call: Reading,
    service: Service,
    page: Page,
    name: Annotated[
        str | None, Query(max_length=256, description="Only those of exactly this name. Not OpenAI's.")
    ] = None,
) -> VectorStoreList:
    found = await service.list(call, page, name=name or "")
    data = [_shown(store) for store in found.data]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return VectorStoreList(data=data, first_id=first, last_id=last, has_more=found.has_more)


@router.get("/{store_id}", summary="Show a vector store", description="Needs the scope `stores:read`.")
async def get_store(store_id: str, call: Reading, service: Service, response: Response) -> VectorStore:
    store = await service.get(call, store_id)
    if store.status == "in_progress":
        response.headers.update(POLL_AFTER)
    return _shown(store)


@router.post("/{store_id}", summary="Change a vector store", description="Needs the scope `stores:write`.")
async def update_store(store_id: str, body: UpdateStore, call: Changing, service: Service) -> VectorStore:
    given = body.model_fields_set
    store = await service.update(
        call,
        store_id,
        name=(body.name or "") if "name" in given else None,
        expires_after_days=(body.expires_after.days if body.expires_after else 0)
        if "expires_after" in given
        else None,
        metadata=(body.metadata or {}) if "metadata" in given else None,
    )
    return _shown(store)


@router.delete("/{store_id}", summary="Delete a vector store", description="Needs the scope `stores:write`.")
async def delete_store(store_id: str, call: Changing, service: Service) -> DeletedStore:
    await service.delete(call, store_id)
    return DeletedStore(id=store_id)


def _shown(store: types.Store) -> VectorStore:
    return VectorStore(
        id=store.id,
        created_at=store.created_at,
        name=store.name,
        description=store.description,
        usage_bytes=store.usage_bytes,
        file_counts=counts_of(store.counts),
        status=store.status,
        expires_after=ShownStoreExpiry(days=store.expires_after_days) if store.expires_after_days else None,
        expires_at=store.expires_at or None,
        last_active_at=store.last_active_at or None,
        metadata=dict(store.metadata),
    )
