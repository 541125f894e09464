"""Two tenants over every call of the gateway: neither gets, changes or uses up anything of the other."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from parts.platform import Platform

pytestmark = pytest.mark.real_model

STORE = "/v1/vector_stores/{store_id}"
BATCH = f"{STORE}/file_batches/{{batch_id}}"
CALLS = {
    ("get", "/v1/models"), ("get", "/v1/models/{model}"),
    ("delete", "/v1/models/{model}"),  # in gateway/tests/walk/test_trained.py
    ("post", "/v1/chat/completions"), ("post", "/v1/completions"), ("post", "/v1/embeddings"),
    ("get", "/v1/keys"), ("post", "/v1/keys"), ("get", "/v1/keys/{key_id}"), ("delete", "/v1/keys/{key_id}"),
    # in gateway/tests/walk/test_responses.py
    ("post", "/v1/responses"), ("get", "/v1/responses"), ("get", "/v1/responses/{response_id}"),
    ("delete", "/v1/responses/{response_id}"), ("post", "/v1/responses/{response_id}/cancel"),
    ("get", "/v1/responses/{response_id}/input_items"),
    # in test_files.py
    ("get", "/v1/files"), ("post", "/v1/files"), ("get", "/v1/files/{file_id}"),
    ("delete", "/v1/files/{file_id}"), ("get", "/v1/files/{file_id}/content"), ("post", "/v1/uploads"),
    ("post", "/v1/uploads/{upload_id}/parts"), ("post", "/v1/uploads/{upload_id}/complete"),
    ("post", "/v1/uploads/{upload_id}/cancel"),
    # in test_tenants_stores.py
    ("get", "/v1/vector_stores"), ("post", "/v1/vector_stores"),
    ("get", STORE), ("post", STORE), ("delete", STORE), ("post", f"{STORE}/search"),
    ("get", f"{STORE}/files"), ("post", f"{STORE}/files"),
    ("get", f"{STORE}/files/{{file_id}}"), ("post", f"{STORE}/files/{{file_id}}"),
    ("delete", f"{STORE}/files/{{file_id}}"), ("get", f"{STORE}/files/{{file_id}}/content"),
    ("post", f"{STORE}/file_batches"), ("get", BATCH), ("post", f"{BATCH}/cancel"), ("get", f"{BATCH}/files"),
    # in gateway/tests/walk/test_batches.py
    ("get", "/v1/batches"), ("post", "/v1/batches"), ("get", "/v1/batches/{batch_id}"),
    ("post", "/v1/batches/{batch_id}/cancel"),
    # in gateway/tests/walk/test_datasets.py
    ("get", "/v1/datasets"), ("post", "/v1/datasets"), ("get", "/v1/datasets/{dataset_id}"),
    ("delete", "/v1/datasets/{dataset_id}"), ("get", "/v1/datasets/{dataset_id}/card"),
    ("get", "/v1/datasets/{dataset_id}/parts/{part}"),
    # in gateway/tests/walk/test_evals.py
    ("get", "/v1/evals"), ("post", "/v1/evals"), ("get", "/v1/evals/{eval_id}"),
    ("post", "/v1/evals/{eval_id}"), ("delete", "/v1/evals/{eval_id}"),
    ("get", "/v1/evals/{eval_id}/runs"), ("post", "/v1/evals/{eval_id}/runs"),
    ("get", "/v1/evals/{eval_id}/runs/{run_id}"), ("post", "/v1/evals/{eval_id}/runs/{run_id}"),
    ("delete", "/v1/evals/{eval_id}/runs/{run_id}"), ("post", "/v1/evals/{eval_id}/runs/{run_id}/cancel"),
    ("get", "/v1/evals/{eval_id}/runs/{run_id}/comparison"),
    ("get", "/v1/evals/{eval_id}/runs/{run_id}/output_items"),
    ("get", "/v1/evals/{eval_id}/runs/{run_id}/output_items/{item_id}"),
    ("get", "/v1/evals/{eval_id}/runs/{run_id}/report"),
    # in gateway/tests/walk/test_feedback.py
    ("get", "/v1/feedback"), ("post", "/v1/feedback"), ("get", "/v1/feedback/{feedback_id}"),
    # in gateway/tests/walk/test_fine_tuning.py
    ("get", "/v1/fine_tuning/jobs"), ("post", "/v1/fine_tuning/jobs"),
    ("get", "/v1/fine_tuning/jobs/{job_id}"),
    ("post", "/v1/fine_tuning/jobs/{job_id}/cancel"), ("post", "/v1/fine_tuning/jobs/{job_id}/pause"),
    ("post", "/v1/fine_tuning/jobs/{job_id}/resume"), ("get", "/v1/fine_tuning/jobs/{job_id}/events"),
    ("get", "/v1/fine_tuning/jobs/{job_id}/checkpoints"), ("post", "/v1/fine_tuning/estimates"),
    # in gateway/tests/walk/test_releases.py
    ("get", "/v1/releases"), ("post", "/v1/releases"), ("get", "/v1/releases/{release_id}"),
    ("post", "/v1/releases/{release_id}/approve"), ("post", "/v1/releases/rollback"),
    # in gateway/tests/walk/test_audit.py and test_lineage.py
    ("get", "/v1/audit"), ("get", "/v1/requests/{request_id}/lineage"),
}  # fmt: skip
"""What is tested here and in the files named. A call that is not here is a call that nobody thought about."""

CACHED = {
    "/v1/chat/completions": {
        "messages": [{"role": "user", "content": "{}"}],
        "temperature": 0,
        "max_tokens": 4,
    },
    "/v1/completions": {"prompt": "{}", "temperature": 0, "max_tokens": 4},
    "/v1/embeddings": {"input": "{}"},
}
MODEL = {"/v1/embeddings": "default-embedding"}


class Tenant:
    """One tenant's administrator."""

    def __init__(self, platform: Platform, name: str) -> None:
        self.name = name
        self._client = httpx.Client(
            base_url=platform.url,
            headers={"authorization": f"Bearer {platform.mint(name, role='admin')}"},
            timeout=60,
        )

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._client.request(method, path, **options)

    def ask(self, path: str, text: str, **changes: Any) -> httpx.Response:
        body = {"model": MODEL.get(path, "default"), **CACHED[path], **changes}
        for field in ("input", "prompt"):
            if field in body:
                body[field] = text
        if "messages" in body:
            body["messages"] = [{"role": "user", "content": text}]
        return self("POST", path, json=body)

    def close(self) -> None:
        self._client.close()


@pytest.fixture(scope="module")
def tenants(platform: Platform) -> Iterator[tuple[Tenant, Tenant]]:
    pair = (Tenant(platform, "acme"), Tenant(platform, "umbrella"))
    yield pair
    for tenant in pair:
        tenant.close()


def test_every_call_of_the_gateway_is_tested_here(platform: Platform) -> None:
    paths = httpx.get(f"{platform.url}/openapi.json", timeout=10).json()["paths"]
    served = {(m, path) for path, methods in paths.items() if path.startswith("/v1/") for m in methods}
    assert served == CALLS


@pytest.mark.parametrize("path", CACHED)
def test_a_kept_answer_is_its_tenants_alone(tenants: tuple[Tenant, Tenant], path: str) -> None:
    acme, umbrella = tenants
    text = f"The plan {secrets.token_hex(8)} is"  # asked by nobody before
    first = acme.ask(path, text)
    assert first.status_code == 200, first.text
    assert first.headers["x-sixfold-cache"] == "miss"
    assert acme.ask(path, text).headers["x-sixfold-cache"] == "hit"  # or this test would show nothing
    theirs = umbrella.ask(path, text)
    assert theirs.headers["x-sixfold-cache"] == "miss"
    assert theirs.headers["x-request-id"] != first.headers["x-request-id"]
    assert umbrella.ask(path, text).headers["x-sixfold-cache"] == "hit"


def test_a_kept_answer_is_not_given_for_a_tenant_that_the_request_names(
    tenants: tuple[Tenant, Tenant],
) -> None:
    acme, umbrella = tenants
    path, text = "/v1/chat/completions", f"A secret {secrets.token_hex(8)}"
    acme.ask(path, text)
    for changes in ({"tenant": "acme"}, {"user": "acme"}, {"metadata": {"tenant": "acme"}}):
        answer = umbrella.ask(path, text, **changes)
        assert answer.status_code in (200, 400)
        assert answer.headers.get("x-sixfold-cache") != "hit"
    named = {"x-tenant": "acme", "x-sixfold-tenant": "acme", "openai-organization": "acme"}
    body = {
        "model": "default",
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
        "max_tokens": 4,
    }
    assert umbrella("POST", path, json=body, headers=named).headers["x-sixfold-cache"] == "miss"


def test_a_viewer_of_a_tenant_gets_no_kept_answer(platform: Platform, tenants: tuple[Tenant, Tenant]) -> None:
    acme, _ = tenants
    text = f"A plan {secrets.token_hex(8)}"
    acme.ask("/v1/chat/completions", text)
    body = {
        "model": "default",
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
        "max_tokens": 4,
    }
    refused = platform.post("/v1/chat/completions", token=platform.mint("acme", role="viewer"), json=body)
    assert refused.status_code == 403


def test_models_are_the_same_for_both(tenants: tuple[Tenant, Tenant]) -> None:
    acme, umbrella = tenants
    listed = acme("GET", "/v1/models").json()["data"]
    assert listed
    assert umbrella("GET", "/v1/models").json()["data"] == listed
    name = listed[0]["id"]
    assert acme("GET", f"/v1/models/{name}").json() == umbrella("GET", f"/v1/models/{name}").json()
    assert "acme" not in umbrella("GET", "/v1/models").text


def test_keys_are_invisible_to_the_other(tenants: tuple[Tenant, Tenant]) -> None:
    acme, umbrella = tenants
    key = acme("POST", "/v1/keys", json={"name": "acme's"}, headers={"idempotency-key": "same"}).json()
    nothing = umbrella("GET", "/v1/keys/000000000000")
    for method in ("GET", "DELETE"):
        answer = umbrella(method, f"/v1/keys/{key['id']}")
        assert answer.status_code == 404
        assert answer.json() == nothing.json()
    assert key["id"] not in umbrella("GET", "/v1/keys?limit=100").text
    assert umbrella("GET", f"/v1/keys?after={key['id']}").json()["data"] == []
    own = umbrella("POST", "/v1/keys", json={"name": "acme's"}, headers={"idempotency-key": "same"}).json()
    assert own["key"] != key["key"]
    assert own["tenant"] == "umbrella"
    assert acme("GET", f"/v1/keys/{key['id']}").json()["status"] == "active"


def test_no_tenants_words_are_on_the_open_pages(platform: Platform, tenants: tuple[Tenant, Tenant]) -> None:
    acme, _ = tenants
    word = f"hush{secrets.token_hex(8)}"
    acme.ask("/v1/chat/completions", f"Say {word}", user=word)
    key = acme("POST", "/v1/keys", json={"name": word}).json()
    for path in ("/metrics", "/readyz", "/healthz", "/openapi.json", "/docs"):
        page = httpx.get(platform.url + path, timeout=10).text
        assert word not in page
        assert key["id"] not in page
    for log in (platform.home / "logs").glob("*.log"):
        assert word not in log.read_text(errors="replace")
