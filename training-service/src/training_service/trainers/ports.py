"""What a recipe is given, and what it gives back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from training_service.datasets.rows import Row
from training_service.trainers.plan import Plan


class Diary(Protocol):
    """Where a training tells how it goes, and hears whether to stop: a job's Context."""

    def progress(self, fraction: float, metrics: Mapping[str, float] | None = None) -> None:
        """How far it is, 0 to 1, and its newest figures."""

    def event(
        self, level: str, message: str, data: Mapping[str, Any] | None = None, *, type: str = "message"
    ) -> None:
        """A line for its owner."""

    def checkpoint(self, step: int, state: Path | bytes, metrics: Mapping[str, float] | None = None) -> str:
        """Keeps a folder from which it can go on."""

    def should_stop(self) -> str | None:
        """None, "pause" or "cancel"."""


@dataclass(frozen=True, slots=True)
class Base:
    """A base model's folder: config.json, model.safetensors, tokenizer and chat template."""

    name: str
    version: str
    """Content hash of the weights, 16 hex digits."""
    folder: Path


@dataclass(frozen=True, slots=True)
class Run:
    """One training."""

    base: Base
    plan: Plan
    train: Sequence[Row]
    validation: Sequence[Row]
    workdir: Path
    resume: Path | None
    """The folder of a checkpoint to go on from."""
    diary: Diary
    checkpoint_steps: int = 50
    """Steps between two checkpoints."""
    max_tokens: int = 0
    """Longest row; 0 takes the base's context."""


@dataclass(slots=True)
class Trained:
    """What came out. `folder` holds what the form says: an adapter, or the whole model."""

    folder: Path
    metrics: dict[str, float] = field(default_factory=dict)
    losses: list[tuple[int, float]] = field(default_factory=list)
    """(step, loss) of every step."""
    validation: list[tuple[int, float]] = field(default_factory=list)
    """(step, validation loss) of every look."""

    @property
    def whole(self) -> bool:
        """Whether every loss was a number."""
        return all(math.isfinite(loss) for _, loss in self.losses)


class Stood(Exception):
    """The training stopped because it was told to; on "pause" its checkpoint is kept."""
