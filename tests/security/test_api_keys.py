"""API keys against a real gateway: guessed, revoked, expired, of another tenant, beyond their scopes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest


@pytest.fixture
def make(gateway, forge) -> Callable[..., dict[str, Any]]:
    def make(tenant: str = "acme", **wanted: Any) -> dict[str, Any]:
        response = gateway.call(
            "POST", "/v1/keys", forge.sign(gateway.key, tenant=tenant), json={"name": "k"} | wanted
        )
        assert response.status_code == 201, response.text
        return dict(response.json())

    return make


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def test_a_key_is_good_for_its_scopes_only(gateway, make) -> None:
    reader = make(scopes=["models:read"])["key"]
    assert gateway.get("/v1/models", reader).status_code == 200
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/keys"):
        response = gateway.call("POST", path, reader, json={"model": "default", "messages": []})
        assert response.status_code == 403, path
        assert response.json()["error"]["code"] == "permission_denied"
    assert gateway.get("/v1/keys", make()["key"]).status_code == 403  # by default it manages no keys


def test_a_key_cannot_raise_itself(gateway, make) -> None:
    narrow = make(scopes=["keys:write", "models:read"], expires_in_seconds=60)
    raised = gateway.call("POST", "/v1/keys", narrow["key"], json={"name": "x", "scopes": ["chat:write"]})
    assert raised.status_code == 403
    child = gateway.call(
        "POST", "/v1/keys", narrow["key"], json={"name": "x", "expires_in_seconds": 86400}
    ).json()
    assert child["scopes"] == ["models:read"]
    assert child["expires_at"] <= narrow["expires_at"]


def test_a_revoked_key_ends_at_once_where_it_was_revoked(gateway, make, forge) -> None:
    key = make()
    assert gateway.get(token=key["key"]).status_code == 200
    assert gateway.call("DELETE", f"/v1/keys/{key['id']}", forge.sign(gateway.key)).status_code == 200
    response = gateway.get(token=key["key"])
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"


def test_a_key_revoked_elsewhere_ends_within_the_refresh(gateway, make) -> None:
    """Another process on the same records: here the record itself, changed as the store changes it."""
    key = make()
    assert gateway.get(token=key["key"]).status_code == 200
    with sqlite3.connect(gateway.home / "gateway.db", timeout=10) as records:
        records.execute("UPDATE api_key_revision SET value = value + 1")
        records.execute(
            "UPDATE api_keys SET revoked_at = ?, revision = (SELECT value FROM api_key_revision)"
            " WHERE id = ?",
            (time.time(), key["id"]),
        )
    until(lambda: gateway.get(token=key["key"]).status_code == 401)


def test_an_expired_key(gateway, make) -> None:
    key = make(expires_in_seconds=1)["key"]
    until(lambda: gateway.get(token=key).status_code == 401)
    assert gateway.get(token=key).json()["error"]["code"] == "invalid_api_key"


def test_a_key_of_another_tenant_manages_nothing_here(gateway, make, forge) -> None:
    victim = make(tenant="acme")
    thief = make(tenant="umbrella", scopes=["keys:write"])["key"]
    assert gateway.get(f"/v1/keys/{victim['id']}", thief).status_code == 404
    assert gateway.call("DELETE", f"/v1/keys/{victim['id']}", thief).status_code == 404
    assert victim["id"] not in gateway.get("/v1/keys?limit=100", thief).text
    assert gateway.get(token=victim["key"]).status_code == 200


def test_guessing_is_refused_and_cheap_for_everybody_else(gateway, make) -> None:
    good = make()
    wrong = good["key"][:-2] + ("AA" if not good["key"].endswith("AA") else "BB")
    guesses = [wrong] + [f"sk-sixfold-{index:012x}-{'A' * 43}" for index in range(200)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda guess: gateway.get(token=guess), guesses))
        still = list(pool.map(lambda _: gateway.get(token=good["key"]).status_code, range(20)))
    assert {answer.json()["error"]["code"] for answer in answers} == {"invalid_api_key"}
    assert {answer.status_code for answer in answers} == {401}
    assert set(still) == {200}


@pytest.mark.parametrize(
    "odd",
    ["sk-", "sk-sixfold-", "sk-proj-abc", "sk-sixfold-zzzzzzzzzzzz-" + "A" * 43, "sk-sixfold-'OR/**/1=1--",
     "sk-sixfold-" + "0" * 12 + "-" + "A" * 42, "sk-sixfold-../../../etc-" + "A" * 43, "sk-" + "x" * 7000],
)  # fmt: skip
def test_odd_keys(gateway, odd) -> None:
    response = gateway.get(token=odd)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert odd not in response.text


def test_no_secret_is_in_the_records(gateway, make) -> None:
    key = make(name="stored")
    repeat = {"idempotency-key": "again"}
    kept = gateway.call(
        "POST", "/v1/keys", make(scopes=["keys:write"])["key"], json={"name": "r"}, headers=repeat
    )
    files = [path.read_bytes() for path in gateway.home.glob("gateway.db*")]
    for secret in (key["key"], kept.json()["key"]):
        assert not any(secret.encode() in content for content in files)
        assert not any(secret[24:].encode() in content for content in files)
    assert any(b"stored" in content for content in files)


def test_keys_outlive_the_process(start_gateway, forge) -> None:
    gateway = start_gateway()
    key = gateway.call("POST", "/v1/keys", forge.sign(gateway.key), json={"name": "k"}).json()["key"]
    gateway.process.kill()
    gateway.start()
    assert gateway.get(token=key).status_code == 200
