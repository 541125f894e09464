"""The REST app: one shape of error, health that tells, keys over HTTP, a page that needs no outside."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from gateway.api.rest.app import create_app
from gateway.api.rest.deps import RestDeps
from gateway.config.limits import LimitsConfig
from gateway.limits.admission import Admission
from servicekit.lifecycle import Lifecycle
from servicekit.limits import MemoryLimiter


@pytest.fixture
def lifecycle() -> Lifecycle:
    return Lifecycle("gateway")


@pytest.fixture
def make_app(authenticator, keys_service, lifecycle) -> Callable[..., FastAPI]:
    def make(limits: dict[str, Any] | None = None, **changes: Any) -> FastAPI:
        admission = Admission(MemoryLimiter(), LimitsConfig.model_validate(limits or {}))
        return create_app(RestDeps(authenticator, keys_service, admission, lifecycle, **changes))

    return make


@pytest.fixture
async def client(make_app) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(make_app()) as client:
        yield client


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")


@pytest.fixture
def admin(sign) -> dict[str, str]:
    return {"authorization": f"Bearer {sign()}"}


def error_of(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-should-retry"] in ("true", "false")
    return body["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/keys/", 404, "not_found"),
        ("GET", "/redoc", 404, "not_found"),
        ("PUT", "/v1/keys", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("GET", "/v1/keys", 401, "missing_credentials"),
        ("GET", "/v1/keys/bad", 401, "missing_credentials"),
        ("POST", "/v1/keys", 401, "missing_credentials"),
        ("DELETE", "/v1/keys/000000000000", 401, "missing_credentials"),
    ],
)
async def test_errors_have_one_shape(client, method, path, status, code) -> None:
    response = await client.request(method, path)
    assert response.status_code == status
    assert error_of(response)["code"] == code
    if status == 405:
        assert response.headers["allow"]
    if status == 401:
        assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"{", None, "invalid_json"),
        (b"[]", None, "invalid_request"),
        (b"", None, "invalid_request"),
        (b'{"name": 7}', "name", "invalid_request"),
        (b'{"name": "a\\nb"}', "name", "invalid_request"),
        (b'{"name": "\\ud800"}', "name", "invalid_request"),
        (b'{"name": "' + b"x" * 201 + b'"}', "name", "invalid_request"),
        (b'{"nom": "a"}', "nom", "invalid_request"),
        (b'{"scopes": "chat:write"}', "scopes", "invalid_request"),
        (b'{"scopes": ["chat:write", 7]}', "scopes[1]", "invalid_request"),
        (b'{"scopes": ["root"]}', "scopes", "invalid_request"),
        (b'{"scopes": []}', "scopes", "invalid_request"),
        (b'{"expires_in_seconds": -1}', "expires_in_seconds", "invalid_request"),
        (b'{"expires_in_seconds": 1e400}', "expires_in_seconds", "invalid_request"),
        (b'{"limits": {"requests_per_minute": 0}}', "limits.requests_per_minute", "invalid_request"),
    ],
    ids=repr,
)
async def test_bad_bodies_name_the_field(client, admin, body, param, code) -> None:
    headers = admin | {"content-type": "application/json"}
    response = await client.post("/v1/keys", content=body, headers=headers)
    assert response.status_code == 400
    error = error_of(response)
    assert (error["code"], error["param"]) == (code, param)


async def test_a_key_from_birth_to_end(client, admin) -> None:
    wanted = {
        "name": "ci",
        "scopes": ["models:read", "keys:write"],
        "expires_in_seconds": 60,
        "limits": {"concurrency": 2},
    }
    created = await client.post("/v1/keys", json=wanted, headers=admin)
    assert created.status_code == 201
    assert created.headers["cache-control"] == "no-store"
    key = created.json()
    secret = key.pop("key")
    assert re.fullmatch(r"sk-sixfold-[0-9a-f]{12}-[A-Za-z0-9_-]{43}", secret)
    assert secret.split("-")[2] == key["id"]
    assert (key["object"], key["tenant"], key["status"], key["role"]) == (
        "api_key",
        "acme",
        "active",
        "admin",
    )
    assert key["limits"] == {"requests_per_minute": None, "tokens_per_minute": None, "concurrency": 2}
    assert key["expires_at"] - key["created_at"] == 60

    as_key = {"authorization": f"Bearer {secret}"}
    listed = await client.get("/v1/keys", headers=as_key)
    assert listed.json()["data"] == [key]
    assert secret not in listed.text
    assert (await client.get(f"/v1/keys/{key['id']}", headers=admin)).json() == key
    ended = await client.delete(f"/v1/keys/{key['id']}", headers=as_key)
    assert ended.json() == {"id": key["id"], "object": "api_key.deleted", "deleted": True}
    assert error_of(await client.get("/v1/keys", headers=as_key))["code"] == "invalid_api_key"
    assert (await client.get(f"/v1/keys/{key['id']}", headers=admin)).json()["status"] == "revoked"


async def test_a_repeated_creation(client, admin) -> None:
    headers = admin | {"idempotency-key": "0b7c"}
    first = await client.post("/v1/keys", json={"name": "ci"}, headers=headers)
    again = await client.post("/v1/keys", json={"name": "ci"}, headers=headers)
    assert again.json() == first.json()
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    other = await client.post("/v1/keys", json={"name": "cd"}, headers=headers)
    assert other.status_code == 409
    assert error_of(other)["code"] == "already_exists"
    assert len((await client.get("/v1/keys", headers=admin)).json()["data"]) == 1
    assert (
        await client.post("/v1/keys", json={}, headers=admin | {"idempotency-key": "x" * 256})
    ).status_code == 400


async def test_pages_of_keys(client, admin) -> None:
    for index in range(3):
        await client.post("/v1/keys", json={"name": str(index)}, headers=admin)
    first = (await client.get("/v1/keys?limit=2", headers=admin)).json()
    assert [key["name"] for key in first["data"]] == ["2", "1"]
    assert first["has_more"] is True
    second = (await client.get(f"/v1/keys?limit=2&after={first['last_id']}", headers=admin)).json()
    assert [key["name"] for key in second["data"]] == ["0"]
    assert second["has_more"] is False
    for query in ("limit=0", "limit=101", "limit=x", "after=zz"):
        assert (await client.get(f"/v1/keys?{query}", headers=admin)).status_code == 400


async def test_a_tenant_never_sees_anothers_key(client, admin, sign) -> None:
    key = (await client.post("/v1/keys", json={"name": "secret plans"}, headers=admin)).json()
    other = {"authorization": f"Bearer {sign(tenant='umbrella')}"}
    unknown = await client.get("/v1/keys/000000000000", headers=other)
    for method in ("GET", "DELETE"):
        response = await client.request(method, f"/v1/keys/{key['id']}", headers=other)
        assert response.status_code == 404
        assert response.json() == unknown.json()  # as if it did not exist
    assert (await client.get("/v1/keys", headers=other)).json()["data"] == []
    assert (await client.get(f"/v1/keys/{key['id']}", headers=admin)).json()["status"] == "active"


@pytest.mark.parametrize("role", ["member", "viewer"])
async def test_only_administrators_manage_keys(client, sign, role) -> None:
    headers = {"authorization": f"Bearer {sign(role=role)}"}
    for method, path in (("POST", "/v1/keys"), ("GET", "/v1/keys"), ("DELETE", "/v1/keys/000000000000")):
        response = await client.request(method, path, json={} if method == "POST" else None, headers=headers)
        assert response.status_code == 403
        assert error_of(response)["code"] == "permission_denied"


async def test_managing_keys_counts_as_requests(make_app, admin) -> None:
    async with client_of(make_app({"default": {"requests_per_minute": 2}})) as client:
        assert (await client.get("/v1/keys", headers=admin)).headers["x-ratelimit-remaining-requests"] == "1"
        await client.get("/v1/keys", headers=admin)
        refused = await client.get("/v1/keys", headers=admin)
    assert refused.status_code == 429
    assert error_of(refused)["type"] == "requests"
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"


async def test_a_failed_call_frees_its_place(make_app, admin) -> None:
    async with client_of(make_app({"default": {"concurrency": 1}})) as client:
        for _ in range(3):
            assert (await client.get("/v1/keys/000000000000", headers=admin)).status_code == 404


async def test_two_authorization_headers_are_refused(client, sign) -> None:
    pairs = [("authorization", f"Bearer {sign()}"), ("authorization", f"Bearer {sign(tenant='umbrella')}")]
    assert error_of(await client.get("/v1/keys", headers=pairs))["code"] == "invalid_token"


async def test_health_and_readiness(client, lifecycle) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    starting = await client.get("/readyz")
    assert starting.status_code == 503
    assert starting.json() == {"ready": False, "state": "starting", "checks": {}}
    lifecycle.started()
    assert (await client.get("/readyz")).status_code == 200


async def test_readiness_names_what_is_wrong_and_not_where(client, lifecycle) -> None:
    async def broken() -> None:
        raise OSError("cannot reach 10.0.0.7:5432 as postgres:hunter2")

    lifecycle.depend("store", broken)
    lifecycle.started()
    response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"ready": False, "state": "ready", "checks": {"store": "unavailable"}}


async def test_metrics(make_app) -> None:
    async with client_of(make_app()) as client:
        page = await client.get("/metrics")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/plain")
        assert "# TYPE" in page.text
    async with client_of(make_app(metrics_token=b"scrape")) as client:
        assert (await client.get("/metrics")).status_code == 401
        assert (await client.get("/metrics", headers={"authorization": "Bearer nope"})).status_code == 401
        assert (await client.get("/metrics", headers={"authorization": "Bearer scrape"})).status_code == 200


async def test_no_exception_text_leaves(make_app, keys_service, admin, monkeypatch) -> None:
    async def explode(*_: Any, **__: Any) -> None:
        raise RuntimeError("password=hunter2 at /srv/secret")

    monkeypatch.setattr(keys_service._store, "list", explode)
    with capture_logs() as logs:
        async with client_of(make_app()) as client:
            response = await client.get("/v1/keys", headers=admin)
    assert [(line["event"], line["path"]) for line in logs] == [("rest_request_failed", "/v1/keys")]
    assert response.status_code == 500
    assert error_of(response)["code"] == "internal"
    assert "hunter2" not in response.text


async def test_the_page_needs_no_outside(client) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(linked) == 4
    for link in linked:
        assert link.startswith(("/docs/", "data:"))
        if link.startswith("/"):
            file = await client.get(link)
            assert file.status_code == 200
            assert len(file.content) > 100
    assert "//" not in page.text.replace("</", "")


async def test_the_document_describes_every_route(client) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    hot = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models", "/v1/models/{model}"}
    rest = {"/healthz", "/readyz", "/metrics", "/v1/keys", "/v1/keys/{key_id}"}
    store = "/v1/vector_stores/{store_id}"
    batch = f"{store}/file_batches/{{batch_id}}"
    stores = {
        "/v1/vector_stores", store, f"{store}/search", f"{store}/files", f"{store}/files/{{file_id}}",
        f"{store}/files/{{file_id}}/content", f"{store}/file_batches", batch,
        f"{batch}/cancel", f"{batch}/files",
    }  # fmt: skip
    files = {
        "/v1/files", "/v1/files/{file_id}", "/v1/files/{file_id}/content", "/v1/uploads",
        "/v1/uploads/{upload_id}/parts", "/v1/uploads/{upload_id}/complete", "/v1/uploads/{upload_id}/cancel",
    }  # fmt: skip
    response = "/v1/responses/{response_id}"
    responses = {"/v1/responses", response, f"{response}/cancel", f"{response}/input_items"}
    feedback = {"/v1/feedback", "/v1/feedback/{feedback_id}"}
    lineage = "/v1/requests/{request_id}/lineage"
    of_jobs = ("/v1/datasets", "/v1/fine_tuning/", "/v1/evals", "/v1/releases", "/v1/batches", "/v1/audit")
    jobs = {path for path in document["paths"] if path.startswith(of_jobs)}
    assert "/v1/fine_tuning/jobs" in jobs
    assert set(document["paths"]) == hot | rest | stores | files | responses | feedback | jobs | {lineage}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"]
            assert "422" not in operation["responses"]
            assert ("security" in operation) == path.startswith("/v1/")
    for name in references(document):
        place: Any = document
        for part in name.removeprefix("#/").split("/"):
            place = place[part]


def references(node: Any) -> set[str]:
    """Every $ref below a node."""
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(value) for value in node.values()))
    return set().union(*(references(value) for value in node)) if isinstance(node, list) else set()
