"""Batches of the eval service over the gateway's own HTTP/2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from gateway.adapters.jobs_proto import of_json, to_file, to_page
from gateway.adapters.service_client import ServiceClient
from gateway.jobs.batches_types import Batch, BatchStatus, Left
from gateway.jobs.types import Listed, Page
from gateway.retrieval.types import FileRef
from gateway.routing.ports import Asker
from sixfold.eval.v1 import eval_service_pb2 as pb
from sixfold.eval.v1 import evaluation_pb2

_STATUS: dict[str, BatchStatus] = {word: word for word in get_args(BatchStatus)}


class GrpcBatchesClient:
    """`gateway.jobs.ports.Batching` over the eval service's channel, which is not this one's to close."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    async def create_batch(
        self,
        asker: Asker,
        request_id: str,
        *,
        endpoint: str,
        input: FileRef,
        metadata: Mapping[str, str],
        output_seconds: int,
        deadline: float,
    ) -> Batch:
        """See the port, here and below."""
        request = pb.CreateBatchRequest(
            request_id=request_id,
            endpoint=endpoint,
            input=to_file(input),
            metadata=metadata,
            output_seconds=output_seconds,
        )
        answer = await self._service.ask(asker, "CreateBatch", request, pb.CreateBatchResponse, deadline)
        return _batch(answer.batch)

    async def get_batch(self, asker: Asker, batch_id: str, *, deadline: float) -> Batch:
        request = pb.GetBatchRequest(batch_id=batch_id)
        answer = await self._service.ask(asker, "GetBatch", request, pb.GetBatchResponse, deadline)
        return _batch(answer.batch)

    async def list_batches(self, asker: Asker, page: Page, *, deadline: float) -> Listed[Batch]:
        request = pb.ListBatchesRequest(page=to_page(page))
        answer = await self._service.ask(asker, "ListBatches", request, pb.ListBatchesResponse, deadline)
        return Listed([_batch(each) for each in answer.batches], answer.has_more)

    async def cancel_batch(self, asker: Asker, request_id: str, batch_id: str, *, deadline: float) -> Batch:
        request = pb.CancelBatchRequest(request_id=request_id, batch_id=batch_id)
        answer = await self._service.ask(asker, "CancelBatch", request, pb.CancelBatchResponse, deadline)
        return _batch(answer.batch)


def _batch(given: evaluation_pb2.Batch) -> Batch:
    faults = of_json(given.errors_json)
    return Batch(
        id=given.id,
        endpoint=given.endpoint,
        input_id=given.input.id,
        status=_STATUS.get(given.status, "in_progress"),
        counts=dict(given.counts),
        times=dict(given.times),
        output=Left(given.output.filename, given.output.object_key, given.output.bytes)
        if given.HasField("output")
        else None,
        errors=Left(given.errors.filename, given.errors.object_key, given.errors.bytes)
        if given.HasField("errors")
        else None,
        faults=faults if isinstance(faults, dict) else {},
        metadata=dict(given.metadata),
        output_seconds=given.output_seconds,
    )
