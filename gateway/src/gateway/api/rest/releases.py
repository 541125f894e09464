"""/v1/releases: candidates on their way to a name that callers use. Not OpenAI's."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from gateway.api.rest.changes import changes, reads
from gateway.api.rest.deps import Deps
from gateway.api.rest.eval_runs import Comparison, comparison_of
from gateway.api.rest.jobs_common import NewestFirst
from gateway.api.rest.stores_common import Strict
from gateway.identity.roles import RELEASES_APPROVE, RELEASES_READ, RELEASES_WRITE
from gateway.jobs import releases_types as types
from gateway.jobs.releases import ReleasesService
from gateway.retrieval.service import Call
from servicekit.errors import Reason, SixfoldError

router = APIRouter(prefix="/v1/releases", tags=["releases"])
Reading = Annotated[Call, Depends(reads(RELEASES_READ))]
Changing = Annotated[Call, Depends(changes(RELEASES_WRITE))]
Approving = Annotated[Call, Depends(changes(RELEASES_APPROVE))]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(max_length=900, pattern=r"^[^\x00]*$")]


def releases_of(deps: Deps) -> ReleasesService:
    """The service behind these routes. Raises SERVICE_UNAVAILABLE where none is configured."""
    if deps.releases is None:
        raise SixfoldError(
            Reason.SERVICE_UNAVAILABLE, "Releases are not configured: there is no eval service here."
        )
    return deps.releases


Service = Annotated[ReleasesService, Depends(releases_of)]


class CreateRelease(Strict):
    """What to release, and for whom."""

    alias: Name = Field(description="The name that callers use.")
    candidate: Name = Field(description="The model that may answer to it.")
    run_ids: list[str] = Field(
        min_length=2,
        max_length=40,
        description="Runs of what answers today and of the candidate, over the same items.",
    )
    policy: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class Approve(Strict):
    """A person's word. Who it is says the token."""

    approved: bool = True
    comment: Text | None = None


class RollBack(Strict):
    """What to take back, and why."""

    alias: Name
    reason: Text | None = None


class Verdict(BaseModel):
    """What one rule of the policy says."""

    rule: str
    passed: bool
    reason: str
    comparison: Comparison | None


class Approval(BaseModel):
    """A person's word."""

    subject: str
    role: str
    approved: bool
    at: int
    comment: str


class Canary(BaseModel):
    """What a canary has shown so far; the interval is of candidate minus champion, valid at any time."""

    metric: str
    champion_answers: int
    candidate_answers: int
    champion_good: float
    candidate_good: float
    low: float
    high: float


class Release(BaseModel):
    """A release. Times are Unix seconds."""

    id: str
    object: Literal["release"] = "release"
    alias: str
    champion: str
    candidate: str
    versions: list[str]
    status: types.ReleaseStatus
    reason: str
    verdicts: list[Verdict]
    policy: str
    policy_sha256: str
    run_ids: list[str]
    approvals: list[Approval]
    share: float
    canary: Canary | None
    created_at: int
    changed_at: int
    subject: str


class ReleaseList(BaseModel):
    """A page of releases."""

    object: Literal["list"] = "list"
    data: list[Release]
    first_id: str | None
    last_id: str | None
    has_more: bool


@router.post("", summary="Release a model", description="Needs the scope `releases:write`.", status_code=201)
async def create_release(body: CreateRelease, call: Changing, service: Service) -> Release:
    made = await service.create(
        call,
        alias=body.alias,
        candidate=body.candidate,
        run_ids=body.run_ids,
        policy=body.policy or "",
    )
    return release_shown(made)


@router.get("", summary="List releases", description="Needs the scope `releases:read`. Newest first.")
async def list_releases(
    call: Reading,
    service: Service,
    page: NewestFirst,
    alias: Annotated[str | None, Query(max_length=200, description="Only for this name.")] = None,
) -> ReleaseList:
    found = await service.list(call, page, alias=alias or "")
    data = [release_shown(each) for each in found.data]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return ReleaseList(data=data, first_id=first, last_id=last, has_more=found.has_more)


@router.post("/rollback", summary="Take a release back", description="Needs the scope `releases:write`.")
async def roll_back(body: RollBack, call: Changing, service: Service) -> Release:
    return release_shown(await service.roll_back(call, body.alias, reason=body.reason or ""))


@router.get("/{release_id}", summary="Show a release", description="Needs the scope `releases:read`.")
async def get_release(release_id: str, call: Reading, service: Service) -> Release:
    return release_shown(await service.get(call, release_id))


@router.post(
    "/{release_id}/approve",
    summary="Approve or refuse a release",
    description="Needs the scope `releases:approve`. The same person twice is one person.",
)
async def approve_release(release_id: str, body: Approve, call: Approving, service: Service) -> Release:
    return release_shown(
        await service.approve(call, release_id, approved=body.approved, comment=body.comment or "")
    )


def release_shown(given: types.Release) -> Release:
    """As callers see it."""
    seen = given.canary
    return Release(
        id=given.id,
        alias=given.alias,
        champion=given.champion,
        candidate=given.candidate,
        versions=list(given.versions),
        status=given.status,
        reason=given.reason,
        verdicts=[
            Verdict(
                rule=each.rule,
                passed=each.passed,
                reason=each.reason,
                comparison=comparison_of(each.comparison) if each.comparison else None,
            )
            for each in given.verdicts
        ],
        policy=given.policy,
        policy_sha256=given.policy_sha256,
        run_ids=list(given.run_ids),
        approvals=[
            Approval(
                subject=each.subject,
                role=each.role,
                approved=each.approved,
                at=int(each.at),
                comment=each.comment,
            )
            for each in given.approvals
        ],
        share=given.share,
        canary=None
        if seen is None
        else Canary(
            metric=seen.metric,
            champion_answers=seen.champion_answers,
            candidate_answers=seen.candidate_answers,
            champion_good=seen.champion_good,
            candidate_good=seen.candidate_good,
            low=seen.low,
            high=seen.high,
        ),
        created_at=int(given.created_at),
        changed_at=int(given.changed_at),
        subject=given.subject,
    )
