"""Evals, their runs and what came out. Times are Unix seconds; 0 is for what has not happened yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.jobs.types import Job


@dataclass(frozen=True, slots=True)
class Eval:
    """What is measured, and how."""

    id: str
    name: str
    created_at: float
    data_source_config: Mapping[str, Any]
    testing_criteria: Sequence[Any]
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean with its 95% interval."""

    name: str
    value: float
    low: float
    high: float
    items: int
    passed: int
    higher_is_better: bool


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement of one target."""

    id: str
    eval_id: str
    name: str
    model: str
    model_version: str
    job: Job
    data_source: Mapping[str, Any]
    data_sha256: str
    counts: Mapping[str, int]
    """"total", "passed", "failed", "errored"."""
    figures: Sequence[Figure]
    usage: Mapping[str, int]
    """Tokens: "prompt", "completion", "cached"."""
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Item:
    """One row, answered and judged."""

    id: str
    index: int
    row: Mapping[str, Any]
    sample: Mapping[str, Any]
    results: Sequence[Any]
    passed: bool
    created_at: float
    reason: str
    """UPPER_SNAKE, when there is no answer."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs over the same items, on one criterion. The difference is candidate minus base."""

    name: str
    difference: float
    low: float
    high: float
    p_value: float
    test: str
    items: int
    wins: int
    losses: int


@dataclass(frozen=True, slots=True)
class Report:
    """A run, or two, as a page or as JSON."""

    media_type: str
    body: bytes
