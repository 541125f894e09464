"""A batch and an eval with the official client, through the gateway to a real eval service and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import openai.types.responses
import pytest
from parts.evaluation import EvalProcess
from parts.fake_engine import FakeEngine

CHAT: Any = "/v1/chat/completions"


@pytest.fixture
async def ready(house: Any, engine: FakeEngine) -> AsyncIterator[Any]:
    house.write_config("")
    service = EvalProcess(house.home, house.service_key, house.engines["local"].port)
    await asyncio.to_thread(service.start)
    await house.start(eval_service=f"127.0.0.1:{service.port}")
    yield house
    await asyncio.to_thread(service.kill)  # the gateway still listens to its routes


def line(n: int, **more: Any) -> bytes:
    body = {"model": "tiny", "messages": [{"role": "user", "content": f"hi {n}"}], **more}
    return json.dumps({"custom_id": f"ask-{n}", "method": "POST", "url": CHAT, "body": body}).encode() + b"\n"


async def work_off(client: openai.AsyncOpenAI, content: bytes, endpoint: Any = CHAT) -> Any:
    file = await client.files.create(file=("in.jsonl", content), purpose="batch")
    batch = await client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")
    async with asyncio.timeout(60):
        while batch.status not in ("completed", "failed", "expired"):
            await asyncio.sleep(0.2)
            batch = await client.batches.retrieve(batch.id)
    return batch


async def test_a_batch_is_worked_off_and_read(client: openai.AsyncOpenAI) -> None:
    batch = await work_off(client, line(0) + line(1) + line(2))
    assert batch.status == "completed", batch
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (3, 3, 0)
    assert batch.error_file_id is None
    told = (await client.files.content(batch.output_file_id)).text
    answers = [json.loads(each) for each in told.splitlines()]
    assert [each["custom_id"] for each in answers] == ["ask-0", "ask-1", "ask-2"]
    assert answers[0]["response"]["body"]["choices"][0]["message"]["content"]

    bad = await work_off(client, line(0) + line(1, temperature=9))
    assert (bad.status, bad.output_file_id) == ("failed", None)
    assert [fault.line for fault in bad.errors.data] == [2]


async def test_a_batch_of_responses_is_worked_off_and_read(client: openai.AsyncOpenAI) -> None:
    url = "/v1/responses"
    body = {"model": "tiny", "input": "hi"}
    ask = {"custom_id": "a", "method": "POST", "url": url, "body": body}
    batch = await work_off(client, json.dumps(ask).encode() + b"\n", url)
    assert batch.status == "completed", batch
    (answer,) = (await client.files.content(batch.output_file_id)).text.splitlines()
    response = openai.types.responses.Response.model_validate(json.loads(answer)["response"]["body"])
    assert (response.status, response.store) == ("completed", False)
    assert response.output_text
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(response.id)

    stored = {**ask, "body": {**body, "store": True}}
    bad = await work_off(client, json.dumps(stored).encode() + b"\n", url)
    assert (bad.status, bad.errors.data[0].param) == ("failed", "body.store")


async def test_an_eval_is_run_and_read(client: openai.AsyncOpenAI, ready: Any) -> None:
    criterion: Any = {
        "type": "string_check",
        "name": "said",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "operation": "eq",
    }
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    config: Any = {"type": "custom", "item_schema": schema, "include_sample_schema": True}
    made = await client.evals.create(
        name="said", data_source_config=config, testing_criteria=[criterion], metadata={"a": "b"}
    )
    rows = [{"item": {"answer": "yes"}, "sample": {"output_text": said}} for said in ("yes", "no", "yes")]
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    file = await client.files.create(file=("rows.jsonl", content), purpose="evals")
    source: Any = {"type": "jsonl", "source": {"type": "file_id", "id": file.id}}
    run: Any = await client.evals.runs.create(made.id, name="first", data_source=source)
    async with asyncio.timeout(60):
        while run.status not in ("completed", "failed", "canceled"):
            await asyncio.sleep(0.2)
            run = await client.evals.runs.retrieve(run.id, eval_id=made.id)
    assert (run.status, run.result_counts.passed, run.result_counts.failed) == ("completed", 2, 1), run
    (result,) = run.per_testing_criteria_results
    assert (result.testing_criteria, result.passed, result.failed) == ("said", 2, 1)
    items = [item async for item in client.evals.runs.output_items.list(run.id, eval_id=made.id, limit=2)]
    assert [item.status for item in items] == ["pass", "fail", "pass"]
    assert items[1].results[0].name == "said"
    http = ready.http()
    page = await http.get(f"/v1/evals/{made.id}/runs/{run.id}/report")
    assert (page.status_code, page.text.lstrip()[:15].lower()) == (200, "<!doctype html>")
    assert (await ready.http(tenant="umbrella").get(f"/v1/evals/{made.id}/runs/{run.id}")).status_code == 404
