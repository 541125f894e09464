"""The OpenAPI document: FastAPI's own, and the hot routes, which FastAPI does not serve."""

from __future__ import annotations

from importlib import resources
from typing import Any

import yaml
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi


def install_openapi(app: FastAPI) -> None:
    """Makes `app.openapi()` describe every route of the gateway. Built when first asked for."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def hot_routes() -> dict[str, Any]:
    """The description of the routes that are served as raw ASGI: `paths` and `components`."""
    merged: dict[str, Any] = {"paths": {}, "components": {}}
    for name in ("hot_routes.yaml", "file_routes.yaml", "dataset_routes.yaml"):
        text = resources.files("gateway.api.rest").joinpath(name).read_text("utf-8")
        document: dict[str, Any] = yaml.safe_load(text)
        merged["paths"] |= document["paths"]
        for kind, entries in document.get("components", {}).items():
            merged["components"].setdefault(kind, {}).update(entries)
    return merged


def _build(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    hot = hot_routes()
    for path, operations in hot["paths"].items():
        document["paths"][path] = {**operations, **document["paths"].get(path, {})}
    components = document.setdefault("components", {})
    for kind, entries in hot["components"].items():
        components.setdefault(kind, {}).update(entries)
    _replace_validation_errors(document)
    document["servers"] = [{"url": "/"}]
    return document


def _replace_validation_errors(document: dict[str, Any]) -> None:
    """FastAPI documents a 422 of its own shape; here every error is one shape, and bad input is 400."""
    for path, operations in document["paths"].items():
        for operation in operations.values():
            responses = operation["responses"]
            responses.pop("422", None)
            if path.startswith("/v1/"):
                operation["security"] = [{"bearer": []}]
                responses.setdefault("4XX", {"$ref": "#/components/responses/Error"})
                responses.setdefault("5XX", {"$ref": "#/components/responses/Error"})
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
