"""Jobs as the contract's messages, the same in every service that has them."""

from __future__ import annotations

from servicekit.jobs.types import Checkpoint, Job, JobEvent, Status
from sixfold.jobs.v1 import job_pb2

_STATUS = {
    Status.QUEUED: job_pb2.JOB_STATUS_QUEUED,
    Status.RUNNING: job_pb2.JOB_STATUS_RUNNING,
    Status.PAUSED: job_pb2.JOB_STATUS_PAUSED,
    Status.SUCCEEDED: job_pb2.JOB_STATUS_SUCCEEDED,
    Status.FAILED: job_pb2.JOB_STATUS_FAILED,
    Status.CANCELLED: job_pb2.JOB_STATUS_CANCELLED,
}


def job_message(job: Job) -> job_pb2.Job:
    """`sixfold.jobs.v1.Job`."""
    return job_pb2.Job(
        id=job.id,
        kind=job.kind,
        status=_STATUS[job.status],
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        priority=job.priority,
        progress=job.progress,
        metrics=job.metrics,
        reason=job.reason,
        message=job.message,
        estimated_finish=job.estimated_finish,
        spec_json=job.spec,
        result_json=job.result,
        metadata=job.metadata,
    )


def event_message(event: JobEvent) -> job_pb2.JobEvent:
    """`sixfold.jobs.v1.JobEvent`."""
    return job_pb2.JobEvent(
        id=event.id,
        created_at=event.created_at,
        level=event.level,
        message=event.message,
        type=event.type,
        data_json=event.data,
    )


def checkpoint_message(checkpoint: Checkpoint) -> job_pb2.Checkpoint:
    """`sixfold.jobs.v1.Checkpoint`."""
    return job_pb2.Checkpoint(
        id=checkpoint.id,
        created_at=checkpoint.created_at,
        step=checkpoint.step,
        metrics=checkpoint.metrics,
        object_key=checkpoint.object_key,
    )
