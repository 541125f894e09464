"""Limits against a real gateway: spending is each tenant's own, and nobody talks their way out."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

CONFIG = """
limits:
  default: {requests_per_minute: 5}
  tenants:
    large: {requests_per_minute: 1000}
"""


@pytest.fixture(scope="module")
def limited(start_gateway: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    path: Path = tmp_path_factory.mktemp("limits") / "gateway.yaml"
    path.write_text(CONFIG)
    return start_gateway(SIXFOLD_GATEWAY_CONFIG=str(path))


def test_a_tenant_that_spent_its_limit_is_alone_in_it(limited, forge) -> None:
    spender, saver = (forge.sign(limited.key, tenant=name) for name in ("spender", "saver"))
    for left in range(4, -1, -1):
        response = limited.get("/v1/keys", spender)
        assert response.status_code == 200
        assert int(response.headers["x-ratelimit-remaining-requests"]) >= left
    refused = limited.get("/v1/keys", spender)
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert refused.headers["x-should-retry"] == "true"
    assert 0 < int(refused.headers["retry-after"]) <= 12
    assert 0 < int(refused.headers["retry-after-ms"]) <= 12_001
    assert refused.headers["x-ratelimit-limit-requests"] == "5"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert limited.get("/v1/keys", saver).headers["x-ratelimit-remaining-requests"] == "4"


def test_another_token_user_or_key_of_the_tenant_is_no_way_out(limited, forge) -> None:
    admin = forge.sign(limited.key, tenant="sly")
    key = limited.call("POST", "/v1/keys", admin, json={"name": "k", "scopes": ["keys:write"]}).json()["key"]
    for _ in range(6):
        last = limited.get("/v1/keys", admin)
    assert last.status_code == 429
    fresh = forge.sign(limited.key, tenant="sly", sub="another")
    named = {"x-forwarded-for": "10.0.0.1", "x-tenant": "large", "openai-organization": "large"}
    for token in (key, fresh):
        assert limited.get("/v1/keys", token).status_code == 429
        assert limited.get("/v1/keys", token, headers=named).status_code == 429


def test_a_key_has_limits_of_its_own(limited, forge) -> None:
    admin = forge.sign(limited.key, tenant="large")
    wanted = {"name": "k", "scopes": ["keys:write"], "limits": {"requests_per_minute": 2}}
    key = limited.call("POST", "/v1/keys", admin, json=wanted).json()["key"]
    assert [limited.get("/v1/keys", key).status_code for _ in range(3)] == [200, 200, 429]
    assert limited.get("/v1/keys", admin).status_code == 200


def test_exactly_as_many_as_allowed_get_in_at_once(limited, forge) -> None:
    token = forge.sign(limited.key, tenant="crowd")
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: limited.get("/v1/keys", token).status_code, range(40)))
    assert set(statuses) == {200, 429}
    assert 5 <= statuses.count(200) <= 6  # one more where twelve seconds went by


def test_refused_credentials_spend_nobodys_limit(limited, forge) -> None:
    for _ in range(10):
        limited.get("/v1/keys", forge.sign(b"k" * 32, tenant="victim"))
    victim = forge.sign(limited.key, tenant="victim")
    assert limited.get("/v1/keys", victim).headers["x-ratelimit-remaining-requests"] == "4"
