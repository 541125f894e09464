"""What a job is, to those who order it, watch it and do it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Status(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return self in (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


class Steer(StrEnum):
    """What a person may ask of a job."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class NewJob:
    """An order. The same idempotency key of the same tenant and kind makes one job."""

    kind: str
    """"fine_tuning", "evaluation", "batch", "dataset": names the handler and the id's prefix."""
    tenant: str
    spec: bytes
    """What is asked for, as JSON; at most `MAX_SPEC_BYTES`. Never logged."""
    idempotency_key: str
    priority: int = 0
    """Higher goes first, within the tenant's share; -10 to 10."""
    max_attempts: int = 3
    """Tries that may fail one after the other without a step forward."""
    memory_bytes: int = 0
    """Most that its processes may use together; 0 for the worker's own limit."""
    seconds: float = 0
    """Most that it may run, over all attempts; 0 for the worker's own limit."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    traceparent: str = ""
    """The order's trace; the current one if empty."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands. Times are Unix seconds; 0 for what has not happened."""

    id: str
    kind: str
    tenant: str
    status: Status
    created_at: float
    started_at: float
    finished_at: float
    attempt: int
    """Which try this is since it last got a step further, from 1; 0 before the first."""
    max_attempts: int
    priority: int
    progress: float
    """0 to 1."""
    metrics: Mapping[str, float]
    reason: str
    """UPPER_SNAKE, when it failed."""
    message: str
    """One sentence for a person, when it failed."""
    estimated_finish: float
    spec: bytes
    result: bytes
    """JSON; empty before the end."""
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One line of a job's diary."""

    id: str
    created_at: float
    level: str
    """"info", "warn" or "error"."""
    message: str
    type: str
    """"message" or "metrics"."""
    data: bytes
    """JSON, or empty."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A place from which a job goes on."""

    id: str
    created_at: float
    step: int
    metrics: Mapping[str, float]
    object_key: str
    """A tar archive in the object store."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's right to one job, until its lease ends or somebody else has a higher fence."""

    id: str
    kind: str
    tenant: str
    worker: str
    fence: int
    """Grows with every claim of this job. What is written under a lower one is refused."""
    attempt: int
    max_attempts: int
    spec: bytes
    checkpoint: Checkpoint | None
    """The newest one."""
    memory_bytes: int
    seconds: float
    ran_seconds: float
    """In earlier attempts."""
    progress: float
    metadata: Mapping[str, str]
    traceparent: str


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the diary, not yet written."""

    message: str
    level: str = "info"
    type: str = "message"
    data: bytes = b""
    at: float = 0
    """Unix seconds; now if 0."""


@dataclass(frozen=True, slots=True)
class Done:
    """The work is finished."""

    result: bytes
    """JSON."""


@dataclass(frozen=True, slots=True)
class Broke:
    """The attempt failed. With `retry` there may be another, after a pause that doubles each time."""

    reason: str
    message: str
    retry: bool = True


@dataclass(frozen=True, slots=True)
class Stood:
    """The work stopped where it was told to."""

    how: str
    """"pause", "cancel", or "release": another worker goes on at once."""


Outcome = Done | Broke | Stood


class Lost(Exception):
    """The claim is not the newest of its job any more, or its lease was given up. Stop, and write nothing."""


MAX_SPEC_BYTES = 1_000_000
MAX_RESULT_BYTES = 1_000_000
MAX_METRICS = 64
"""Figures kept with a job or a checkpoint."""
