"""`sixfold` over the real services, as people use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from parts.platform import SIXFOLD, Platform

pytestmark = pytest.mark.real_model


def processes_of(home: Path) -> list[psutil.Process]:
    """Processes that carry this home in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            carries = process.environ().get("SIXFOLD_HOME") == str(home)
            if carries and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def own(prepared_models: Path, tmp_path: Path) -> Iterator[Platform]:
    """A platform of this test alone, not yet started. Nothing of it may be left."""
    platform = Platform(tmp_path / "home", prepared_models)
    yield platform
    platform.stop()
    assert processes_of(platform.home) == []


def test_status_tells_what_is_there(platform: Platform) -> None:
    found = platform.status()
    assert found["running"]
    assert found["ready"]
    assert [service["name"] for service in found["services"]] == [
        "model-service",
        "retrieval-service",
        "training-service",
        "eval-service",
        "gateway",
    ]
    for service in found["services"]:
        process = psutil.Process(service["pid"])
        assert process.is_running()
        assert service["memory_bytes"] > 10_000_000
        assert httpx.get(f"{service['ops']}/readyz", timeout=10).status_code == 200
    assert platform.run("status").returncode == 0


def test_ask_streams_an_answer(platform: Platform) -> None:
    done = platform.run("ask", "What is the capital of France?", "--temperature", "0", "-v")
    assert "Paris" in done.stdout
    assert "smollm2-135m-instruct" in done.stderr
    answer = json.loads(platform.run("ask", "Count to three.", "--json", "--max-tokens", "5").stdout)
    assert answer["usage"]["completion_tokens"] <= 5
    assert answer["finish_reason"] == "length"
    assert answer["request_id"]


def test_models_lists_both(platform: Platform) -> None:
    shown = platform.run("models").stdout
    assert "smollm2-135m-instruct" in shown
    assert "all-minilm-l6-v2" in shown


def test_an_unknown_model_fails_in_one_line(platform: Platform) -> None:
    done = platform.run("ask", "Hello", "--model", "nobody", check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("sixfold: ")
    assert "nobody" in done.stderr


def test_a_token_for_another_tenant_works_within_its_role(platform: Platform) -> None:
    viewer = platform.mint("acme", "viewer")
    assert (
        httpx.get(f"{platform.url}/v1/models", headers={"authorization": f"Bearer {viewer}"}).status_code
        == 200
    )
    question = {"model": "default", "messages": [{"role": "user", "content": "Hi"}]}
    assert platform.post("/v1/chat/completions", token=viewer, json=question).status_code == 403


def test_a_key_works_until_it_is_deleted(platform: Platform) -> None:
    made = json.loads(platform.run("keys", "create", "site", "--scopes", "models:read", "--json").stdout)
    headers = {"authorization": f"Bearer {made['key']}"}
    assert httpx.get(f"{platform.url}/v1/models", headers=headers).status_code == 200
    assert made["id"] in platform.run("keys", "list").stdout
    assert made["key"] not in platform.run("keys", "list", "--json").stdout
    platform.run("keys", "delete", made["id"])
    assert httpx.get(f"{platform.url}/v1/models", headers=headers).status_code == 401


def test_logs_are_records(platform: Platform) -> None:
    lines = platform.run("logs", "gateway", "--json", "-n", "5").stdout.splitlines()
    assert lines
    assert all({"time", "level", "event"} <= set(json.loads(line)) for line in lines)


def test_two_never_run_on_one_home(platform: Platform) -> None:
    done = platform.run("up", "-d", "--json", check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["reason"] == "ALREADY_RUNNING"


def test_a_killed_gateway_comes_back_on_its_port(platform: Platform) -> None:
    os.kill(platform.pid("gateway"), signal.SIGKILL)
    platform.wait_ready()
    assert platform.run("ask", "Say yes.", "--max-tokens", "3").returncode == 0


def test_the_next_start_finds_everything_again_and_down_leaves_nothing(own: Platform) -> None:
    own.start()
    token = own.token
    key = json.loads(own.run("keys", "create", "site", "--json").stdout)["key"]
    left = processes_of(own.home)
    assert len(left) >= 3
    os.kill(own.status()["supervisor"]["pid"], signal.SIGKILL)
    _, alive = psutil.wait_procs(left, timeout=60)
    assert alive == []
    assert own.run("status", check=False).returncode == 3
    own.start()
    assert own.status()["ready"]
    assert own.token == token
    headers = {"authorization": f"Bearer {key}"}
    assert httpx.get(f"{own.url}/v1/models", headers=headers).status_code == 200
    assert own.run("down").stdout.strip() == "stopped"
    _, alive = psutil.wait_procs(processes_of(own.home), timeout=20)  # a child ends when its parent has
    assert alive == []
    assert own.run("status", check=False).returncode == 3


@pytest.mark.timeout(300)
def test_ctrl_c_drains_the_foreground(own: Platform) -> None:
    own.link_models()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SIXFOLD_")}
    environment = {**clean, "SIXFOLD_HOME": str(own.home), "SIXFOLD_PORT": str(own.port)}
    with subprocess.Popen([SIXFOLD, "up"], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        shown = ""
        while "Ctrl-C" not in shown:
            line = process.stdout.readline()
            assert line, shown
            shown += line
        while "the store `docs` has" not in shown:  # the project's own pages, brought in behind it
            line = process.stdout.readline()
            assert line, shown
            shown += line
        assert f"{own.url}/v1" in shown
        assert str(own.home / "token") in shown
        assert own.token not in shown
        process.send_signal(signal.SIGINT)
        shown += process.stdout.read()
        assert process.wait() == 0, shown
    order = ("gateway", "eval-service", "training-service", "retrieval-service", "model-service")
    ends = [shown.index(f"{name} has ended") for name in order]
    assert ends == sorted(ends)
    assert "killed" not in shown
    assert processes_of(own.home) == []
