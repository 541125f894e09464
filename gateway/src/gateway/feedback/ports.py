"""What feedback needs of the outside: a place where it is kept and told on in one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gateway.feedback.types import Attempt, Feedback


class Added(NamedTuple):
    """What is kept, and whether it is the first answer to a repeated request."""

    feedback: Feedback
    repeated: bool


class FeedbackStore(Protocol):
    """Records of feedback, by tenant."""

    async def add(self, feedback: Feedback, attempt: Attempt | None) -> Added:
        """Keeps it and has it told on, both or neither. Raises ALREADY_EXISTS for an attempt that was
        made for something else."""
        ...

    async def get(self, tenant: str, feedback_id: str) -> Feedback | None:
        """One of the tenant's."""
        ...

    async def page(
        self, tenant: str, *, request_id: str | None, after: str | None, ascending: bool, limit: int
    ) -> Sequence[Feedback]:
        """By time. Behind an `after` that is not there, there is nothing."""
        ...

    async def sweep(self, *, before: float, limit: int) -> int:
        """Removes what was given before that time, at most `limit`; says how many."""
        ...
