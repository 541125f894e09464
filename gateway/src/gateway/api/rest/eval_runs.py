"""/v1/evals/{eval_id}/runs: measurements, and what came out of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.api.rest.evals import Changing, Name, Reading, Service
from gateway.api.rest.jobs_common import Ordered
from gateway.api.rest.stores_common import Metadata, Strict
from gateway.jobs import measures, types

router = APIRouter(prefix="/v1/evals/{eval_id}/runs", tags=["evals"])
Status = Literal["queued", "in_progress", "completed", "canceled", "failed"]
_STATUS: dict[types.JobStatus, Status] = {
    "queued": "queued",
    "running": "in_progress",
    "paused": "in_progress",
    "succeeded": "completed",
    "failed": "failed",
    "cancelled": "canceled",
}
_ASKED: dict[Status, types.JobStatus] = {
    "queued": "queued",
    "in_progress": "running",
    "completed": "succeeded",
    "failed": "failed",
    "canceled": "cancelled",
}
_MEASURES = {"passed", "latency_seconds", "prompt_tokens", "completion_tokens"}
_PAGE = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What a report's page may do: show itself."""
BaseRun = Annotated[str | None, Query(max_length=64, description="The run to compare with.")]


class CreateRun(Strict):
    """What to run."""

    name: Name | None = None
    data_source: dict[str, Any] = Field(
        description="OpenAI's `jsonl`, whose rows hold the answers, or `completions`, which asks a model. "
        'Besides `file_id` and `file_content`, `source` may be `{"type": "dataset", "id": "ds_…", "part": '
        '"test"}`: then an item has `messages`, the turns up to the answer '
        '(`{"type": "item_reference", "item_reference": "item.messages"}`), `question`, the last thing that '
        "a user says there, `answer`, what is right (`{{item.answer}}`), and, where the data has them, "
        "`label` and `rejected`; with `jsonl` the row's own answer is the sample."
    )
    metadata: Metadata | None = None


class ResultCounts(BaseModel):
    """Items by outcome."""

    total: int
    errored: int
    failed: int
    passed: int


class ModelUsage(BaseModel):
    """What the model was asked for."""

    model_name: str
    invocation_count: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int


class CriterionResult(BaseModel):
    """Items by what one criterion says."""

    testing_criteria: str
    passed: int
    failed: int


class Figure(BaseModel):
    """A mean with its 95% confidence interval. Not OpenAI's."""

    name: str
    value: float
    low: float
    high: float
    items: int
    passed: int
    higher_is_better: bool


class RunError(BaseModel):
    """Why a run failed."""

    code: str
    message: str


class State(BaseModel):
    """What OpenAI's run does not tell."""

    progress: float
    attempt: int
    model_version: str
    data_sha256: str
    figures: list[Figure]


class EvalRun(BaseModel):
    """A run. Times are Unix seconds."""

    id: str
    object: Literal["eval.run"] = "eval.run"
    eval_id: str
    name: str
    created_at: int
    status: Status
    model: str
    report_url: str
    result_counts: ResultCounts
    per_model_usage: list[ModelUsage]
    per_testing_criteria_results: list[CriterionResult]
    data_source: dict[str, Any]
    metadata: dict[str, str]
    error: RunError | None
    sixfold: State


class EvalRunList(BaseModel):
    """A page of runs."""

    object: Literal["list"] = "list"
    data: list[EvalRun]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedRun(BaseModel):
    """The run and its items are gone."""

    object: Literal["eval.run.deleted"] = "eval.run.deleted"
    deleted: bool = True
    run_id: str


class OutputItem(BaseModel):
    """One row, answered and judged."""

    id: str
    object: Literal["eval.run.output_item"] = "eval.run.output_item"
    created_at: int
    run_id: str
    eval_id: str
    status: Literal["pass", "fail"]
    datasource_item_id: int
    datasource_item: dict[str, Any]
    results: list[Any]
    sample: dict[str, Any]
    reason: str | None = Field(description="UPPER_SNAKE, when there is no answer. Not OpenAI's.")


class OutputItemList(BaseModel):
    """A page of items."""

    object: Literal["list"] = "list"
    data: list[OutputItem]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Comparison(BaseModel):
    """This run minus the other on one criterion, paired on the items that both have."""

    name: str
    difference: float
    low: float
    high: float
    p_value: float
    test: str
    items: int
    wins: int
    losses: int


class ComparisonList(BaseModel):
    """One a criterion."""

    object: Literal["list"] = "list"
    data: list[Comparison]


@router.post("", summary="Run an eval", description="Needs the scope `evals:write`.", status_code=201)
async def create_run(
    eval_id: str, body: CreateRun, call: Changing, service: Service, request: Request
) -> EvalRun:
    run = await service.create_run(
        call, eval_id, name=body.name or "", data_source=body.data_source, metadata=body.metadata or {}
    )
    return _shown(run, request)


@router.get("", summary="List an eval's runs", description="Needs the scope `evals:read`.")
async def list_runs(
    eval_id: str,
    call: Reading,
    service: Service,
    page: Ordered,
    request: Request,
    status: Annotated[Status | None, Query(description="A page may then hold fewer than asked for.")] = None,
) -> EvalRunList:
    found = await service.list_runs(call, eval_id, page, status=_ASKED[status] if status else None)
    data = [_shown(run, request) for run in found.data]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return EvalRunList(data=data, first_id=first, last_id=last, has_more=found.has_more)


@router.get("/{run_id}", summary="Show a run", description="Needs the scope `evals:read`.")
async def get_run(eval_id: str, run_id: str, call: Reading, service: Service, request: Request) -> EvalRun:
    return _shown(await service.get_run(call, eval_id, run_id), request)


@router.post("/{run_id}", summary="Call a run off", description="Needs the scope `evals:write`.")
@router.post("/{run_id}/cancel", summary="Call a run off", description="As the official client asks.")
async def cancel_run(
    eval_id: str, run_id: str, call: Changing, service: Service, request: Request
) -> EvalRun:
    return _shown(await service.cancel_run(call, eval_id, run_id), request)


@router.delete("/{run_id}", summary="Delete a run", description="Needs the scope `evals:write`.")
async def delete_run(eval_id: str, run_id: str, call: Changing, service: Service) -> DeletedRun:
    await service.delete_run(call, eval_id, run_id)
    return DeletedRun(run_id=run_id)


@router.get("/{run_id}/output_items", summary="List a run's items", description="Needs `evals:read`.")
async def list_items(
    eval_id: str,
    run_id: str,
    call: Reading,
    service: Service,
    page: Ordered,
    status: Annotated[Literal["pass", "fail"] | None, Query()] = None,
) -> OutputItemList:
    found = await service.list_items(call, eval_id, run_id, page, status=status or "")
    data = [_item(each, eval_id, run_id) for each in found.data]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return OutputItemList(data=data, first_id=first, last_id=last, has_more=found.has_more)


@router.get("/{run_id}/output_items/{item_id}", summary="Show an item", description="Needs `evals:read`.")
async def get_item(eval_id: str, run_id: str, item_id: str, call: Reading, service: Service) -> OutputItem:
    return _item(await service.get_item(call, eval_id, run_id, item_id), eval_id, run_id)


@router.get(
    "/{run_id}/comparison",
    summary="Compare a run with another",
    description="Needs the scope `evals:read`. Not OpenAI's.",
)
async def compare(
    eval_id: str,
    run_id: str,
    call: Reading,
    service: Service,
    base_run_id: Annotated[str, Query(max_length=64, description="The run to compare with.")],
) -> ComparisonList:
    found = await service.compare(call, eval_id, base_run_id, run_id)
    return ComparisonList(data=[comparison_of(each) for each in found])


@router.get(
    "/{run_id}/report",
    summary="Read a run's report",
    description="Needs the scope `evals:read`. A self-contained page, or JSON. Not OpenAI's.",
    response_class=Response,
)
async def report(
    eval_id: str,
    run_id: str,
    call: Reading,
    service: Service,
    base_run_id: BaseRun = None,
    format: Annotated[Literal["html", "json"], Query()] = "html",
) -> Response:
    found = await service.report(call, eval_id, run_id, base_id=base_run_id or "", format=format)
    return Response(found.body, media_type=found.media_type, headers={"content-security-policy": _PAGE})


def comparison_of(given: measures.Comparison) -> Comparison:
    """As it is shown."""
    return Comparison(
        name=given.name,
        difference=given.difference,
        low=given.low,
        high=given.high,
        p_value=given.p_value,
        test=given.test,
        items=given.items,
        wins=given.wins,
        losses=given.losses,
    )


def _shown(run: measures.Run, request: Request) -> EvalRun:
    counts, job = run.counts, run.job
    return EvalRun(
        id=run.id,
        eval_id=run.eval_id,
        name=run.name,
        created_at=int(job.created_at),
        status=_STATUS[job.status],
        model=run.model,
        report_url=f"{str(request.base_url).rstrip('/')}/v1/evals/{run.eval_id}/runs/{run.id}/report",
        result_counts=ResultCounts(
            total=counts.get("total", 0),
            errored=counts.get("errored", 0),
            failed=counts.get("failed", 0),
            passed=counts.get("passed", 0),
        ),
        per_model_usage=_usage(run),
        per_testing_criteria_results=[
            CriterionResult(testing_criteria=each.name, passed=each.passed, failed=each.items - each.passed)
            for each in run.figures
            if each.name not in _MEASURES and not each.name.endswith((".macro_f1", ".position_bias"))
        ],
        data_source=dict(run.data_source),
        metadata=dict(run.metadata),
        error=RunError(code=job.reason.lower(), message=job.message) if job.status == "failed" else None,
        sixfold=State(
            progress=job.progress,
            attempt=job.attempt,
            model_version=run.model_version,
            data_sha256=run.data_sha256,
            figures=[_figure(each) for each in run.figures],
        ),
    )


def _usage(run: measures.Run) -> list[ModelUsage]:
    if not run.model or not run.usage:
        return []
    prompt, completion = run.usage.get("prompt", 0), run.usage.get("completion", 0)
    usage = ModelUsage(
        model_name=run.model,
        invocation_count=run.counts.get("total", 0) - run.counts.get("errored", 0),
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        cached_tokens=run.usage.get("cached", 0),
    )
    return [usage]


def _figure(given: measures.Figure) -> Figure:
    return Figure(
        name=given.name,
        value=given.value,
        low=given.low,
        high=given.high,
        items=given.items,
        passed=given.passed,
        higher_is_better=given.higher_is_better,
    )


def _item(item: measures.Item, eval_id: str, run_id: str) -> OutputItem:
    return OutputItem(
        id=item.id,
        created_at=int(item.created_at),
        run_id=run_id,
        eval_id=eval_id,
        status="pass" if item.passed else "fail",
        datasource_item_id=item.index,
        datasource_item=dict(item.row),
        results=list(item.results),
        sample=_sample(item.sample),
        reason=item.reason or None,
    )


def _sample(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked and answered, with the fields that OpenAI's sample has and ours has not."""
    if not given:
        return {}
    usage = given.get("usage") or {}
    total = usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
    return {
        **given,
        "output": [{"role": "assistant", "content": given.get("output_text", "")}],
        "usage": {"cached_tokens": 0, **usage, "total_tokens": total},
        "error": None,
    }
