"""What the REST routes need, and how a route learns who calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request, Response

from gateway.api.authorization import authorization_of
from gateway.feedback.service import FeedbackService
from gateway.files.service import FilesService
from gateway.files.uploads import UploadsService
from gateway.identity.authenticator import Authenticator
from gateway.identity.keys_service import KeysService
from gateway.identity.principal import Principal
from gateway.jobs.audit import AuditService
from gateway.jobs.batches import BatchesService
from gateway.jobs.datasets import DatasetsService
from gateway.jobs.evals import EvalsService
from gateway.jobs.releases import ReleasesService
from gateway.jobs.tuning import TuningService
from gateway.limits.admission import Admission
from gateway.lineage.service import LineageService
from gateway.responses.service import Responses
from gateway.retrieval.repeats import Repeats
from gateway.retrieval.service import StoresService
from gateway.routing.removal import Removal
from servicekit.lifecycle import Lifecycle


@dataclass(frozen=True, slots=True)
class RestDeps:
    """The parts that `bootstrap.py` made."""

    authenticator: Authenticator
    keys: KeysService
    admission: Admission
    lifecycle: Lifecycle
    stores: StoresService | None = None
    responses: Responses | None = None
    files: FilesService | None = None
    uploads: UploadsService | None = None
    feedback: FeedbackService | None = None
    tuning: TuningService | None = None
    datasets: DatasetsService | None = None
    evals: EvalsService | None = None
    batches: BatchesService | None = None
    releases: ReleasesService | None = None
    audit: AuditService | None = None
    lineage: LineageService | None = None
    removal: Removal | None = None
    repeats: Repeats = field(default_factory=Repeats)
    """Which changes were sent before."""
    version: str = "0.1.0"
    notes: Callable[[], dict[str, str]] = dict
    """What readiness also tells and does not hang on, such as a configuration file that is stale."""
    metrics_token: bytes | None = None
    """When set, /metrics asks for it as a bearer token."""


def deps_of(request: Request) -> RestDeps:
    """The parts of the app that serves this request."""
    deps: RestDeps = request.app.state.deps
    return deps


Deps = Annotated[RestDeps, Depends(deps_of)]


def request_id_of(request: Request) -> str:
    """The id that the root application gave the request; empty where there is none, as in tests."""
    return getattr(request.state, "request_id", "")


async def verified_caller(request: Request, response: Response, deps: Deps) -> AsyncIterator[Principal]:
    """The verified caller, whose request counts against the tenant's limits."""
    authorization = authorization_of(request.scope["headers"])
    principal = deps.authenticator.cached(authorization) if authorization is not None else None
    if principal is None:
        principal = await deps.authenticator.authenticate(authorization)
    ticket = await deps.admission.admit(principal, "", 0)
    response.raw_headers.extend(ticket.headers)
    try:
        yield principal
    finally:
        await ticket.settle(0)


Caller = Annotated[Principal, Depends(verified_caller)]
