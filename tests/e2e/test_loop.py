"""A file becomes a model that its tenant can ask, through everything between; and when some of it is away."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from parts.platform import Platform
from parts.tiny_platform import BASE, tiny_platform

pytestmark = [pytest.mark.real_model, pytest.mark.slow, pytest.mark.timeout(600)]
ENDED = ("succeeded", "failed", "cancelled")
KINDS = (("lost my card in", "card"), ("withdrew cash at", "cash"), ("sent money to", "transfer"))
TOWNS = ("Oslo", "Quito", "Lagos", "Perth", "Minsk", "Dakar", "Turin", "Kyoto", "Lima", "Accra")


@pytest.fixture(scope="module")
def tiny(prepared_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    running = tiny_platform(tmp_path_factory.mktemp("loop"), prepared_models)
    yield running.start()
    running.stop()


def rows(count: int = 24) -> bytes:
    lines = []
    for number in range(count):
        text, label = KINDS[number % 3]
        question = f"{text} {TOWNS[number // 3 % 10]} {number * 7919}"
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": label}]
        lines.append(json.dumps({"messages": messages}) + "\n")
    return "".join(lines).encode()


def ended(client: openai.OpenAI, job_id: str, seconds: float = 400) -> Any:
    end = time.monotonic() + seconds
    while (job := client.fine_tuning.jobs.retrieve(job_id)).status not in ENDED:
        assert time.monotonic() < end, job
        time.sleep(0.2)
    return job


def ask(client: openai.OpenAI, model: str) -> str:
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "lost my card in Oslo"}],
        max_tokens=4,
        temperature=0,
        extra_headers={"cache-control": "no-store"},
    )
    assert answer.usage
    assert answer.usage.completion_tokens > 0
    return answer.model


def test_a_file_becomes_a_model_that_only_its_tenant_can_ask(tiny: Platform) -> None:
    ours = tiny.client(api_key=tiny.mint("acme", "admin"), timeout=60)
    theirs = tiny.client(api_key=tiny.mint("globex", "admin"), timeout=60)
    file = ours.files.create(file=("rows.jsonl", rows()), purpose="fine-tune")
    job = ours.fine_tuning.jobs.create(
        model=BASE,
        training_file=file.id,
        suffix="intents",
        seed=1,
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 1, "batch_size": 8}},
        },
    )
    job = ended(ours, job.id)
    assert job.status == "succeeded", f"{job}\n{tiny.logs(40)}"
    name = job.fine_tuned_model
    assert name.startswith(f"ft:{BASE}:acme:intents:")
    assert ask(ours, name) == name  # in the very moment in which its name is known
    told = [event.message for event in ours.fine_tuning.jobs.list_events(job.id)]
    assert "The model answers" in told
    listed = {model.id: model for model in ours.models.list()}
    assert listed[name].owned_by == "acme"
    assert ours.models.retrieve(name).id == name

    assert name not in {model.id for model in theirs.models.list()}
    for refused in (
        lambda: ask(theirs, name),
        lambda: theirs.models.retrieve(name),
        lambda: theirs.fine_tuning.jobs.retrieve(job.id),
    ):
        with pytest.raises(openai.NotFoundError):
            refused()

    killed = tiny.pid("model-service")
    os.kill(killed, signal.SIGKILL)
    tiny.wait_restarted("model-service", killed)
    end = time.monotonic() + 60
    while name not in {model.id for model in ours.models.list()} or not _ready(ours, name):
        assert time.monotonic() < end, tiny.logs(30)
        time.sleep(0.2)
    assert ask(ours, name) == name
    with pytest.raises(openai.NotFoundError):
        ask(theirs, name)

    with pytest.raises(openai.NotFoundError):
        theirs.models.delete(name)
    assert ours.models.delete(name).deleted
    with pytest.raises(openai.NotFoundError):
        ask(ours, name)
    assert ours.fine_tuning.jobs.retrieve(job.id).fine_tuned_model == name  # how it was made is still known


def _ready(client: openai.OpenAI, name: str) -> bool:
    return bool((client.models.retrieve(name).model_extra or {}).get("ready"))


def test_status_names_every_service_with_its_memory(tiny: Platform) -> None:
    found = {service["name"]: service for service in tiny.status()["services"]}
    assert found["retrieval-service"]["state"] == "absent"
    for name in ("training-service", "eval-service"):
        assert found[name]["ready"]
        assert found[name]["memory_bytes"] < 400_000_000  # nothing heavy is imported while it waits
    assert tiny.run("status").returncode == 0
    assert tiny.run("logs", "training-service", "-n", "3").stdout


def test_the_others_go_on_without_what_cannot_start(tiny: Platform) -> None:
    tiny.stop()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        tiny.env = {
            **tiny.env,
            "SIXFOLD_TRAINING_SERVICE_LISTEN": f"127.0.0.1:{port}",
            "SIXFOLD_EVAL_SERVICE_STORE_URL": "sqlite:////proc/none/eval.db",  # it ends, again and again
        }
        tiny.start()
        found = {service["name"]: service for service in tiny.status()["services"]}
        assert f"port {port} on 127.0.0.1 is taken" in found["training-service"]["reason"]
        assert "times in a row" in found["eval-service"]["reason"]
        assert "SIXFOLD_WITHOUT" in found["retrieval-service"]["reason"]
        assert found["model-service"]["ready"]
        assert found["gateway"]["ready"]
        shown = tiny.run("status", check=False)
        assert shown.returncode == 1
        assert f"port {port}" in shown.stdout
        client = tiny.client(timeout=60)
        assert ask(client, "default") == BASE
        with pytest.raises(openai.InternalServerError) as caught:
            client.fine_tuning.jobs.list()
        assert caught.value.status_code == 503
    tiny.wait_restarted("training-service", 0)
    assert client.fine_tuning.jobs.list().data == []
