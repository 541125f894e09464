"""What an operator sees of one request: one trace from REST to the engine, metrics, logs without content."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from parts.platform import Platform

pytestmark = pytest.mark.real_model

SECRET_WORDS = "my mother's maiden name is Zwingli-Quux"


@pytest.fixture(scope="module")
def traced(prepared_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("traced")
    platform = Platform(
        folder / "home",
        prepared_models,
        {"SIXFOLD_TELEMETRY_URL": f"file://{folder}/traces.jsonl", "SIXFOLD_LOG_LEVEL": "debug"},
        without=("training-service", "eval-service"),
    )
    platform.start()
    yield platform
    platform.stop()


def spans(folder: Path) -> list[dict[str, Any]]:
    found = []
    for path in folder.glob("traces*.jsonl*"):
        found += [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return found


def test_one_trace_from_rest_to_the_engine(traced: Platform) -> None:
    trace_id = uuid.uuid4().hex
    response = traced.post(
        "/v1/chat/completions",
        json={"model": "default", "messages": [{"role": "user", "content": SECRET_WORDS}], "max_tokens": 6},
        headers={"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"},
    )
    assert response.status_code == 200
    mine: list[dict[str, Any]] = []
    for _ in range(100):  # spans are written in batches
        mine = [s for s in spans(traced.home.parent) if s["trace_id"] == trace_id]
        if {s["service"] for s in mine} == {"gateway", "model-service"}:
            break
        time.sleep(0.1)
    assert {s["service"] for s in mine} == {"gateway", "model-service"}
    assert any(s["name"] == "chat smollm2-135m-instruct" for s in mine), [s["name"] for s in mine]
    ids = {s["span_id"] for s in mine} | {"00f067aa0ba902b7"}
    assert all(s["parent_id"] in ids for s in mine), "a span hangs outside the trace"
    chat = next(s for s in mine if "gen_ai.usage.output_tokens" in s["attributes"])
    assert chat["attributes"]["gen_ai.usage.output_tokens"] == response.json()["usage"]["completion_tokens"]
    assert "Zwingli" not in json.dumps(spans(traced.home.parent))


def test_one_trace_from_attaching_a_file_through_its_event_to_the_index(traced: Platform) -> None:
    client = traced.client(timeout=60)
    file = client.files.create(file=("a.md", b"# Rules\n\nNo running.\n"), purpose="assistants")
    store = client.vector_stores.create(name="traced")
    trace_id = uuid.uuid4().hex
    client.vector_stores.files.create_and_poll(
        file.id,
        vector_store_id=store.id,
        poll_interval_ms=100,
        extra_headers={"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"},
    )
    wanted = {
        ("gateway", "POST /v1/vector_stores/{store_id}/files"),
        ("retrieval-service", "sixfold.retrieval.v1.RetrievalService/AddFiles"),
        ("retrieval-service", "sixfold.documents publish"),
        ("retrieval-service", "sixfold.documents process"),
        ("retrieval-service", "document.embed"),
        ("model-service", "embeddings all-minilm-l6-v2"),
    }
    mine: list[dict[str, Any]] = []
    orphans: list[dict[str, Any]] = []
    for _ in range(200):  # spans are written in batches
        mine = [s for s in spans(traced.home.parent) if s["trace_id"] == trace_id]
        ids = {s["span_id"] for s in mine} | {"00f067aa0ba902b7"}
        orphans = [s for s in mine if s["parent_id"] not in ids]
        if wanted <= {(s["service"], s["name"]) for s in mine} and not orphans:
            break
        time.sleep(0.1)
    assert wanted <= {(s["service"], s["name"]) for s in mine}
    assert not orphans, "a span hangs outside the trace"
    told = json.dumps([s["attributes"] for s in mine if s["service"] == "gateway"])
    assert "127.0.0.1" not in told  # nobody's address
    assert store.id not in told  # nor what is somebody's


def test_logs_carry_ids_and_no_content(traced: Platform) -> None:
    response = traced.post(
        "/v1/chat/completions",
        json={"model": "default", "messages": [{"role": "user", "content": SECRET_WORDS}], "max_tokens": 6},
    )
    wanted = response.headers["x-request-id"]
    text = ""
    for _ in range(50):
        text = "\n".join(p.read_text() for p in (traced.home / "logs").glob("*.log"))
        if text.count(wanted) >= 2:
            break
        time.sleep(0.1)
    seen_in = {p.name for p in (traced.home / "logs").glob("*.log") if wanted in p.read_text()}
    assert {"gateway.log", "model-service.log"} <= seen_in
    assert "Zwingli" not in text
    assert traced.token not in text
    assert response.json()["choices"][0]["message"]["content"] not in text or (
        len(response.json()["choices"][0]["message"]["content"]) < 4
    )


def test_metrics_count_what_happened(traced: Platform) -> None:
    def value(text: str, name: str, **labels: str) -> float:
        total = 0.0
        for line in text.splitlines():
            if re.match(rf"{name}[ {{]", line) and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def ask() -> None:
        for _ in traced.client().chat.completions.create(
            model="default", messages=[{"role": "user", "content": "hi"}], max_tokens=5, stream=True
        ):
            pass

    ask()
    before = traced.metrics()
    ask()
    ask()
    after = traced.metrics()
    for name in (
        "gen_ai_server_request_duration_seconds_count",
        "gen_ai_server_time_to_first_token_seconds_count",
    ):
        assert value(after, name) - value(before, name) == 2, name
    assert value(after, "gen_ai_client_token_usage_sum") > value(before, "gen_ai_client_token_usage_sum")
    inner = httpx.get(traced.ops("model-service") + "/metrics", timeout=5).text
    assert re.search(r"^sixfold_model_generation_tokens_total\{.*\} [1-9]", inner, re.M)
