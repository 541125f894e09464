"""/v1/batches: lists of requests that are worked off in the background."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from gateway.api.rest.changes import changes, reads
from gateway.api.rest.deps import Deps
from gateway.api.rest.jobs_common import NewestFirst, moment
from gateway.api.rest.stores_common import Metadata, Strict
from gateway.identity.roles import BATCHES_READ, BATCHES_WRITE
from gateway.jobs.batches import BatchesService
from gateway.jobs.batches_types import BatchStatus, WithFiles
from gateway.retrieval.service import Call
from servicekit.errors import Reason, SixfoldError

router = APIRouter(prefix="/v1/batches", tags=["batches"])
Reading = Annotated[Call, Depends(reads(BATCHES_READ))]
Changing = Annotated[Call, Depends(changes(BATCHES_WRITE))]


def batches_of(deps: Deps) -> BatchesService:
    """The service behind these routes. Raises SERVICE_UNAVAILABLE where none is configured."""
    if deps.batches is None:
        raise SixfoldError(
            Reason.SERVICE_UNAVAILABLE, "Batches are not configured: there is no eval service here."
        )
    return deps.batches


Service = Annotated[BatchesService, Depends(batches_of)]


class OutputExpiry(Strict):
    """When the files of what a batch leaves go."""

    anchor: Literal["created_at"]
    seconds: int = Field(ge=3600, le=2_592_000)


class CreateBatch(Strict):
    """What to work off."""

    input_file_id: str = Field(max_length=64, description="A file of JSON lines, one request each.")
    endpoint: str = Field(
        max_length=64,
        description="Of every request: `/v1/chat/completions`, `/v1/responses`, `/v1/completions` or "
        "`/v1/embeddings`. Responses are text without tools, and are not stored.",
    )
    completion_window: Literal["24h"]
    metadata: Metadata | None = None
    output_expires_after: OutputExpiry | None = Field(
        None, description="Without it, after thirty days. They are made when the batch is first looked at."
    )


class RequestCounts(BaseModel):
    """Requests by outcome."""

    total: int
    completed: int
    failed: int


class Batch(BaseModel):
    """A batch. Times are Unix seconds."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    errors: dict[str, Any] | None
    input_file_id: str
    completion_window: Literal["24h"] = "24h"
    status: BatchStatus
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int | None
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    metadata: dict[str, str]


class BatchList(BaseModel):
    """A page of batches."""

    object: Literal["list"] = "list"
    data: list[Batch]
    first_id: str | None
    last_id: str | None
    has_more: bool


@router.post("", summary="Make a batch", description="Needs the scope `batches:write`.")
async def create_batch(body: CreateBatch, call: Changing, service: Service) -> Batch:
    expiry = body.output_expires_after
    made = await service.create(
        call,
        endpoint=body.endpoint,
        input_id=body.input_file_id,
        metadata=body.metadata or {},
        output_seconds=expiry.seconds if expiry else 0,
    )
    return _shown(made)


@router.get("", summary="List batches", description="Needs the scope `batches:read`. Newest first.")
async def list_batches(call: Reading, service: Service, page: NewestFirst) -> BatchList:
    found = await service.list(call, page)
    data = [_shown(each) for each in found.data]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return BatchList(data=data, first_id=first, last_id=last, has_more=found.has_more)


@router.get("/{batch_id}", summary="Show a batch", description="Needs the scope `batches:read`.")
async def get_batch(batch_id: str, call: Reading, service: Service) -> Batch:
    return _shown(await service.get(call, batch_id))


@router.post("/{batch_id}/cancel", summary="Call a batch off", description="Needs the scope `batches:write`.")
async def cancel_batch(batch_id: str, call: Changing, service: Service) -> Batch:
    return _shown(await service.cancel(call, batch_id))


def _shown(given: WithFiles) -> Batch:
    batch = given.batch
    at = {name: moment(seconds) for name, seconds in batch.times.items()}
    return Batch(
        id=batch.id,
        endpoint=batch.endpoint,
        errors=dict(batch.faults) or None,
        input_file_id=batch.input_id,
        status=batch.status,
        output_file_id=given.output_id,
        error_file_id=given.errors_id,
        created_at=at.get("created") or 0,
        in_progress_at=at.get("in_progress"),
        expires_at=at.get("expires"),
        finalizing_at=at.get("finalizing"),
        completed_at=at.get("completed"),
        failed_at=at.get("failed"),
        expired_at=at.get("expired"),
        cancelling_at=at.get("cancelling"),
        cancelled_at=at.get("cancelled"),
        request_counts=RequestCounts(
            total=batch.counts.get("total", 0),
            completed=batch.counts.get("completed", 0),
            failed=batch.counts.get("failed", 0),
        ),
        metadata=dict(batch.metadata),
    )
