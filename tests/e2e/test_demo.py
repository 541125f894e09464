"""The demo itself, smaller but whole: real services, real models, a real training, real customers' tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.platform import Platform

SMALL = ("--intents", "4", "--rows", "7", "--golden", "16", "--questions", "8")
BASE = "smollm2-135m-instruct"
NAME = "intents"


@pytest.fixture(scope="module")
def own_platform(prepared_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Not the shared one: the demo gives its gateway a name and trains a model on it."""
    running = Platform(tmp_path_factory.mktemp("demo") / "home", prepared_models)
    running.home.mkdir(mode=0o700)
    (running.home / "models").symlink_to(prepared_models)
    yield running
    running.stop()


def told(platform: Platform, *more: str, check: bool = True) -> tuple[dict[str, Any], str]:
    done = platform.run("--json", "demo", *SMALL, *more, check=check, timeout=1500)
    return json.loads(done.stdout), done.stderr


@pytest.mark.timeout(3100)
def test_the_circle_closes_and_spoiled_rows_do_not_get_in(own_platform: Platform) -> None:
    """The platform starts by itself. One test, since the second half needs what the first leaves behind."""
    good, words = told(own_platform, "--epochs", "3")
    assert good["release"]["status"] == "promoted", words
    assert good["release"]["approvals"][0]["role"] == "admin"
    assert all(verdict["passed"] for verdict in good["release"]["verdicts"])
    assert good["release"]["canary"]["low"] > 0  # decided by what customers said
    assert good["questions"]["after"] > good["questions"]["before"]
    found = good["lineage"]
    assert found["model"]["name"] == good["model"]
    assert found["training"]["dataset_id"] == good["dataset"] == found["dataset"]["id"]
    assert found["training"]["run_id"]
    assert {each["run_id"] for each in found["evaluations"]} == set(good["release"]["run_ids"])
    assert found["release"]["id"] == good["release"]["id"]
    assert Path(good["report"]).read_text().lstrip().lower().startswith("<!doctype html")
    assert "golden set" in words
    assert "Masked: 1 email" in words

    bad, words = told(own_platform, "--bad")
    assert bad["release"]["status"] == "refused", words
    assert "Not shown to be better" in bad["release"]["reason"]
    assert bad["still"] == good["model"]  # the model of the good circle goes on answering
    assert bad["questions"]["after"] == bad["questions"]["before"]

    member = own_platform.mint("demo")
    answer = own_platform.post(
        "/v1/chat/completions",
        token=member,
        json={"model": NAME, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4},
    )
    assert answer.headers["x-sixfold-model"].startswith(good["model"])
    back = own_platform.post(
        "/v1/releases/rollback",
        token=own_platform.mint("demo", "admin"),
        json={"alias": NAME},
        headers={"idempotency-key": "back"},
    )
    assert (back.status_code, back.json()["champion"]) == (200, BASE)


def test_without_the_services_of_the_circle_it_says_so(prepared_models: Path, tmp_path: Path) -> None:
    """A platform whose gateway knows no training service: one line, and exit code 1."""
    platform = Platform(
        tmp_path / "home",
        prepared_models,
        env={"SIXFOLD_TRAINING_SERVICE_STORE_URL": "postgresql://nobody@127.0.0.1:9/none"},
    )
    platform.start()
    try:
        done = platform.run("demo", *SMALL, check=False)
        assert done.returncode == 1, done.stdout
        assert "the demo needs training-service" in done.stderr
    finally:
        platform.stop()
