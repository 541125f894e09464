"""A training service for tests: the real contract over real gRPC, over dictionaries.

It holds to what the contract says of tenants, request ids, statuses and pages. Nothing is trained: a test
says with `finish`, `fail`, `note` and `mark` what becomes of a job, with `make` and `spoil` of a data set.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import Any, TypeVar

from servicekit.errors import Reason, SixfoldError
from servicekit.identity import Caller, ServiceIdentity, current_caller
from servicekit.lifecycle import Lifecycle
from servicekit.rpc import RpcServer
from sixfold.jobs.v1 import job_pb2
from sixfold.training.v1 import dataset_pb2, training_service_pb2_grpc
from sixfold.training.v1 import training_service_pb2 as pb

QUEUED, RUNNING, PAUSED = (
    job_pb2.JOB_STATUS_QUEUED,
    job_pb2.JOB_STATUS_RUNNING,
    job_pb2.JOB_STATUS_PAUSED,
)
SUCCEEDED, FAILED, CANCELLED = (
    job_pb2.JOB_STATUS_SUCCEEDED,
    job_pb2.JOB_STATUS_FAILED,
    job_pb2.JOB_STATUS_CANCELLED,
)
ENDED = (SUCCEEDED, FAILED, CANCELLED)
T = TypeVar("T")


class FakeTraining(training_service_pb2_grpc.TrainingServiceServicer):
    """Keeps what it was asked, and its tenants' jobs."""

    def __init__(self, *bases: str) -> None:
        self.bases = bases
        self.jobs: dict[tuple[str, str], job_pb2.Job] = {}
        self.datasets: dict[tuple[str, str], dataset_pb2.Dataset] = {}
        self.diaries: dict[str, list[job_pb2.JobEvent]] = {}
        self.places: dict[str, list[job_pb2.Checkpoint]] = {}
        self.requests: list[Any] = []
        self.callers: list[Caller] = []
        self._answers: dict[tuple[str, str], str] = {}
        self._clock = time.time()

    # What tests do.

    def job(self, job_id: str) -> job_pb2.Job:
        """Whosever it is."""
        return next(job for (_, id), job in self.jobs.items() if id == job_id)

    def begin(self, job_id: str) -> None:
        """A worker takes it."""
        job = self.job(job_id)
        job.status, job.started_at, job.attempt = RUNNING, self._now(), job.attempt + 1
        job.progress, job.estimated_finish = 0.25, self._now() + 60
        job.metrics["loss"] = 2.5

    def finish(self, job_id: str, **result: Any) -> None:
        """It came out well."""
        job = self.job(job_id)
        job.status, job.finished_at, job.progress = SUCCEEDED, self._now(), 1
        job.result_json = json.dumps({"model": json.loads(job.spec_json)["model"], **result}).encode()

    def fail(self, job_id: str, reason: str, message: str) -> None:
        """It did not."""
        job = self.job(job_id)
        job.status, job.finished_at = FAILED, self._now()
        job.reason, job.message = reason, message

    def note(self, job_id: str, message: str, **data: float) -> None:
        """A line of its diary."""
        diary = self.diaries.setdefault(job_id, [])
        event = job_pb2.JobEvent(
            id=f"{job_id}-e{len(diary) + 1}",
            created_at=self._now(),
            level="info",
            message=message,
            type="metrics" if data else "message",
            data_json=json.dumps(data).encode() if data else b"",
        )
        diary.append(event)

    def mark(self, job_id: str, step: int, **metrics: float) -> None:
        """A checkpoint."""
        self.places.setdefault(job_id, []).append(
            job_pb2.Checkpoint(
                id=f"ftckpt_{secrets.token_hex(12)}", created_at=self._now(), step=step, metrics=metrics
            )
        )

    def dataset(self, dataset_id: str) -> dataset_pb2.Dataset:
        """Whosever it is."""
        return next(dataset for (_, id), dataset in self.datasets.items() if id == dataset_id)

    def make(self, dataset_id: str, object_keys: dict[str, str], rows: dict[str, int]) -> None:
        """It is made. Whoever asked for it put the parts where `object_keys` say."""
        dataset = self.dataset(dataset_id)
        dataset.status, dataset.version, dataset.kind = SUCCEEDED, "0" * 64, "supervised"
        dataset.object_keys.update(object_keys)
        dataset.rows.update(rows)
        dataset.left_out["BAD_JSON"] = 1
        dataset.warnings.append("The label 'card' has 3 rows.")

    def spoil(self, dataset_id: str, reason: str, message: str) -> None:
        """It cannot be made."""
        dataset = self.dataset(dataset_id)
        dataset.status, dataset.reason, dataset.message = FAILED, reason, message

    # Calls.

    def _begin(self, request: Any) -> str:
        self.requests.append(request)
        self.callers.append(current_caller())
        return current_caller().tenant

    def _own(self, tenant: str, job_id: str) -> job_pb2.Job:
        job = self.jobs.get((tenant, job_id))
        if job is None:
            raise SixfoldError(Reason.NOT_FOUND, "There is no such job.")
        return job

    def _now(self) -> float:
        self._clock += 1
        return self._clock

    async def CreateDataset(self, request: pb.CreateDatasetRequest, context: Any) -> pb.CreateDatasetResponse:
        tenant = self._begin(request)
        if not request.request_id:
            raise SixfoldError(Reason.INVALID_REQUEST, "A change has a request id.")
        known = self._answers.get((tenant, request.request_id))
        if known is not None:
            return pb.CreateDatasetResponse(dataset=self.datasets[tenant, known])
        for place, source in enumerate(request.sources):
            if source.HasField("dataset") and (tenant, source.dataset.dataset_id) not in self.datasets:
                raise SixfoldError(
                    Reason.NOT_FOUND, "There is no such data set.", param=f"sources[{place}].dataset"
                )
            if source.HasField("file") and not source.file.object_key.startswith(f"{tenant}/"):
                raise SixfoldError(Reason.NOT_FOUND, "There is no such file.", param=f"sources[{place}]")
        dataset = dataset_pb2.Dataset(
            id=f"ds_{secrets.token_hex(12)}",
            name=request.name,
            status=QUEUED,
            job_id=f"dsjob_{secrets.token_hex(12)}",
            created_at=self._now(),
            metadata=request.metadata,
        )
        self.datasets[tenant, dataset.id] = dataset
        self._answers[tenant, request.request_id] = dataset.id
        return pb.CreateDatasetResponse(dataset=dataset)

    async def GetDataset(self, request: pb.GetDatasetRequest, context: Any) -> pb.GetDatasetResponse:
        return pb.GetDatasetResponse(dataset=self._set(self._begin(request), request.dataset_id))

    async def ListDatasets(self, request: pb.ListDatasetsRequest, context: Any) -> pb.ListDatasetsResponse:
        tenant = self._begin(request)
        found = [
            dataset
            for (owner, _), dataset in self.datasets.items()
            if owner == tenant and request.name in ("", dataset.name)
        ]
        data, more = newest_first(found, request.page)
        return pb.ListDatasetsResponse(datasets=data, has_more=more)

    async def DeleteDataset(self, request: pb.DeleteDatasetRequest, context: Any) -> pb.DeleteDatasetResponse:
        tenant = self._begin(request)
        if self._answers.get((tenant, request.request_id)) != request.dataset_id:
            self._set(tenant, request.dataset_id)
            del self.datasets[tenant, request.dataset_id]
            self._answers[tenant, request.request_id] = request.dataset_id
        return pb.DeleteDatasetResponse()

    def _set(self, tenant: str, dataset_id: str) -> dataset_pb2.Dataset:
        dataset = self.datasets.get((tenant, dataset_id))
        if dataset is None:
            raise SixfoldError(Reason.NOT_FOUND, "There is no such data set.")
        return dataset

    async def EstimateTraining(
        self, request: pb.EstimateTrainingRequest, context: Any
    ) -> pb.EstimateTrainingResponse:
        tenant, spec = self._begin(request), request.spec
        if spec.base_model not in self.bases:
            raise SixfoldError(
                Reason.MODEL_NOT_FOUND, "There is no such base model.", param="spec.base_model"
            )
        if spec.training.HasField("dataset"):
            self._set(tenant, spec.training.dataset.dataset_id)
        return pb.EstimateTrainingResponse(
            seconds=12.5, tokens=int(1000 * (spec.epochs or 3)), memory_bytes=2 << 30, disk_bytes=1 << 30
        )

    async def CreateTraining(
        self, request: pb.CreateTrainingRequest, context: Any
    ) -> pb.CreateTrainingResponse:
        tenant, spec = self._begin(request), request.spec
        if not request.request_id:
            raise SixfoldError(Reason.INVALID_REQUEST, "A change has a request id.")
        known = self._answers.get((tenant, request.request_id))
        if known is not None:
            return pb.CreateTrainingResponse(job=self.jobs[tenant, known])
        if spec.base_model not in self.bases:
            raise SixfoldError(
                Reason.MODEL_NOT_FOUND, "There is no such base model.", param="spec.base_model"
            )
        for source in (spec.training, spec.validation):
            if source.HasField("file") and not source.file.object_key.startswith(f"{tenant}/"):
                raise SixfoldError(Reason.NOT_FOUND, "There is no such file.", param="spec.training")
        wishes = {
            "epochs": spec.epochs,
            "batch_size": spec.batch_size,
            "learning_rate_multiplier": spec.learning_rate_multiplier,
            "beta": spec.beta,
            "seed": spec.seed,
        }
        job = job_pb2.Job(
            id=f"ftjob-{secrets.token_hex(12)}",
            kind="fine_tuning",
            status=QUEUED,
            created_at=self._now(),
            max_attempts=3,
            spec_json=json.dumps(
                {
                    "model": f"ft:{spec.base_model}:{tenant}:{spec.suffix}:abc123",
                    "base": spec.base_model,
                    "method": spec.method,
                    "training": _kept(spec.training),
                    "validation": _kept(spec.validation) if spec.HasField("validation") else None,
                    "wishes": wishes,
                }
            ).encode(),
            metadata=request.metadata,
        )
        self.jobs[tenant, job.id] = job
        self._answers[tenant, request.request_id] = job.id
        return pb.CreateTrainingResponse(job=job)

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.GetJobResponse:
        return pb.GetJobResponse(job=self._own(self._begin(request), request.job_id))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        tenant = self._begin(request)
        found = [
            job
            for (owner, _), job in self.jobs.items()
            if owner == tenant
            and job.kind == request.kind
            and all(job.metadata.get(key) == value for key, value in request.metadata.items())
        ]
        data, more = newest_first(found, request.page)
        return pb.ListJobsResponse(jobs=data, has_more=more)

    async def ListJobEvents(self, request: pb.ListJobEventsRequest, context: Any) -> pb.ListJobEventsResponse:
        self._own(self._begin(request), request.job_id)
        data, more = newest_first(self.diaries.get(request.job_id, []), request.page)
        return pb.ListJobEventsResponse(events=data, has_more=more)

    async def ListCheckpoints(
        self, request: pb.ListCheckpointsRequest, context: Any
    ) -> pb.ListCheckpointsResponse:
        self._own(self._begin(request), request.job_id)
        data, more = newest_first(self.places.get(request.job_id, []), request.page)
        return pb.ListCheckpointsResponse(checkpoints=data, has_more=more)

    async def SteerJob(self, request: pb.SteerJobRequest, context: Any) -> pb.SteerJobResponse:
        job = self._own(self._begin(request), request.job_id)
        wanted = {pb.STEER_CANCEL: CANCELLED, pb.STEER_PAUSE: PAUSED, pb.STEER_RESUME: QUEUED}[request.steer]
        if job.status in ENDED and job.status != wanted:
            raise SixfoldError(Reason.INVALID_REQUEST, "The job has ended.")
        job.status = wanted
        if wanted == CANCELLED:
            job.finished_at = job.finished_at or self._now()
        return pb.SteerJobResponse(job=job)


def newest_first(items: list[T], page: job_pb2.Page) -> tuple[list[T], bool]:
    """A page of what is listed in the order of its making."""
    found = list(items) if page.ascending else list(reversed(items))
    names = [item.id for item in found]  # type: ignore[attr-defined]
    if page.after:
        if page.after not in names:
            raise SixfoldError(Reason.NOT_FOUND, "There is no such thing.", param="after")
        found = found[names.index(page.after) + 1 :]
    limit = min(page.limit or 20, 100)
    return found[:limit], len(found) > limit


def _kept(source: Any) -> dict[str, Any]:
    if source.HasField("dataset"):
        return {"kind": "dataset", "id": source.dataset.dataset_id}
    return {"kind": "file", "id": source.file.id, "object_key": source.file.object_key}


class JobsServer:
    """A fake service behind the server that every service of the platform has."""

    def __init__(self, name: str, contract: str, add: Any, fake: Any, key: bytes, port: int = 0) -> None:
        self.port = port
        self._name, self._contract, self._add, self._fake, self._key = name, contract, add, fake, key
        self._server: RpcServer | None = None

    async def start(self) -> None:
        """Listens; `port` is then the real one."""
        lifecycle = Lifecycle(self._name)
        self._server = RpcServer(
            f"127.0.0.1:{self.port}",
            service=self._name,
            identity=ServiceIdentity(self._name, self._key),
            lifecycle=lifecycle,
        )
        self._server.add(self._add, self._fake, self._contract)
        self.port = await self._server.start()
        lifecycle.started()

    async def stop(self) -> None:
        """Ends it; running calls are cut."""
        if self._server is not None:
            await self._server.stop(0)
            self._server = None


def training_server(fake: FakeTraining, key: bytes) -> JobsServer:
    """A server for `fake`, not started."""
    add = training_service_pb2_grpc.add_TrainingServiceServicer_to_server
    return JobsServer("training-service", "sixfold.training.v1.TrainingService", add, fake, key)
