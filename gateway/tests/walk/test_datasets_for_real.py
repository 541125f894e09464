"""A data set of a file and of what people corrected, through the gateway to a real training service: its
parts and card are read, and a model is trained on it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from parts.evaluation import EvalProcess
from parts.fake_engine import FakeEngine
from parts.tiny_base import make_base
from parts.training import TrainingProcess

pytestmark = pytest.mark.timeout(600)
ENDED = ("succeeded", "failed", "cancelled")
KINDS = (("lost my card in", "card"), ("withdrew cash at", "cash"), ("sent money to", "transfer"))
TOWNS = ["Oslo", "Quito", "Lagos", "Perth", "Minsk", "Dakar", "Turin", "Kyoto", "Lima", "Accra"]


@pytest.fixture
async def ready(house: Any, engine: FakeEngine, tmp_path: Path) -> AsyncIterator[Any]:
    house.write_config("learning: {tenants: {default: {keep_content: true}}}\n")
    base = await asyncio.to_thread(make_base, tmp_path / "base")
    service = TrainingProcess(house.home, house.service_key, base)
    await asyncio.to_thread(service.process.start)
    evals = EvalProcess(house.home, house.service_key, house.engines["local"].port)
    await asyncio.to_thread(evals.start)
    at = {"training_service": service.port, "eval_service": evals.port}
    await house.start(**{name: f"127.0.0.1:{port}" for name, port in at.items()})
    yield house
    await asyncio.to_thread(evals.kill)
    await asyncio.to_thread(service.process.kill)


async def ended(ask: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    async with asyncio.timeout(400):
        while True:
            found = await ask()
            if found["status"] in ENDED:
                return found
            await asyncio.sleep(0.3)


async def measure(client: openai.AsyncOpenAI, http: httpx.AsyncClient, id: str, rows: list[Any]) -> None:
    """A run over the test part asks what the rows ask, without their answers."""
    criterion: Any = {
        "type": "string_check",
        "name": "exact",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "operation": "eq",
    }
    config: Any = {"type": "custom", "item_schema": {"type": "object", "required": ["messages", "answer"]}}
    made = await client.evals.create(name="intents", data_source_config=config, testing_criteria=[criterion])
    source = {
        "type": "completions",
        "model": "tiny",
        "source": {"type": "dataset", "id": id, "part": "test"},
        "input_messages": {"type": "item_reference", "item_reference": "item.messages"},
    }
    runs = f"/v1/evals/{made.id}/runs"
    run = (await http.post(runs, json={"data_source": source})).json()
    async with asyncio.timeout(120):
        while run["status"] not in ("completed", "failed"):
            await asyncio.sleep(0.3)
            run = (await http.get(f"{runs}/{run['id']}")).json()
    assert (run["status"], run["result_counts"]["total"]) == ("completed", len(rows)), run
    items = (await http.get(f"{runs}/{run['id']}/output_items", params={"limit": 100})).json()["data"]
    for item, row in zip(items, rows, strict=True):
        *asked, answer = row["messages"]
        assert item["datasource_item"]["answer"] == answer["content"]
        assert item["sample"]["input"] == asked


async def test_files_and_corrections_become_parts_and_a_model(
    ready: Any, client: openai.AsyncOpenAI, http: httpx.AsyncClient
) -> None:
    async def make(**body: Any) -> dict[str, Any]:
        made = await http.post("/v1/datasets", json=body)
        assert made.status_code == 200, made.text
        id = made.json()["id"]

        async def ask() -> dict[str, Any]:
            found: dict[str, Any] = (await http.get(f"/v1/datasets/{id}")).json()
            return found

        return await ended(ask)

    said = "where is my card, mail me at ann@example.org"
    raw = await client.chat.completions.with_raw_response.create(
        model="default", messages=[{"role": "user", "content": said}]
    )
    correction = {
        "request_id": raw.headers["x-request-id"],
        "kind": "correction",
        "correction": "card_arrival",
    }
    assert (await http.post("/v1/feedback", json=correction)).status_code == 201

    # The request and the correction travel over the bus: a set of feedback has rows once both are there.
    async with asyncio.timeout(120):
        while True:
            heard = await make(name="heard", sources=[{"type": "feedback", "kinds": ["correction"]}])
            if heard["status"] == "succeeded":
                break
            assert heard["error"]["code"] in ("empty_dataset", "bad_rows"), heard
    assert heard["rows"]["train"] == 1

    lines = [
        {"text": f"{KINDS[i % 3][0]} {TOWNS[i // 3 % 10]} {i * 7919}", "label": KINDS[i % 3][1]}
        for i in range(30)
    ]
    content = "".join(json.dumps(line) + "\n" for line in lines) + '{"text": \n'
    file = await client.files.create(file=("rows.jsonl", content.encode()), purpose="fine-tune")
    dataset = await make(
        name="intents",
        sources=[
            {"type": "file", "file_id": file.id},
            {"type": "feedback"},
            {"type": "dataset", "dataset_id": heard["id"]},
        ],
        validation_share=0.2,
        test_share=0.2,
        seed=4,
        metadata={"license": "CC0-1.0"},
    )
    assert dataset["status"] == "succeeded", dataset
    # The broken line, and the correction that came a second time by way of the other data set.
    assert dataset["left_out"]["BAD_JSON"] == 1
    assert sum(dataset["left_out"].values()) == 2
    assert sum(dataset["rows"].values()) == 31
    assert min(dataset["rows"].values()) >= 3
    id = dataset["id"]
    rows: dict[str, list[Any]] = {}
    for part, number in dataset["rows"].items():
        answer = await http.get(f"/v1/datasets/{id}/parts/{part}")
        rows[part] = [json.loads(line) for line in answer.text.splitlines()]
        assert len(rows[part]) == number
    everything = json.dumps(rows)
    assert "card_arrival" in everything
    assert "<EMAIL_1>" in everything
    assert "ann@example.org" not in everything
    card = (await http.get(f"/v1/datasets/{id}/card")).text
    assert dataset["version"] in card
    assert "rows.jsonl, line 31: not valid JSON" in card

    await measure(client, http, id, rows["test"])
    order = {
        "model": "tiny",
        "training_file": id,
        "suffix": "intents",
        "hyperparameters": {"n_epochs": 1, "batch_size": 4},
    }
    estimate = (await http.post("/v1/fine_tuning/estimates", json=order)).json()
    assert estimate["object"] == "fine_tuning.estimate"
    assert all(estimate[name] > 0 for name in ("seconds", "tokens", "memory_bytes", "disk_bytes"))
    ordered = (await http.post("/v1/fine_tuning/jobs", json=order)).json()
    assert (ordered["training_file"], ordered["validation_file"]) == (id, id)

    async def ask() -> dict[str, Any]:
        found: dict[str, Any] = (await http.get(f"/v1/fine_tuning/jobs/{ordered['id']}")).json()
        return found

    job = await ended(ask)
    assert job["status"] == "succeeded", job
    (results,) = job["result_files"]
    table = (await client.files.content(results)).text
    losses = list(csv.DictReader(io.StringIO(table)))
    assert [row["step"] for row in losses] == [str(step + 1) for step in range(len(losses))]
    assert all(float(row["train_loss"]) > 0 for row in losses)
    assert float(losses[-1]["valid_loss"]) > 0  # by the data set's own validation part
    assert (await http.delete(f"/v1/datasets/{id}")).json()["deleted"] is True
    assert (await http.get(f"/v1/datasets/{id}/parts/train")).status_code == 404


async def test_a_data_set_that_cannot_be_made_names_its_lines(
    ready: Any, client: openai.AsyncOpenAI, http: httpx.AsyncClient
) -> None:
    content = b'{"text": "a", "label": "x"}\nnot json\n'
    file = await client.files.create(file=("bad.jsonl", content), purpose="fine-tune")
    sources = [{"type": "file", "file_id": file.id}]
    made = (await http.post("/v1/datasets", json={"name": "bad", "sources": sources, "strict": True})).json()

    async def ask() -> dict[str, Any]:
        found: dict[str, Any] = (await http.get(f"/v1/datasets/{made['id']}")).json()
        return found

    failed = await ended(ask)
    assert failed["status"] == "failed"
    assert "line 2" in failed["error"]["message"]
    answer = await http.post("/v1/fine_tuning/jobs", json={"model": "tiny", "training_file": made["id"]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "training_file")
    nothing = {"name": "n", "sources": [{"type": "dataset", "dataset_id": made["id"]}]}
    answer = await http.post("/v1/datasets", json=nothing)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "sources[0].dataset_id")
