"""The FastAPI app for everything but the hot routes."""

from __future__ import annotations

from fastapi import FastAPI

from gateway.api.rest import (
    audit,
    batches,
    datasets,
    eval_runs,
    evals,
    feedback,
    file_batches,
    files,
    fine_tuning,
    keys,
    models,
    ops,
    releases,
    requests,
    responses,
    store_files,
    store_search,
    stores,
    uploads,
)
from gateway.api.rest.deps import RestDeps
from gateway.api.rest.docs import docs_router
from gateway.api.rest.errors import install_error_handlers
from gateway.api.rest.middleware import Edge
from gateway.api.rest.openapi import install_openapi

_DESCRIPTION = (
    "The only door to Sixfold. It speaks OpenAI's API: point the official client's `base_url` at `/v1`. "
    "Send a token or an API key as `Authorization: Bearer …`. Every error has the shape of `Error`, and "
    "every answer carries `x-request-id`."
)


def create_app(deps: RestDeps) -> FastAPI:
    """An ASGI app around `deps`. Starts nothing and owns nothing: who made the parts ends them."""
    app = FastAPI(
        title="Sixfold gateway",
        version=deps.version,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
        # Its own spans hold clients' addresses, agents and paths; the root application's do not.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.deps = deps
    app.include_router(keys.router)
    app.include_router(models.router)
    app.include_router(files.router)
    app.include_router(uploads.router)
    for stores_routes in (stores, store_files, file_batches, store_search):
        app.include_router(stores_routes.router)
    app.include_router(responses.router)
    app.include_router(feedback.router)
    app.include_router(fine_tuning.router)
    app.include_router(fine_tuning.estimates)
    app.include_router(datasets.router)
    app.include_router(evals.router)
    app.include_router(eval_runs.router)
    app.include_router(releases.router)
    app.include_router(audit.router)
    app.include_router(requests.router)
    app.include_router(batches.router)
    app.include_router(ops.router)
    app.include_router(docs_router())
    install_error_handlers(app)
    install_openapi(app)
    app.add_middleware(Edge)
    return app
