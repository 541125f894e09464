"""What callers may do with fine-tuning jobs: scopes, ids, and files that are their own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.files.types import NewFile
from gateway.identity.principal import require
from gateway.identity.roles import FINETUNE_READ, FINETUNE_WRITE
from gateway.jobs.ports import Files, Training
from gateway.jobs.types import (
    Checkpoint,
    Estimate,
    Job,
    JobEvent,
    Listed,
    Method,
    Page,
    Steer,
    Tuning,
    WithResults,
)
from gateway.retrieval.ids import DATASET, FILE, TUNING, check_cursor, check_id, is_id, not_found
from gateway.retrieval.service import Call
from gateway.retrieval.types import FileRef
from servicekit.errors import SixfoldError

_PARAMS = {
    "spec.base_model": "model",
    "spec.training": "training_file",
    "spec.validation": "validation_file",
    "spec.suffix": "suffix",
    "spec.seed": "seed",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model to train, as the caller says it. 0 means auto."""

    model: str
    training_file: str
    validation_file: str | None = None
    method: Method = "supervised"
    epochs: int = 0
    batch_size: int = 0
    learning_rate_multiplier: float = 0
    beta: float = 0
    suffix: str = ""
    seed: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class TuningService:
    """Fine-tuning jobs of the caller's tenant. Every method raises SixfoldError.

    The table of a job's losses becomes a file of the tenant's when the job is first looked at: its own copy,
    which counts against its room, and is not made again once it is deleted.
    """

    def __init__(self, training: Training, files: Files, *, deadline: float) -> None:
        """`deadline` is how many seconds one call to the training service may take."""
        self._training = training
        self._files = files
        self._deadline = deadline

    async def create(self, call: Call, wanted: Wanted) -> WithResults:
        """A new job. NOT_FOUND, and no job, when a file is not the tenant's."""
        require(call.caller, FINETUNE_WRITE)
        order = await self._order(call, wanted)
        try:
            job = await self._training.create(call.asker, call.change, order, deadline=self._deadline)
        except SixfoldError as error:
            error.param = _param(error.param)
            raise
        return await self._with_results(call, job)

    async def estimate(self, call: Call, wanted: Wanted) -> Estimate:
        """What it would take. Orders nothing, and raises what `create` would."""
        require(call.caller, FINETUNE_WRITE)
        order = await self._order(call, wanted)
        try:
            return await self._training.estimate(call.asker, order, deadline=self._deadline)
        except SixfoldError as error:
            error.param = _param(error.param)
            raise

    async def _order(self, call: Call, wanted: Wanted) -> Tuning:
        training = await self._rows(call, wanted.training_file, "training_file")
        validation = None
        if wanted.validation_file is not None:
            validation = await self._rows(call, wanted.validation_file, "validation_file")
        return Tuning(
            model=wanted.model,
            method=wanted.method,
            training=training,
            validation=validation,
            seed=_seed(call.change) if wanted.seed is None else wanted.seed,
            suffix=wanted.suffix,
            epochs=wanted.epochs,
            batch_size=wanted.batch_size,
            learning_rate_multiplier=wanted.learning_rate_multiplier,
            beta=wanted.beta,
            metadata=wanted.metadata,
        )

    async def list(self, call: Call, page: Page, *, metadata: Mapping[str, str]) -> Listed[WithResults]:
        """The tenant's jobs, newest first."""
        require(call.caller, FINETUNE_READ)
        check_cursor(TUNING, page.after, "after")
        found = await self._training.list(call.asker, page, metadata=metadata, deadline=self._deadline)
        return Listed([await self._with_results(call, job) for job in found.data], found.has_more)

    async def get(self, call: Call, job_id: str) -> WithResults:
        """One job."""
        require(call.caller, FINETUNE_READ)
        check_id(TUNING, job_id)
        job = await self._training.get(call.asker, job_id, deadline=self._deadline)
        return await self._with_results(call, job)

    async def events(self, call: Call, job_id: str, page: Page) -> Listed[JobEvent]:
        """Its diary, newest first."""
        require(call.caller, FINETUNE_READ)
        check_id(TUNING, job_id)
        return await self._training.events(call.asker, job_id, page, deadline=self._deadline)

    async def checkpoints(self, call: Call, job_id: str, page: Page) -> Listed[Checkpoint]:
        """Its checkpoints, newest first."""
        require(call.caller, FINETUNE_READ)
        check_id(TUNING, job_id)
        return await self._training.checkpoints(call.asker, job_id, page, deadline=self._deadline)

    async def steer(self, call: Call, job_id: str, steer: Steer) -> WithResults:
        """Calls a job off, stops it for a while, or lets it go on. INVALID_REQUEST for one that has ended."""
        require(call.caller, FINETUNE_WRITE)
        check_id(TUNING, job_id)
        job = await self._training.steer(call.asker, call.change, job_id, steer, deadline=self._deadline)
        return await self._with_results(call, job)

    async def _with_results(self, call: Call, job: Job) -> WithResults:
        """Without them where there is no room, or they cannot be read: how the job stands is told all the
        same."""
        left = job.result.get("results")
        if job.status != "succeeded" or not isinstance(left, dict):
            return WithResults(job, ())
        try:
            file_id = await self._files.adopt(
                call.caller.tenant,
                call.caller.subject,
                f"{job.id}:results",
                str(left["object_key"]),
                int(left["bytes"]),
                NewFile("step_metrics.csv", "fine-tune-results"),
            )
        except (SixfoldError, KeyError, ValueError):
            return WithResults(job, ())
        return WithResults(job, (file_id,))

    async def _rows(self, call: Call, id: str, param: str) -> FileRef | str:
        if is_id(DATASET, id):
            return id
        check_id(FILE, id, param)
        found = (await self._files.refs(call.caller.tenant, [id])).get(id)
        if found is None:
            raise not_found(FILE, id, param)
        return found


def _seed(change: str) -> int:
    """Of the caller's choice when it makes none: the same for a request that is sent again."""
    return int.from_bytes(hashlib.blake2b(change.encode(), digest_size=4).digest(), "big") >> 1


def _param(param: str | None) -> str | None:
    """The service's word for a field, as the caller knows it."""
    if param is None:
        return None
    for theirs, ours in _PARAMS.items():
        if param == theirs or param.startswith(f"{theirs}."):
            return ours
    return param.removeprefix("spec.")
