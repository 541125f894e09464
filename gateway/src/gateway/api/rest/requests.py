"""/v1/requests: where an answer comes from. Not OpenAI's."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel

from gateway.api.rest.changes import reads
from gateway.api.rest.deps import Deps
from gateway.api.rest.feedback import Feedback, feedback_shown
from gateway.api.rest.releases import Release, release_shown
from gateway.identity.roles import REQUESTS_READ
from gateway.lineage import types
from gateway.lineage.service import LineageService
from gateway.retrieval.service import Call
from servicekit.errors import Reason, SixfoldError

router = APIRouter(prefix="/v1/requests", tags=["requests"])
Reading = Annotated[Call, Depends(reads(REQUESTS_READ))]


def lineage_of(deps: Deps) -> LineageService:
    """The service behind these routes. Raises SERVICE_UNAVAILABLE where none is wired."""
    if deps.lineage is None:
        raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "No records of requests are kept here.")
    return deps.lineage


Service = Annotated[LineageService, Depends(lineage_of)]


class Tokens(BaseModel):
    """What the request took."""

    prompt: int
    completion: int


class Request(BaseModel):
    """The request, without what was asked and answered. Times are Unix seconds."""

    id: str
    at: int
    operation: str
    answer_id: str | None
    subject: str
    requested_model: str
    model: str | None
    version: str | None
    engine: str | None
    route: str
    release_id: str | None
    """The release that decided who answers to the name; the model's own release is `release`."""
    stream: bool
    cache: str
    status: int
    reason: str | None
    tokens: Tokens
    seconds: float


class Model(BaseModel):
    """Who answered."""

    name: str
    version: str
    base: str | None
    owner: str | None


class Training(BaseModel):
    """How the model came to be."""

    job_id: str
    run_id: str | None
    method: str | None
    form: str
    base: str
    dataset_id: str | None
    data_sha256: str
    registered_name: str | None
    registered_version: str | None
    created_at: int
    metrics: dict[str, float]


class Data(BaseModel):
    """What it was trained on."""

    id: str
    name: str
    version: str
    rows: dict[str, int]
    sources: list[dict[str, Any]]


class Evaluation(BaseModel):
    """A run that its release was decided on; `report` is a path of this API."""

    run_id: str
    eval_id: str | None
    model: str | None
    report: str | None


class Passage(BaseModel):
    """What stood in the prompt."""

    file_id: str
    filename: str
    passage_id: str
    vector_store_id: str
    score: float
    cited: bool


class Lineage(BaseModel):
    """Everything that is known of an answer. Null: there is no such thing, or a warning says why."""

    object: Literal["request.lineage"] = "request.lineage"
    request: Request
    model: Model | None
    training: Training | None
    dataset: Data | None
    release: Release | None
    evaluations: list[Evaluation]
    passages: list[Passage]
    feedback: list[Feedback]
    warnings: list[str]


@router.get(
    "/{request_id}/lineage",
    summary="Say where an answer comes from",
    description="Needs the scope `requests:read`. The answer's `x-request-id`, or the id in its body. An "
    "answer that was just given is found at once, one that is not there after a second or two. What a "
    "service that is away knows is null, and `warnings` says so; without warnings it is complete.",
)
async def lineage(
    request_id: Annotated[str, Path(max_length=64, description="`req_…`, `chatcmpl-…`, `resp_…`.")],
    call: Reading,
    service: Service,
) -> Lineage:
    found = await service.of(call, request_id)
    return Lineage(
        request=_request(found.record),
        model=None if found.model is None else _model(found.model),
        training=None if found.training is None else _training(found.training),
        dataset=None if found.dataset is None else _data(found.dataset),
        release=None if found.release is None else release_shown(found.release),
        evaluations=[_evaluation(each) for each in found.evaluations],
        passages=[_passage(each) for each in found.record.passages],
        feedback=[feedback_shown(each) for each in found.feedback],
        warnings=list(found.warnings),
    )


def _request(record: types.Record) -> Request:
    return Request(
        id=record.id,
        at=int(record.at),
        operation=record.operation,
        answer_id=record.answer_id or None,
        subject=record.subject,
        requested_model=record.requested_model,
        model=record.model or None,
        version=record.version or None,
        engine=record.engine or None,
        route=record.route,
        release_id=record.release_id or None,
        stream=record.stream,
        cache=record.cache,
        status=record.status,
        reason=record.reason or None,
        tokens=Tokens(prompt=record.prompt_tokens, completion=record.completion_tokens),
        seconds=record.seconds,
    )


def _model(model: types.Model) -> Model:
    return Model(name=model.name, version=model.version, base=model.base or None, owner=model.owner or None)


def _training(made: types.Trained) -> Training:
    return Training(
        job_id=made.job_id,
        run_id=made.run_id or None,
        method=made.method or None,
        form=made.form,
        base=made.base,
        dataset_id=made.dataset_id or None,
        data_sha256=made.data_sha256,
        registered_name=made.registered_name or None,
        registered_version=made.registered_version or None,
        created_at=int(made.created_at),
        metrics=dict(made.metrics),
    )


def _data(data: types.Data) -> Data:
    return Data(
        id=data.id,
        name=data.name,
        version=data.version,
        rows=dict(data.rows),
        sources=[dict(each) for each in data.sources],
    )


def _evaluation(run: types.Evaluation) -> Evaluation:
    at = f"/v1/evals/{run.eval_id}/runs/{run.run_id}/report" if run.eval_id else None
    return Evaluation(run_id=run.run_id, eval_id=run.eval_id or None, model=run.model or None, report=at)


def _passage(passage: types.Passage) -> Passage:
    return Passage(
        file_id=passage.file_id,
        filename=passage.filename,
        passage_id=passage.passage_id,
        vector_store_id=passage.store_id,
        score=passage.score,
        cited=passage.cited,
    )
