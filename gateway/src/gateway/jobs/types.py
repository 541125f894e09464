"""Jobs as the gateway shows them. Times are Unix seconds; 0 is for what has not happened yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from gateway.retrieval.types import FileRef

JobStatus = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
Steer = Literal["cancel", "pause", "resume"]
Method = Literal["supervised", "full", "dpo"]
T = TypeVar("T")


class Page(NamedTuple):
    """A part of a list, by the time at which its members were made."""

    limit: int
    after: str = ""
    ascending: bool = False


class Listed(NamedTuple, Generic[T]):
    """A page, and whether there is more behind it."""

    data: Sequence[T]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands."""

    id: str
    status: JobStatus
    created_at: float = 0
    started_at: float = 0
    finished_at: float = 0
    attempt: int = 0
    max_attempts: int = 0
    progress: float = 0
    """From 0 to 1."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    """UPPER_SNAKE, when it failed."""
    message: str = ""
    estimated_finish: float = 0
    spec: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for."""
    result: Mapping[str, Any] = field(default_factory=dict)
    """What came out; empty before the end."""
    metadata: Mapping[str, str] = field(default_factory=dict)


class WithResults(NamedTuple):
    """A job, and the tenant's files that hold what it left."""

    job: Job
    result_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A line of a job's diary."""

    id: str
    created_at: float
    level: str
    message: str
    type: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A place from which a job goes on."""

    id: str
    created_at: float
    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a training would take."""

    seconds: float
    tokens: int
    """Read in all epochs together."""
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class Tuning:
    """A model to train. 0 leaves a number to the trainer. Rows are a file, or the id of a data set."""

    model: str
    method: Method
    training: FileRef | str
    validation: FileRef | str | None
    seed: int
    suffix: str = ""
    epochs: float = 0
    batch_size: int = 0
    learning_rate_multiplier: float = 0
    beta: float = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
