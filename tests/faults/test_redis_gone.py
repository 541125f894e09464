"""Redis goes for half a minute: requests are answered, limits stay limits, and it returns by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.platform import Platform

pytestmark = [pytest.mark.real_model, pytest.mark.slow]

BODY: dict[str, Any] = {
    "model": "default",
    "messages": [{"role": "user", "content": "What is the capital of Italy?"}],
    "max_tokens": 3,
    "temperature": 0,
}


@pytest.fixture(scope="module")
def on_redis(
    prepared_models: Path, own_redis_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    platform = Platform(
        tmp_path_factory.mktemp("redis") / "home",
        prepared_models,
        {"SIXFOLD_CACHE_URL": own_redis_server.url, "SIXFOLD_GATEWAY_WORKERS": "2"},
        without=("training-service", "eval-service"),
    )
    platform.start()
    yield platform
    platform.stop()


@pytest.mark.timeout(240)
def test_redis_gone_for_thirty_seconds(on_redis: Platform, own_redis_server: Any) -> None:
    def ask(**change: Any) -> Any:
        return on_redis.post("/v1/chat/completions", json={**BODY, **change}, timeout=20)

    assert ask().headers["x-sixfold-cache"] == "miss"
    assert ask().headers["x-sixfold-cache"] == "hit"
    own_redis_server.stop()
    gone = time.monotonic()
    answered = 0
    while time.monotonic() - gone < 30:
        response = ask(max_tokens=2)
        assert response.status_code == 200, response.text
        assert "x-ratelimit-remaining-requests" in response.headers
        answered += 1
        time.sleep(0.2)
    assert answered > 20
    own_redis_server.start()
    end = time.monotonic() + 20
    hits = 0
    while hits < 10 and time.monotonic() < end:  # each worker finds it again by itself
        hits = hits + 1 if ask(max_tokens=1).headers["x-sixfold-cache"] == "hit" else 0
        time.sleep(0.1)
    assert hits == 10


def test_two_workers_share_one_limit(on_redis: Platform) -> None:
    """Requests spread over both workers; together they get the limit and not one more."""
    import yaml

    config = on_redis.home / "gateway.yaml"
    rules = yaml.safe_load(config.read_text()) or {}
    rules.setdefault("limits", {}).setdefault("tenants", {})["shared"] = {"requests_per_minute": 12}
    config.write_text(yaml.safe_dump(rules))
    time.sleep(2)  # both workers reload within a second
    token = on_redis.mint("shared")
    statuses = []
    for _ in range(30):  # a new connection each, so that the kernel spreads them over the workers
        response = on_redis.post("/v1/chat/completions", json={**BODY, "max_tokens": 1}, token=token)
        statuses.append(response.status_code)
    allowed = statuses.count(200)
    assert statuses.count(429) == 30 - allowed
    assert 12 <= allowed <= 14, statuses  # 12, and what a minute refills while thirty requests run
