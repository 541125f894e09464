"""An answer, what a criterion says of it, and the models that a criterion may ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Turn = tuple[str, str]
"""Role and text."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was answered. Fields are 0 or empty where a row brought its answer along."""

    text: str
    model: str = ""
    version: str = ""
    finish_reason: str = ""
    refusal: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    seconds: float = 0.0
    asked: tuple[Turn, ...] = ()
    """The turns that it answers."""

    @property
    def measured(self) -> bool:
        """Whether a model was asked, so that its time and tokens mean something."""
        return bool(self.model)


@dataclass(frozen=True, slots=True)
class Result:
    """What one criterion says of one answer."""

    name: str
    score: float
    passed: bool | None = None
    """None for criteria that only measure."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """For people and for the summary: the label, the judge's words."""


class Unjudgeable(Exception):
    """A criterion has nothing to say of this item. `reason` is UPPER_SNAKE."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Ask:
    """What to ask a model, and how. Unset fields are the model's own."""

    turns: tuple[Turn, ...]
    choices: tuple[str, ...] = ()
    """The answer is one of these."""
    schema: Mapping[str, Any] | None = None
    """The answer is JSON that follows this."""
    json_object: bool = False
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    max_tokens: int = 0
    stop: tuple[str, ...] = ()


class Models(Protocol):
    """Models that answer. Raises SixfoldError."""

    async def answer(self, model: str, ask: Ask) -> Sample:
        """The whole answer."""

    async def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        """Vectors of length 1."""
