"""Releases: a candidate's way to a name that callers use. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.jobs.measures import Comparison

ReleaseStatus = Literal["evaluating", "refused", "awaiting_approval", "canary", "promoted", "rolled_back"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule of the policy says."""

    rule: str
    passed: bool
    reason: str
    comparison: Comparison | None


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's word."""

    subject: str
    role: str
    approved: bool
    at: float
    comment: str


@dataclass(frozen=True, slots=True)
class Canary:
    """What a canary has shown so far."""

    metric: str
    champion_answers: int
    candidate_answers: int
    champion_good: float
    candidate_good: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Release:
    """As it stands."""

    id: str
    alias: str
    champion: str
    candidate: str
    versions: Sequence[str]
    status: ReleaseStatus
    reason: str
    verdicts: Sequence[Verdict]
    policy: str
    policy_sha256: str
    run_ids: Sequence[str]
    approvals: Sequence[Approval]
    share: float
    canary: Canary | None
    created_at: float
    changed_at: float
    subject: str
