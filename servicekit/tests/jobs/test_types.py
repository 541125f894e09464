"""Jobs as others see them."""

from __future__ import annotations

from types import SimpleNamespace

import servicekit.jobs
from servicekit.jobs import Job, Status, job_message, rows
from sixfold.jobs.v1 import job_pb2


def row(**more: object) -> SimpleNamespace:
    usual: dict[str, object] = {
        "status": "running",
        "fence": 3,
        "failures": 1,
        "max_attempts": 3,
        "progress": 0.5,
        "began_progress": 0.2,
        "began_at": 100.0,
    }
    return SimpleNamespace(**usual | more)


def test_everything_that_is_promised_is_there() -> None:
    for name in servicekit.jobs.__all__:
        assert getattr(servicekit.jobs, name) is not None


def test_only_ends_are_final() -> None:
    assert {status for status in Status if status.final} == {
        Status.SUCCEEDED,
        Status.FAILED,
        Status.CANCELLED,
    }


def test_attempts_are_counted_from_one_and_none_before_the_first() -> None:
    assert rows.attempt(row(fence=0, failures=0)) == 0
    assert rows.attempt(row(failures=0)) == 1
    assert rows.attempt(row(failures=2)) == 3
    assert rows.attempt(row(failures=3, status="failed")) == 3


def test_the_end_is_estimated_from_what_this_attempt_has_done() -> None:
    assert rows._estimate(row(), 130.0) == 130.0 + 30.0 / 0.3 * 0.5
    assert rows._estimate(row(progress=0.2), 130.0) == 0.0


def test_a_job_is_the_contracts_message() -> None:
    job = Job(
        id="ftjob-1",
        kind="fine_tuning",
        tenant="acme",
        status=Status.FAILED,
        created_at=1.5,
        started_at=2.5,
        finished_at=3.5,
        attempt=3,
        max_attempts=3,
        priority=-2,
        progress=0.25,
        metrics={"loss": 1.0},
        reason="KILLED",
        message="It was killed.",
        estimated_finish=0,
        spec=b"{}",
        result=b"",
        metadata={"a": "b"},
    )
    message = job_message(job)
    assert message.status == job_pb2.JOB_STATUS_FAILED
    assert (message.id, message.reason, dict(message.metrics), dict(message.metadata)) == (
        "ftjob-1",
        "KILLED",
        {"loss": 1.0},
        {"a": "b"},
    )
