"""Health, readiness and metrics. They name dependencies, never their addresses."""

from __future__ import annotations

import hmac

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from gateway.api.authorization import authorization_of
from gateway.api.rest.deps import Deps
from servicekit import metrics
from servicekit.errors import Reason, SixfoldError

router = APIRouter(tags=["operations"])


class Health(BaseModel):
    """The process runs."""

    status: str = "ok"


class Ready(BaseModel):
    """Whether an answer can be given now."""

    ready: bool
    state: str = Field(description="starting, ready or draining")
    checks: dict[str, str] = Field(description="Dependency to `ok`, or to one word on what is wrong.")


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> Health:
    return Health()


@router.get(
    "/readyz",
    summary="Can an answer be given?",
    responses={503: {"model": Ready, "description": "Not now: starting, draining, or a dependency is away."}},
)
async def readyz(deps: Deps, response: Response) -> Ready:
    found = await deps.lifecycle.readiness()
    response.headers["cache-control"] = "no-store"
    if not found.ready:
        response.status_code = 503
    return Ready(ready=found.ready, state=found.state, checks=found.checks | deps.notes())


@router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
async def metrics_page(deps: Deps, request: Request) -> Response:
    if deps.metrics_token is not None:
        given = authorization_of(request.scope["headers"]) or b""
        if not hmac.compare_digest(given, b"Bearer " + deps.metrics_token):
            raise SixfoldError(Reason.MISSING_CREDENTIALS, "Metrics need the scraper's token.")
    body, content_type = metrics.render()
    return Response(body, media_type=content_type)
