"""What the training and the eval service know of where an answer comes from, over channels not this one's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.adapters.jobs_proto import of_job, of_json, to_page
from gateway.adapters.releases_client import of_release
from gateway.adapters.service_client import ServiceClient
from gateway.jobs.audit_types import AuditEntry, Wanted
from gateway.jobs.releases_types import Release
from gateway.jobs.types import Job, Listed, Page
from gateway.lineage.types import Data, Evaluation, Trained
from gateway.routing.ports import Asker
from servicekit.errors import Reason, SixfoldError
from sixfold.eval.v1 import eval_service_pb2, release_pb2
from sixfold.training.v1 import training_service_pb2 as training_pb

_SHOWN: Mapping[str, tuple[str, ...]] = {
    "file": ("id", "filename", "sha256"),
    "feedback": ("kinds", "since", "until", "model"),
    "dataset": ("id", "version"),
}
"""Of a data set's sources, by kind. Where the object store has them is nobody's business."""


class GrpcOrigins:
    """`gateway.lineage.ports.Origins` over the training service's channel."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    async def trained(self, asker: Asker, model: str, *, deadline: float) -> Trained:
        """See the port, here and below."""
        request = training_pb.GetTrainedModelRequest(model=model)
        answer = await self._service.ask(
            asker, "GetTrainedModel", request, training_pb.GetTrainedModelResponse, deadline
        )
        told = answer.model
        job = await self._job(asker, told.job_id, deadline)
        return Trained(
            base=told.base_model,
            job_id=told.job_id,
            run_id=told.run_id,
            method=_word(job, "method"),
            form=told.form,
            dataset_id=told.dataset_id,
            data_sha256=told.data_sha256,
            registered_name=told.registered_name,
            registered_version=told.registered_version,
            created_at=told.created_at,
            metrics=dict(told.metrics),
        )

    async def data(self, asker: Asker, dataset_id: str, *, deadline: float) -> Data:
        request = training_pb.GetDatasetRequest(dataset_id=dataset_id)
        answer = await self._service.ask(
            asker, "GetDataset", request, training_pb.GetDatasetResponse, deadline
        )
        told = answer.dataset
        job = await self._job(asker, told.job_id, deadline)
        sources = job.spec.get("sources", ()) if job is not None else ()
        return Data(told.id, told.name, told.version, dict(told.rows), [_source(each) for each in sources])

    async def _job(self, asker: Asker, job_id: str, deadline: float) -> Job | None:
        """What was ordered; None where it is not known any more."""
        request = training_pb.GetJobRequest(job_id=job_id)
        try:
            answer = await self._service.ask(asker, "GetJob", request, training_pb.GetJobResponse, deadline)
        except SixfoldError as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise
        return of_job(answer.job)


class GrpcJudgements:
    """`gateway.lineage.ports.Judgements` and `gateway.jobs.audit.Auditing`, over the eval service's."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    async def release(self, asker: Asker, release_id: str, *, deadline: float) -> Release:
        """See the port, here and below."""
        request = eval_service_pb2.GetReleaseRequest(release_id=release_id)
        answer = await self._service.ask(
            asker, "GetRelease", request, eval_service_pb2.GetReleaseResponse, deadline
        )
        return of_release(answer.release)

    async def evaluation(self, asker: Asker, run_id: str, *, deadline: float) -> Evaluation:
        request = eval_service_pb2.GetRunRequest(run_id=run_id)
        answer = await self._service.ask(asker, "GetRun", request, eval_service_pb2.GetRunResponse, deadline)
        return Evaluation(answer.run.id, answer.run.eval_id, answer.run.model)

    async def audit(self, asker: Asker, page: Page, wanted: Wanted, *, deadline: float) -> Listed[AuditEntry]:
        request = eval_service_pb2.ListAuditRequest(
            page=to_page(page),
            alias=wanted.alias,
            release_id=wanted.release_id,
            action=wanted.action,
            candidate=wanted.candidate,
            until=wanted.until,
        )
        answer = await self._service.ask(
            asker, "ListAudit", request, eval_service_pb2.ListAuditResponse, deadline
        )
        return Listed([_entry(each) for each in answer.entries], answer.has_more)


def _entry(told: release_pb2.AuditEntry) -> AuditEntry:
    details = of_json(told.details_json)
    return AuditEntry(
        id=told.id,
        at=told.at,
        subject=told.subject,
        role=told.role,
        action=told.action,
        release_id=told.release_id,
        alias=told.alias,
        candidate=told.candidate,
        reason=told.reason,
        details=details if isinstance(details, dict) else {},
    )


def _word(job: Job | None, name: str) -> str:
    value = job.spec.get(name, "") if job is not None else ""
    return value if isinstance(value, str) else ""


def _source(given: Any) -> dict[str, Any]:
    """In the words that callers order a data set with."""
    if not isinstance(given, dict):
        return {}
    kind = given.get("kind", "")
    shown = {name: given[name] for name in _SHOWN.get(kind, ()) if given.get(name)}
    if "id" in shown:
        shown = {f"{kind}_id": shown.pop("id"), **shown}
    if given.get("named") and isinstance(given.get("parts"), dict):
        shown["part"] = ",".join(given["parts"])
    return {"type": kind, **shown}
