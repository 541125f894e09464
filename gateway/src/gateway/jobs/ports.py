"""What the gateway needs of the services whose jobs it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gateway.files.types import NewFile
from gateway.jobs.batches_types import Batch
from gateway.jobs.datasets_types import Dataset, Order
from gateway.jobs.measures import Comparison, Eval, Item, Report, Run
from gateway.jobs.releases_types import Release
from gateway.jobs.types import Checkpoint, Estimate, Job, JobEvent, JobStatus, Listed, Page, Steer, Tuning
from gateway.retrieval.types import FileRef
from gateway.routing.ports import Asker


class Training(Protocol):
    """The training service on one asker's behalf.

    Every call raises SixfoldError: NOT_FOUND for what is not the asker's tenant's, SERVICE_UNAVAILABLE
    while the service is away, DEADLINE_EXCEEDED, or what the service says. `deadline` is in seconds.
    `request_id` names a change: made twice under one id within a day it has one effect and one answer.
    """

    async def create(self, asker: Asker, request_id: str, wanted: Tuning, *, deadline: float) -> Job: ...
    async def estimate(self, asker: Asker, wanted: Tuning, *, deadline: float) -> Estimate:
        """Orders nothing."""
        ...

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


class Curating(Protocol):
    """Data sets that the training service makes, on one asker's behalf. Calls are as those of `Training`."""

    async def create(self, asker: Asker, request_id: str, order: Order, *, deadline: float) -> Dataset: ...
    async def get(self, asker: Asker, dataset_id: str, *, deadline: float) -> Dataset: ...
    async def list(self, asker: Asker, page: Page, *, name: str, deadline: float) -> Listed[Dataset]:
        """Of one name where it is not empty."""
        ...

    async def delete(self, asker: Asker, request_id: str, dataset_id: str, *, deadline: float) -> None: ...


class Evaluation(Protocol):
    """What the eval service measures, on one asker's behalf. Calls are as those of `Training`."""

    async def create_eval(
        self,
        asker: Asker,
        request_id: str,
        *,
        name: str,
        config: Mapping[str, Any],
        criteria: Sequence[Any],
        metadata: Mapping[str, str],
        deadline: float,
    ) -> Eval: ...
    async def get_eval(self, asker: Asker, eval_id: str, *, deadline: float) -> Eval: ...
    async def list_evals(self, asker: Asker, page: Page, *, deadline: float) -> Listed[Eval]: ...
    async def update_eval(
        self,
        asker: Asker,
        request_id: str,
        eval_id: str,
        *,
        name: str | None,
        metadata: Mapping[str, str] | None,
        deadline: float,
    ) -> Eval:
        """None leaves a field as it is."""
        ...

    async def delete_eval(self, asker: Asker, request_id: str, eval_id: str, *, deadline: float) -> None: ...

    async def create_run(
        self,
        asker: Asker,
        request_id: str,
        eval_id: str,
        *,
        name: str,
        data_source: Mapping[str, Any],
        file: FileRef | None,
        metadata: Mapping[str, str],
        deadline: float,
    ) -> Run: ...
    async def get_run(self, asker: Asker, eval_id: str, run_id: str, *, deadline: float) -> Run: ...
    async def list_runs(
        self, asker: Asker, eval_id: str, page: Page, *, status: JobStatus | None, deadline: float
    ) -> Listed[Run]: ...
    async def cancel_run(
        self, asker: Asker, request_id: str, eval_id: str, run_id: str, *, deadline: float
    ) -> Run: ...
    async def delete_run(
        self, asker: Asker, request_id: str, eval_id: str, run_id: str, *, deadline: float
    ) -> None: ...
    async def list_items(
        self, asker: Asker, eval_id: str, run_id: str, page: Page, *, status: str, deadline: float
    ) -> Listed[Item]: ...
    async def get_item(
        self, asker: Asker, eval_id: str, run_id: str, item_id: str, *, deadline: float
    ) -> Item: ...
    async def compare(
        self, asker: Asker, base_id: str, candidate_id: str, *, deadline: float
    ) -> Sequence[Comparison]: ...
    async def report(
        self, asker: Asker, run_id: str, *, base_id: str, format: str, deadline: float
    ) -> Report: ...


class Releasing(Protocol):
    """What the eval service lets in, on one asker's behalf. Calls are as those of `Training`."""

    async def create_release(
        self,
        asker: Asker,
        request_id: str,
        *,
        alias: str,
        candidate: str,
        run_ids: Sequence[str],
        policy: str,
        subject: str,
        role: str,
        deadline: float,
    ) -> Release: ...
    async def get_release(self, asker: Asker, release_id: str, *, deadline: float) -> Release: ...
    async def list_releases(
        self, asker: Asker, page: Page, *, alias: str, deadline: float
    ) -> Listed[Release]: ...
    async def approve_release(
        self,
        asker: Asker,
        request_id: str,
        release_id: str,
        *,
        approved: bool,
        comment: str,
        subject: str,
        role: str,
        deadline: float,
    ) -> Release: ...
    async def roll_back(
        self,
        asker: Asker,
        request_id: str,
        alias: str,
        *,
        reason: str,
        subject: str,
        role: str,
        deadline: float,
    ) -> Release:
        """The release that was taken back."""
        ...


class Batching(Protocol):
    """Lists of requests that the eval service works off, on one asker's behalf. As `Training`."""

    async def create_batch(
        self,
        asker: Asker,
        request_id: str,
        *,
        endpoint: str,
        input: FileRef,
        metadata: Mapping[str, str],
        output_seconds: int,
        deadline: float,
    ) -> Batch: ...
    async def get_batch(self, asker: Asker, batch_id: str, *, deadline: float) -> Batch: ...
    async def list_batches(self, asker: Asker, page: Page, *, deadline: float) -> Listed[Batch]: ...
    async def cancel_batch(
        self, asker: Asker, request_id: str, batch_id: str, *, deadline: float
    ) -> Batch: ...


class Files(Protocol):
    """The tenant's files, and how what a job left becomes one of them."""

    async def refs(self, tenant: str, file_ids: Sequence[str]) -> dict[str, FileRef]:
        """Those of `file_ids` that are the tenant's, by id."""
        ...

    async def adopt(
        self, tenant: str, subject: str, token: str, object_key: str, size: int, wanted: NewFile
    ) -> str:
        """The id of the tenant's own copy; the same for the same token."""
        ...
