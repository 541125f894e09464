"""The TrainingService servicer."""

from __future__ import annotations

from typing import Any

import grpc.aio

from servicekit.errors import Reason, SixfoldError
from servicekit.identity import NO_TENANT, current_caller
from servicekit.jobs import Jobs, Steer, checkpoint_message, event_message, job_message
from sixfold.training.v1 import training_service_pb2 as pb
from sixfold.training.v1 import training_service_pb2_grpc
from training_service import metrics
from training_service.api import requests
from training_service.api.responses import to_dataset, to_model
from training_service.orders.service import Orders
from training_service.orders.types import DATASET, TRAINING, Records

_Context = grpc.aio.ServicerContext[Any, Any]
_KINDS = (DATASET, TRAINING)
_STEERS = {pb.STEER_CANCEL: Steer.CANCEL, pb.STEER_PAUSE: Steer.PAUSE, pb.STEER_RESUME: Steer.RESUME}


class TrainingService(training_service_pb2_grpc.TrainingServiceServicer):
    """Every method takes the tenant from the verified token, checks, asks the domain, and translates."""

    def __init__(self, orders: Orders, records: Records, jobs: Jobs, *, max_file_bytes: int) -> None:
        self._orders = orders
        self._records = records
        self._jobs = jobs
        self._max_file_bytes = max_file_bytes

    async def CreateDataset(  # noqa: N802
        self, request: pb.CreateDatasetRequest, context: _Context
    ) -> pb.CreateDatasetResponse:
        """Durable when this returns."""
        dataset = await self._orders.create_dataset(
            _tenant(),
            requests.request_id(request.request_id),
            requests.dataset_order(request, self._max_file_bytes),
        )
        metrics.ORDERS.labels(DATASET).inc()
        return pb.CreateDatasetResponse(dataset=to_dataset(dataset))

    async def GetDataset(  # noqa: N802
        self, request: pb.GetDatasetRequest, context: _Context
    ) -> pb.GetDatasetResponse:
        """As it stands."""
        dataset = await self._records.dataset(_tenant(), requests.named(request.dataset_id, "dataset_id"))
        return pb.GetDatasetResponse(dataset=to_dataset(dataset))

    async def ListDatasets(  # noqa: N802
        self, request: pb.ListDatasetsRequest, context: _Context
    ) -> pb.ListDatasetsResponse:
        """A page of the tenant's."""
        limit, after, ascending = requests.page(request.page)
        found, more = await self._records.list_datasets(
            _tenant(), name=request.name[:256], after=after, limit=limit, ascending=ascending
        )
        return pb.ListDatasetsResponse(datasets=[to_dataset(each) for each in found], has_more=more)

    async def DeleteDataset(  # noqa: N802
        self, request: pb.DeleteDatasetRequest, context: _Context
    ) -> pb.DeleteDatasetResponse:
        """Nobody finds it when this returns."""
        await self._orders.delete_dataset(
            _tenant(),
            requests.request_id(request.request_id),
            requests.named(request.dataset_id, "dataset_id"),
        )
        return pb.DeleteDatasetResponse()

    async def CreateTraining(  # noqa: N802
        self, request: pb.CreateTrainingRequest, context: _Context
    ) -> pb.CreateTrainingResponse:
        """Durable when this returns."""
        order = requests.training_order(
            request.spec, self._max_file_bytes, priority=request.priority, notes=request.metadata
        )
        job = await self._orders.create_training(_tenant(), requests.request_id(request.request_id), order)
        metrics.ORDERS.labels(TRAINING).inc()
        return pb.CreateTrainingResponse(job=job_message(job))

    async def EstimateTraining(  # noqa: N802
        self, request: pb.EstimateTrainingRequest, context: _Context
    ) -> pb.EstimateTrainingResponse:
        """Nothing is ordered."""
        told = await self._orders.estimate(
            _tenant(), requests.training_order(request.spec, self._max_file_bytes)
        )
        return pb.EstimateTrainingResponse(
            seconds=told.seconds,
            tokens=told.tokens,
            memory_bytes=told.memory_bytes,
            disk_bytes=told.disk_bytes,
        )

    async def GetJob(self, request: pb.GetJobRequest, context: _Context) -> pb.GetJobResponse:  # noqa: N802
        """As it stands."""
        job = await self._jobs.get(_tenant(), requests.named(request.job_id, "job_id"))
        return pb.GetJobResponse(job=job_message(job))

    async def ListJobs(  # noqa: N802
        self, request: pb.ListJobsRequest, context: _Context
    ) -> pb.ListJobsResponse:
        """A page of the tenant's."""
        limit, after, ascending = requests.page(request.page)
        if request.kind not in ("", *_KINDS):
            raise requests.invalid("There is no such kind of job.", "kind")
        found, more = await self._jobs.list(
            _tenant(),
            [request.kind] if request.kind else _KINDS,
            after=after,
            limit=limit,
            ascending=ascending,
            metadata=requests.metadata(request.metadata),
        )
        return pb.ListJobsResponse(jobs=[job_message(each) for each in found], has_more=more)

    async def ListJobEvents(  # noqa: N802
        self, request: pb.ListJobEventsRequest, context: _Context
    ) -> pb.ListJobEventsResponse:
        """A page of its diary."""
        limit, after, ascending = requests.page(request.page)
        job_id = requests.named(request.job_id, "job_id")
        found, more = await self._jobs.events(
            _tenant(), job_id, after=after, limit=limit, ascending=ascending
        )
        return pb.ListJobEventsResponse(events=[event_message(each) for each in found], has_more=more)

    async def ListCheckpoints(  # noqa: N802
        self, request: pb.ListCheckpointsRequest, context: _Context
    ) -> pb.ListCheckpointsResponse:
        """Newest first."""
        limit, after, _ = requests.page(request.page)
        job_id = requests.named(request.job_id, "job_id")
        found, more = await self._jobs.checkpoints(_tenant(), job_id, after=after, limit=limit)
        return pb.ListCheckpointsResponse(
            checkpoints=[checkpoint_message(each) for each in found], has_more=more
        )

    async def SteerJob(  # noqa: N802
        self, request: pb.SteerJobRequest, context: _Context
    ) -> pb.SteerJobResponse:
        """What the job already does or is, is fine: the same request again has no second effect."""
        requests.request_id(request.request_id)
        if request.steer not in _STEERS:
            raise requests.invalid("A job is called off, paused or resumed.", "steer")
        job_id = requests.named(request.job_id, "job_id")
        job = await self._jobs.steer(_tenant(), job_id, _STEERS[request.steer])
        return pb.SteerJobResponse(job=job_message(job))

    async def GetTrainedModel(  # noqa: N802
        self, request: pb.GetTrainedModelRequest, context: _Context
    ) -> pb.GetTrainedModelResponse:
        """With where it comes from."""
        model = await self._orders.model(_tenant(), requests.named(request.model, "model"))
        return pb.GetTrainedModelResponse(model=to_model(model))


def _tenant() -> str:
    """Of the verified token, and of nobody else's word."""
    tenant = current_caller().tenant
    if tenant == NO_TENANT:
        raise SixfoldError(
            Reason.PERMISSION_DENIED, "Data sets and jobs belong to tenants; this call is on nobody's behalf."
        )
    return tenant
