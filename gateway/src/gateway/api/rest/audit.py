"""/v1/audit: who did what to the tenant's releases. Not OpenAI's."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from gateway.api.rest.changes import reads
from gateway.api.rest.deps import Deps
from gateway.identity.roles import AUDIT_READ
from gateway.jobs.audit import AuditService
from gateway.jobs.audit_types import AuditAction, Wanted
from gateway.jobs.audit_types import AuditEntry as Told
from gateway.jobs.types import Page
from gateway.retrieval.service import Call
from servicekit.errors import Reason, SixfoldError

router = APIRouter(prefix="/v1/audit", tags=["releases"])
Reading = Annotated[Call, Depends(reads(AUDIT_READ))]


def audit_of(deps: Deps) -> AuditService:
    """The service behind these routes. Raises SERVICE_UNAVAILABLE where none is configured."""
    if deps.audit is None:
        raise SixfoldError(
            Reason.SERVICE_UNAVAILABLE, "There is nothing to audit: there is no eval service here."
        )
    return deps.audit


Service = Annotated[AuditService, Depends(audit_of)]


class AuditEntry(BaseModel):
    """One thing that was done to a release. Nobody changes or removes it."""

    id: str
    object: Literal["audit.entry"] = "audit.entry"
    at: int
    tenant: str
    subject: str | None
    """Who did it; null when the service did it by itself."""
    role: str | None
    action: str
    release_id: str
    alias: str
    candidate: str
    reason: str
    details: dict[str, Any]


class AuditList(BaseModel):
    """A page of the audit; `after=<last_id>` asks for the next."""

    object: Literal["list"] = "list"
    data: list[AuditEntry]
    first_id: str | None
    last_id: str | None
    has_more: bool


@router.get(
    "",
    summary="Read the audit of releases",
    description="Needs the scope `audit:read`. Every request for a release, word of the gate, approval and "
    "rejection, share of a canary, promotion and rollback: when, by whom in which role, why, and on what it "
    "was decided. Without a subject, the service did it by itself.",
)
async def list_audit(
    call: Reading,
    service: Service,
    alias: Annotated[str | None, Query(max_length=200, description="Only of this name.")] = None,
    release_id: Annotated[str | None, Query(max_length=64, description="Only of this release.")] = None,
    action: Annotated[AuditAction | None, Query(description="Only of this kind.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Annotated[Literal["asc", "desc"], Query(description="By time.")] = "desc",
    after: Annotated[str | None, Query(max_length=64, description="The last id of the page before.")] = None,
) -> AuditList:
    wanted = Wanted(alias=alias or "", release_id=release_id or "", action=action or "")
    found = await service.list(call, Page(limit, after or "", order == "asc"), wanted)
    data = [_shown(entry, call.caller.tenant) for entry in found.data]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return AuditList(data=data, first_id=first, last_id=last, has_more=found.has_more)


def _shown(told: Told, tenant: str) -> AuditEntry:
    return AuditEntry(
        id=told.id,
        at=int(told.at),
        tenant=tenant,
        subject=told.subject or None,
        role=told.role or None,
        action=told.action,
        release_id=told.release_id,
        alias=told.alias,
        candidate=told.candidate,
        reason=told.reason,
        details=dict(told.details),
    )
