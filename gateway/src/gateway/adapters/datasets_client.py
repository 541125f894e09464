"""Data sets of the training service over the gateway's own HTTP/2."""

from __future__ import annotations

from gateway.adapters.jobs_proto import STATUS, to_file, to_page
from gateway.adapters.service_client import ServiceClient
from gateway.jobs.datasets_types import Dataset, Kind, OfDataset, OfFeedback, Order, Source
from gateway.jobs.types import Listed, Page
from gateway.routing.ports import Asker
from sixfold.training.v1 import dataset_pb2
from sixfold.training.v1 import training_service_pb2 as pb

_KINDS: dict[str, Kind] = {"supervised": "supervised", "preference": "preference"}


class GrpcDatasetsClient:
    """`gateway.jobs.ports.Curating` over the training service's channel, which is not this one's to close."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    async def create(self, asker: Asker, request_id: str, order: Order, *, deadline: float) -> Dataset:
        """See the port, here and below."""
        options = order.options
        request = pb.CreateDatasetRequest(
            request_id=request_id,
            name=order.name,
            sources=[_source(each) for each in order.sources],
            options=dataset_pb2.DatasetOptions(
                kind=options.kind or "",
                validation_share=options.validation_share,
                test_share=options.test_share,
                seed=options.seed,
                keep_personal_data=options.keep_personal_data,
                keep_near_duplicates=options.keep_near_duplicates,
                strict=options.strict,
            ),
            metadata=order.metadata,
        )
        answer = await self._service.ask(asker, "CreateDataset", request, pb.CreateDatasetResponse, deadline)
        return _dataset(answer.dataset)

    async def get(self, asker: Asker, dataset_id: str, *, deadline: float) -> Dataset:
        request = pb.GetDatasetRequest(dataset_id=dataset_id)
        answer = await self._service.ask(asker, "GetDataset", request, pb.GetDatasetResponse, deadline)
        return _dataset(answer.dataset)

    async def list(self, asker: Asker, page: Page, *, name: str, deadline: float) -> Listed[Dataset]:
        request = pb.ListDatasetsRequest(page=to_page(page), name=name)
        answer = await self._service.ask(asker, "ListDatasets", request, pb.ListDatasetsResponse, deadline)
        return Listed([_dataset(each) for each in answer.datasets], answer.has_more)

    async def delete(self, asker: Asker, request_id: str, dataset_id: str, *, deadline: float) -> None:
        request = pb.DeleteDatasetRequest(request_id=request_id, dataset_id=dataset_id)
        await self._service.ask(asker, "DeleteDataset", request, pb.DeleteDatasetResponse, deadline)


def _source(source: Source) -> dataset_pb2.DatasetSource:
    if isinstance(source, OfFeedback):
        told = dataset_pb2.FeedbackSource(
            kinds=source.kinds, since=source.since, until=source.until, model=source.model
        )
        return dataset_pb2.DatasetSource(feedback=told)
    if isinstance(source, OfDataset):
        part = dataset_pb2.DatasetPart(dataset_id=source.dataset_id, part=source.part or "")
        return dataset_pb2.DatasetSource(dataset=part)
    return dataset_pb2.DatasetSource(file=to_file(source))


def _dataset(given: dataset_pb2.Dataset) -> Dataset:
    return Dataset(
        id=given.id,
        name=given.name,
        status=STATUS.get(given.status, "queued"),
        job_id=given.job_id,
        created_at=given.created_at,
        version=given.version,
        kind=_KINDS.get(given.kind),
        rows=dict(given.rows),
        left_out=dict(given.left_out),
        warnings=list(given.warnings),
        reason=given.reason,
        message=given.message,
        object_keys=dict(given.object_keys),
        metadata=dict(given.metadata),
    )
