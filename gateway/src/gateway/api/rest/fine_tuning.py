"""/v1/fine_tuning/jobs: models that are trained on the tenant's files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from gateway.api.rest.changes import changes, reads
from gateway.api.rest.deps import Deps
from gateway.api.rest.jobs_common import NewestFirst, moment
from gateway.api.rest.stores_common import Metadata, Strict
from gateway.identity.roles import FINETUNE_READ, FINETUNE_WRITE
from gateway.jobs import types
from gateway.jobs.tuning import TuningService, Wanted
from gateway.openai import fields
from gateway.retrieval.service import Call
from servicekit.errors import Reason, SixfoldError

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["fine-tuning"])
estimates = APIRouter(prefix="/v1/fine_tuning/estimates", tags=["fine-tuning"])
Reading = Annotated[Call, Depends(reads(FINETUNE_READ))]
Changing = Annotated[Call, Depends(changes(FINETUNE_WRITE))]
Asking = Annotated[Call, Depends(reads(FINETUNE_WRITE))]
Auto = Literal["auto"]
_MAX_PAIRS = 16


def tuning_of(deps: Deps) -> TuningService:
    """The service behind these routes. Raises SERVICE_UNAVAILABLE where none is configured."""
    if deps.tuning is None:
        raise SixfoldError(
            Reason.SERVICE_UNAVAILABLE, "Fine-tuning is not configured: there is no training service here."
        )
    return deps.tuning


Service = Annotated[TuningService, Depends(tuning_of)]


class Hyperparameters(Strict):
    """Numbers of a training. `auto` leaves one to the trainer."""

    batch_size: Auto | Annotated[int, Field(ge=1, le=256)] | None = "auto"
    learning_rate_multiplier: Auto | Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = "auto"
    n_epochs: Auto | Annotated[int, Field(ge=1, le=50)] = "auto"


class DpoHyperparameters(Hyperparameters):
    """The same, and how far the new model may go from the old one."""

    beta: Auto | Annotated[float, Field(gt=0, le=2, allow_inf_nan=False)] = "auto"


class Supervised(Strict):
    """Learns the answers."""

    hyperparameters: Hyperparameters | None = None


class Dpo(Strict):
    """Learns which of two answers is preferred."""

    hyperparameters: DpoHyperparameters | None = None


class AskedMethod(Strict):
    """How the model learns. `full` is not OpenAI's: it trains every weight of a small model."""

    type: Literal["supervised", "dpo", "full", "reinforcement"]
    supervised: Supervised | None = None
    dpo: Dpo | None = None
    full: Supervised | None = None


class CreateJob(Strict):
    """What to train."""

    model: str = Field(min_length=1, max_length=256, description="The base model.")
    training_file: str = Field(
        max_length=64,
        description="A file of JSON lines. Of a data set (`ds_…`, not OpenAI's) its train part is taken.",
    )
    validation_file: str | None = Field(
        None, max_length=64, description="Without one, a data set's own validation part is taken."
    )
    method: AskedMethod | None = None
    hyperparameters: Hyperparameters | None = Field(
        None, json_schema_extra={"deprecated": True}, description="Older; `method` has them now."
    )
    suffix: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        None, description="Becomes part of the new model's name."
    )
    seed: Annotated[int, Field(ge=0, le=2147483647)] | None = None
    integrations: list[dict[str, Any]] | None = Field(None, max_length=5)
    metadata: Metadata | None = None


class JobFailure(BaseModel):
    """Why a job failed."""

    code: str
    message: str
    param: str | None = None


class State(BaseModel):
    """What OpenAI's job does not tell."""

    status: types.JobStatus = Field(description="`paused` too, which OpenAI's statuses do not have.")
    progress: float = Field(description="From 0 to 1.")
    metrics: dict[str, float]
    attempt: int
    max_attempts: int
    started_at: int | None


class FineTuningJob(BaseModel):
    """A job. Times are Unix seconds."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    estimated_finish: int | None
    model: str
    fine_tuned_model: str | None
    organization_id: str = Field(description="The tenant.")
    status: Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]
    error: JobFailure | None
    hyperparameters: dict[str, str | float]
    method: dict[str, Any]
    training_file: str
    validation_file: str | None
    result_files: list[str] = Field(
        description="A CSV of the losses: `step`, `train_loss`, `valid_loss`. Empty before the end, and "
        "where there is no room for it."
    )
    trained_tokens: int | None
    seed: int
    integrations: list[dict[str, Any]]
    metadata: dict[str, str]
    sixfold: State


class Estimate(BaseModel):
    """What a training would take."""

    object: Literal["fine_tuning.estimate"] = "fine_tuning.estimate"
    seconds: float
    tokens: int = Field(description="Read in all epochs together.")
    memory_bytes: int
    disk_bytes: int = Field(description="Of the model and its checkpoints.")


class FineTuningJobList(BaseModel):
    """A page of jobs."""

    object: Literal["list"] = "list"
    data: list[FineTuningJob]
    has_more: bool


class FineTuningEvent(BaseModel):
    """A line of a job's diary."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any]


class FineTuningEventList(BaseModel):
    """A page of a diary."""

    object: Literal["list"] = "list"
    data: list[FineTuningEvent]
    has_more: bool


class FineTuningCheckpoint(BaseModel):
    """A place from which the job goes on. It is not served as a model of its own."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuning_job_id: str
    fine_tuned_model_checkpoint: str
    step_number: int
    metrics: dict[str, float]


class FineTuningCheckpointList(BaseModel):
    """A page of checkpoints."""

    object: Literal["list"] = "list"
    data: list[FineTuningCheckpoint]
    first_id: str | None
    last_id: str | None
    has_more: bool


@router.post("", summary="Train a model", description="Needs the scope `finetune:write`.")
async def create_job(body: CreateJob, call: Changing, service: Service) -> FineTuningJob:
    return _shown(await service.create(call, _wanted(body)), call.caller.tenant)


@estimates.post(
    "",
    summary="Estimate what a training would take",
    description="Needs the scope `finetune:write`. The body is that of a new job; nothing is ordered. From "
    "the number and the length of the rows, on this installation's machines. Not OpenAI's.",
)
async def estimate_job(body: CreateJob, call: Asking, service: Service) -> Estimate:
    told = await service.estimate(call, _wanted(body))
    return Estimate(
        seconds=round(told.seconds, 1),
        tokens=told.tokens,
        memory_bytes=told.memory_bytes,
        disk_bytes=told.disk_bytes,
    )


@router.get("", summary="List fine-tuning jobs", description="Needs the scope `finetune:read`. Newest first.")
async def list_jobs(
    call: Reading, service: Service, page: NewestFirst, request: Request
) -> FineTuningJobList:
    found = await service.list(call, page, metadata=_notes(request))
    data = [_shown(job, call.caller.tenant) for job in found.data]
    return FineTuningJobList(data=data, has_more=found.has_more)


@router.get("/{job_id}", summary="Show a fine-tuning job", description="Needs the scope `finetune:read`.")
async def get_job(job_id: str, call: Reading, service: Service) -> FineTuningJob:
    return _shown(await service.get(call, job_id), call.caller.tenant)


@router.post("/{job_id}/cancel", summary="Call a job off", description="Needs the scope `finetune:write`.")
async def cancel_job(job_id: str, call: Changing, service: Service) -> FineTuningJob:
    return _shown(await service.steer(call, job_id, "cancel"), call.caller.tenant)


@router.post(
    "/{job_id}/pause",
    summary="Let a job stand still",
    description="Needs the scope `finetune:write`. Its checkpoint is kept. OpenAI's statuses have no word "
    "for a job that stands still: it shows as `queued`, and as `paused` in `sixfold.status`.",
)
async def pause_job(job_id: str, call: Changing, service: Service) -> FineTuningJob:
    return _shown(await service.steer(call, job_id, "pause"), call.caller.tenant)


@router.post("/{job_id}/resume", summary="Let a job go on", description="Needs the scope `finetune:write`.")
async def resume_job(job_id: str, call: Changing, service: Service) -> FineTuningJob:
    return _shown(await service.steer(call, job_id, "resume"), call.caller.tenant)


@router.get(
    "/{job_id}/events",
    summary="Read a job's diary",
    description="Needs the scope `finetune:read`. Newest first.",
)
async def list_events(job_id: str, call: Reading, service: Service, page: NewestFirst) -> FineTuningEventList:
    found = await service.events(call, job_id, page)
    data = [
        FineTuningEvent(
            id=event.id,
            created_at=int(event.created_at),
            level="info" if event.level not in ("warn", "error") else event.level,
            message=event.message,
            type="metrics" if event.type == "metrics" else "message",
            data=dict(event.data),
        )
        for event in found.data
    ]
    return FineTuningEventList(data=data, has_more=found.has_more)


@router.get(
    "/{job_id}/checkpoints",
    summary="List a job's checkpoints",
    description="Needs the scope `finetune:read`. Newest first.",
)
async def list_checkpoints(
    job_id: str, call: Reading, service: Service, page: NewestFirst
) -> FineTuningCheckpointList:
    found = await service.checkpoints(call, job_id, page)
    data = [
        FineTuningCheckpoint(
            id=each.id,
            created_at=int(each.created_at),
            fine_tuning_job_id=job_id,
            fine_tuned_model_checkpoint=f"{job_id}:ckpt-step-{each.step}",
            step_number=each.step,
            metrics=dict(each.metrics),
        )
        for each in found.data
    ]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return FineTuningCheckpointList(data=data, first_id=first, last_id=last, has_more=found.has_more)


def _wanted(body: CreateJob) -> Wanted:
    if body.integrations:
        raise fields.unsupported("integrations", "Runs are tracked here already; no integration is known.")
    method, numbers = _method(body)
    return Wanted(
        model=body.model,
        training_file=body.training_file,
        validation_file=body.validation_file,
        method=method,
        epochs=int(_number(numbers.n_epochs)),
        batch_size=int(_number(numbers.batch_size)),
        learning_rate_multiplier=_number(numbers.learning_rate_multiplier),
        beta=_number(numbers.beta) if isinstance(numbers, DpoHyperparameters) else 0,
        suffix=body.suffix or "",
        seed=body.seed,
        metadata=body.metadata or {},
    )


def _method(body: CreateJob) -> tuple[types.Method, Hyperparameters]:
    """How to train, and its numbers. The older place for them is for supervised training."""
    asked = body.method
    if asked is None:
        return "supervised", body.hyperparameters or Hyperparameters()
    if asked.type == "reinforcement":
        raise fields.unsupported("method.type", "Methods are 'supervised', 'dpo' and 'full'.")
    for kind in ("supervised", "dpo", "full"):
        if kind != asked.type and getattr(asked, kind) is not None:
            raise fields.invalid(f"method.{kind}", f"the method is '{asked.type}'.")
    if body.hyperparameters is not None:
        raise fields.invalid("hyperparameters", "'method' has its own.")
    if asked.type == "dpo":
        return "dpo", (asked.dpo.hyperparameters if asked.dpo else None) or DpoHyperparameters()
    chosen = asked.supervised if asked.type == "supervised" else asked.full
    return asked.type, (chosen.hyperparameters if chosen else None) or Hyperparameters()


def _number(value: float | str | None) -> float:
    return 0 if value is None or isinstance(value, str) else value


def _notes(request: Request) -> dict[str, str]:
    """`metadata[key]=value`, as the official client writes it."""
    notes = {
        name[len("metadata[") : -1]: value
        for name, value in request.query_params.multi_items()
        if name.startswith("metadata[") and name.endswith("]")
    }
    if len(notes) > _MAX_PAIRS or any(not 0 < len(key) <= 64 or len(notes[key]) > 512 for key in notes):
        raise fields.invalid("metadata", f"at most {_MAX_PAIRS} pairs of 64 and 512 characters.")
    return notes


_NUMBERS = (("n_epochs", "epochs"), ("batch_size",) * 2, ("learning_rate_multiplier",) * 2)


def _shown(given: types.WithResults, tenant: str) -> FineTuningJob:
    job = given.job
    spec, result = job.spec, job.result
    wishes = _object(spec, "wishes")
    numbers = {shown: wishes.get(name) or "auto" for shown, name in _NUMBERS}
    method = str(spec.get("method", "supervised"))
    all_numbers = numbers | ({"beta": wishes.get("beta") or "auto"} if method == "dpo" else {})
    return FineTuningJob(
        id=job.id,
        created_at=int(job.created_at),
        finished_at=moment(job.finished_at),
        estimated_finish=moment(job.estimated_finish) if job.status == "running" else None,
        model=str(spec.get("base", "")),
        fine_tuned_model=str(spec.get("model", "")) if job.status == "succeeded" else None,
        organization_id=tenant,
        status="queued" if job.status == "paused" else job.status,
        error=JobFailure(code=job.reason.lower(), message=job.message) if job.status == "failed" else None,
        hyperparameters=numbers,
        method={"type": method, method: {"hyperparameters": all_numbers}},
        training_file=str(_object(spec, "training").get("id", "")),
        validation_file=_object(spec, "validation").get("id"),
        result_files=list(given.result_ids),
        trained_tokens=result.get("trained_tokens"),
        seed=int(wishes.get("seed", 0)),
        integrations=[],
        metadata=dict(job.metadata),
        sixfold=State(
            status=job.status,
            progress=job.progress,
            metrics=dict(job.metrics),
            attempt=job.attempt,
            max_attempts=job.max_attempts,
            started_at=moment(job.started_at),
        ),
    )


def _object(spec: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = spec.get(name)
    return value if isinstance(value, dict) else {}
