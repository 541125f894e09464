"""Jobs of the contract in the domain's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.jobs import types as t
from gateway.retrieval.types import FileRef
from sixfold.jobs.v1 import job_pb2
from sixfold.training.v1 import dataset_pb2

STATUS: dict[int, t.JobStatus] = {
    job_pb2.JOB_STATUS_QUEUED: "queued",
    job_pb2.JOB_STATUS_RUNNING: "running",
    job_pb2.JOB_STATUS_PAUSED: "paused",
    job_pb2.JOB_STATUS_SUCCEEDED: "succeeded",
    job_pb2.JOB_STATUS_FAILED: "failed",
    job_pb2.JOB_STATUS_CANCELLED: "cancelled",
}


def to_page(page: t.Page) -> job_pb2.Page:
    """Which part of a list."""
    return job_pb2.Page(limit=page.limit, after=page.after, ascending=page.ascending)


def to_file(file: FileRef) -> dataset_pb2.FileSource:
    """A file, and where its content is."""
    return dataset_pb2.FileSource(
        id=file.id,
        filename=file.filename,
        sha256=file.sha256,
        object_key=file.object_key,
        bytes=file.bytes,
    )


def of_json(raw: bytes) -> Any:
    """What a service wrote as JSON; an empty object for nothing, or for what is none."""
    try:
        return orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError:
        return {}


def of_job(job: job_pb2.Job) -> t.Job:
    """As it stands."""
    return t.Job(
        id=job.id,
        status=STATUS.get(job.status, "queued"),
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        progress=job.progress,
        metrics=dict(job.metrics),
        reason=job.reason,
        message=job.message,
        estimated_finish=job.estimated_finish,
        spec=_object(job.spec_json),
        result=_object(job.result_json),
        metadata=dict(job.metadata),
    )


def of_event(event: job_pb2.JobEvent) -> t.JobEvent:
    """A line of a diary."""
    return t.JobEvent(
        event.id, event.created_at, event.level, event.message, event.type, _object(event.data_json)
    )


def of_checkpoint(checkpoint: job_pb2.Checkpoint) -> t.Checkpoint:
    """A place from which a job goes on."""
    return t.Checkpoint(checkpoint.id, checkpoint.created_at, checkpoint.step, dict(checkpoint.metrics))


def _object(raw: bytes) -> Mapping[str, Any]:
    value = of_json(raw)
    return value if isinstance(value, dict) else {}
