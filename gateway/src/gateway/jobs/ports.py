"""What the gateway needs of the services whose jobs it shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway.jobs.types import Checkpoint, Job, JobEvent, Listed, Page, Steer, Tuning
from gateway.routing.ports import Asker


class Training(Protocol):
    """The training service on one asker's behalf.

    Every call raises SixfoldError: NOT_FOUND for what is not the asker's tenant's, SERVICE_UNAVAILABLE
    while the service is away, DEADLINE_EXCEEDED, or what the service says. `deadline` is in seconds.
    `request_id` names a change: made twice under one id within a day it has one effect and one answer.
    """

    async def create(self, asker: Asker, request_id: str, wanted: Tuning, *, deadline: float) -> Job: ...
    async def get(self, asker: Asker, job_id: str, *, deadline: float) -> Job: ...
    async def list(
        self, asker: Asker, page: Page, *, metadata: Mapping[str, str], deadline: float
    ) -> Listed[Job]:
        """Jobs that train models."""
        ...

    async def events(self, asker: Asker, job_id: str, page: Page, *, deadline: float) -> Listed[JobEvent]: ...
    async def checkpoints(
        self, asker: Asker, job_id: str, page: Page, *, deadline: float
    ) -> Listed[Checkpoint]: ...
    async def steer(
        self, asker: Asker, request_id: str, job_id: str, steer: Steer, *, deadline: float
    ) -> Job: ...
