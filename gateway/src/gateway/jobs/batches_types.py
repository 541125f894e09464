"""Batches: lists of requests that are worked off. Times are Unix seconds, sizes bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

BatchStatus = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]


@dataclass(frozen=True, slots=True)
class Left:
    """What a batch left in the object store."""

    filename: str
    object_key: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Batch:
    """As it stands."""

    id: str
    endpoint: str
    input_id: str
    status: BatchStatus
    counts: Mapping[str, int]
    """Requests: "total", "completed", "failed"."""
    times: Mapping[str, float]
    """By step: "created", "in_progress", "completed" and so on."""
    output: Left | None
    errors: Left | None
    faults: Mapping[str, Any]
    """Why nothing could begin, as OpenAI's errors; empty otherwise."""
    metadata: Mapping[str, str]
    output_seconds: int = 0
    """How long the files of what it left are kept; 0 where the caller did not say."""


class WithFiles(NamedTuple):
    """A batch, and the tenant's files that hold what it left."""

    batch: Batch
    output_id: str | None
    errors_id: str | None
