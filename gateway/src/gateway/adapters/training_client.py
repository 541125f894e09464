"""The training service over the gateway's own HTTP/2. Messages stay here; the domain sees its own types."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.adapters.h2.channel import Channel
from gateway.adapters.jobs_proto import of_checkpoint, of_event, of_job, to_file, to_page
from gateway.adapters.service_client import ServiceClient
from gateway.jobs import types as t
from gateway.retrieval.types import FileRef
from gateway.routing.ports import Asker
from servicekit.identity import ServiceIdentity
from sixfold.training.v1 import dataset_pb2
from sixfold.training.v1 import training_service_pb2 as pb

AUDIENCE = "training-service"
_KIND = "fine_tuning"
_STEERS: dict[t.Steer, pb.Steer] = {
    "cancel": pb.STEER_CANCEL,
    "pause": pb.STEER_PAUSE,
    "resume": pb.STEER_RESUME,
}


class GrpcTrainingClient(ServiceClient):
    """`gateway.jobs.ports.Training` over one channel."""

    def __init__(self, channel: Channel, identity: ServiceIdentity) -> None:
        super().__init__(channel, identity, audience=AUDIENCE, service="sixfold.training.v1.TrainingService")

    async def create(self, asker: Asker, request_id: str, wanted: t.Tuning, *, deadline: float) -> t.Job:
        """See the port, here and below."""
        request = pb.CreateTrainingRequest(
            request_id=request_id, spec=_spec(wanted), metadata=wanted.metadata
        )
        answer = await self.ask(asker, "CreateTraining", request, pb.CreateTrainingResponse, deadline)
        return of_job(answer.job)

    async def estimate(self, asker: Asker, wanted: t.Tuning, *, deadline: float) -> t.Estimate:
        request = pb.EstimateTrainingRequest(spec=_spec(wanted))
        answer = await self.ask(asker, "EstimateTraining", request, pb.EstimateTrainingResponse, deadline)
        return t.Estimate(answer.seconds, answer.tokens, answer.memory_bytes, answer.disk_bytes)

    async def get(self, asker: Asker, job_id: str, *, deadline: float) -> t.Job:
        request = pb.GetJobRequest(job_id=job_id)
        return of_job((await self.ask(asker, "GetJob", request, pb.GetJobResponse, deadline)).job)

    async def list(
        self, asker: Asker, page: t.Page, *, metadata: Mapping[str, str], deadline: float
    ) -> t.Listed[t.Job]:
        request = pb.ListJobsRequest(kind=_KIND, page=to_page(page), metadata=metadata)
        answer = await self.ask(asker, "ListJobs", request, pb.ListJobsResponse, deadline)
        return t.Listed([of_job(job) for job in answer.jobs], answer.has_more)

    async def events(
        self, asker: Asker, job_id: str, page: t.Page, *, deadline: float
    ) -> t.Listed[t.JobEvent]:
        request = pb.ListJobEventsRequest(job_id=job_id, page=to_page(page))
        answer = await self.ask(asker, "ListJobEvents", request, pb.ListJobEventsResponse, deadline)
        return t.Listed([of_event(event) for event in answer.events], answer.has_more)

    async def checkpoints(
        self, asker: Asker, job_id: str, page: t.Page, *, deadline: float
    ) -> t.Listed[t.Checkpoint]:
        request = pb.ListCheckpointsRequest(job_id=job_id, page=to_page(page))
        answer = await self.ask(asker, "ListCheckpoints", request, pb.ListCheckpointsResponse, deadline)
        return t.Listed([of_checkpoint(each) for each in answer.checkpoints], answer.has_more)

    async def steer(
        self, asker: Asker, request_id: str, job_id: str, steer: t.Steer, *, deadline: float
    ) -> t.Job:
        request = pb.SteerJobRequest(request_id=request_id, job_id=job_id, steer=_STEERS[steer])
        return of_job((await self.ask(asker, "SteerJob", request, pb.SteerJobResponse, deadline)).job)


def _spec(wanted: t.Tuning) -> pb.TrainingSpec:
    return pb.TrainingSpec(
        base_model=wanted.model,
        method=wanted.method,
        training=_source(wanted.training),
        validation=None if wanted.validation is None else _source(wanted.validation),
        epochs=wanted.epochs,
        batch_size=wanted.batch_size,
        learning_rate_multiplier=wanted.learning_rate_multiplier,
        beta=wanted.beta,
        seed=wanted.seed,
        suffix=wanted.suffix,
    )


def _source(rows: FileRef | str) -> dataset_pb2.DatasetSource:
    if isinstance(rows, str):
        return dataset_pb2.DatasetSource(dataset=dataset_pb2.DatasetPart(dataset_id=rows))
    return dataset_pb2.DatasetSource(file=to_file(rows))
