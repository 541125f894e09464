"""The audit of releases, as the eval service keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

AuditAction = Literal[
    "release.created",
    "gate.passed",
    "gate.refused",
    "approved",
    "rejected",
    "canary.step",
    "promoted",
    "rolled_back",
]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that was done to a release."""

    id: str
    at: float
    """Unix seconds."""
    subject: str
    """Who did it; empty when the service did it by itself."""
    role: str
    action: str
    release_id: str
    alias: str
    candidate: str
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines. An empty field is no condition."""

    alias: str = ""
    release_id: str = ""
    action: str = ""
    candidate: str = ""
    until: float = 0.0
    """Unix seconds; 0 for no bound."""
