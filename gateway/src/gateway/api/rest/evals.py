"""/v1/evals: what is measured, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from gateway.api.rest.changes import changes, reads
from gateway.api.rest.deps import Deps
from gateway.api.rest.jobs_common import Ordered
from gateway.api.rest.stores_common import Metadata, Strict
from gateway.identity.roles import EVALS_READ, EVALS_WRITE
from gateway.jobs import measures
from gateway.jobs.evals import EvalsService
from gateway.retrieval.service import Call
from servicekit.errors import Reason, SixfoldError

router = APIRouter(prefix="/v1/evals", tags=["evals"])
Reading = Annotated[Call, Depends(reads(EVALS_READ))]
Changing = Annotated[Call, Depends(changes(EVALS_WRITE))]
Name = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$", description="For people.")]


def evals_of(deps: Deps) -> EvalsService:
    """The service behind these routes. Raises SERVICE_UNAVAILABLE where none is configured."""
    if deps.evals is None:
        raise SixfoldError(
            Reason.SERVICE_UNAVAILABLE, "Evals are not configured: there is no eval service here."
        )
    return deps.evals


Service = Annotated[EvalsService, Depends(evals_of)]


class CreateEval(Strict):
    """What to measure, and how."""

    name: Name | None = None
    data_source_config: dict[str, Any] = Field(description="`custom`: the JSON schema of a row.")
    testing_criteria: list[dict[str, Any]] = Field(
        min_length=1,
        description="OpenAI's `string_check`, `text_similarity`, `label_model`, `score_model`, and our own.",
    )
    metadata: Metadata | None = None


class UpdateEval(Strict):
    """What to change. What is not named stays."""

    name: Name | None = None
    metadata: Metadata | None = None


class Eval(BaseModel):
    """An eval. Times are Unix seconds."""

    id: str
    object: Literal["eval"] = "eval"
    name: str
    created_at: int
    data_source_config: dict[str, Any]
    testing_criteria: list[Any]
    metadata: dict[str, str]


class EvalList(BaseModel):
    """A page of evals."""

    object: Literal["list"] = "list"
    data: list[Eval]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedEval(BaseModel):
    """The eval and its runs are gone."""

    object: Literal["eval.deleted"] = "eval.deleted"
    deleted: bool = True
    eval_id: str


@router.post("", summary="Make an eval", description="Needs the scope `evals:write`.", status_code=201)
async def create_eval(body: CreateEval, call: Changing, service: Service) -> Eval:
    made = await service.create(
        call,
        name=body.name or "",
        config=body.data_source_config,
        criteria=body.testing_criteria,
        metadata=body.metadata or {},
    )
    return _shown(made)


@router.get("", summary="List evals", description="Needs the scope `evals:read`.")
async def list_evals(call: Reading, service: Service, page: Ordered) -> EvalList:
    found = await service.list(call, page)
    data = [_shown(each) for each in found.data]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return EvalList(data=data, first_id=first, last_id=last, has_more=found.has_more)


@router.get("/{eval_id}", summary="Show an eval", description="Needs the scope `evals:read`.")
async def get_eval(eval_id: str, call: Reading, service: Service) -> Eval:
    return _shown(await service.get(call, eval_id))


@router.post("/{eval_id}", summary="Change an eval", description="Needs the scope `evals:write`.")
async def update_eval(eval_id: str, body: UpdateEval, call: Changing, service: Service) -> Eval:
    given = body.model_fields_set
    changed = await service.update(
        call,
        eval_id,
        name=(body.name or "") if "name" in given else None,
        metadata=(body.metadata or {}) if "metadata" in given else None,
    )
    return _shown(changed)


@router.delete("/{eval_id}", summary="Delete an eval", description="Needs the scope `evals:write`.")
async def delete_eval(eval_id: str, call: Changing, service: Service) -> DeletedEval:
    await service.delete(call, eval_id)
    return DeletedEval(eval_id=eval_id)


def _shown(given: measures.Eval) -> Eval:
    return Eval(
        id=given.id,
        name=given.name,
        created_at=int(given.created_at),
        data_source_config=_config(given.data_source_config),
        testing_criteria=list(given.testing_criteria),
        metadata=dict(given.metadata),
    )


def _config(given: Mapping[str, Any]) -> dict[str, Any]:
    """As OpenAI shows it: the schema of all that a criterion may name."""
    if given.get("type") != "custom":
        return dict(given)
    parts: dict[str, Any] = {"item": given.get("item_schema", {})}
    if given.get("include_sample_schema"):
        parts["sample"] = {"type": "object"}
    return {
        "type": "custom",
        "schema": {"type": "object", "properties": parts, "required": list(parts)},
    }
