"""Batches with the official client: ordered, watched, their answers read as files of the tenant's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from parts.fake_engine import FakeEngine
from parts.fake_evaluation import FakeEvaluation, evaluation_server
from parts.fake_training import JobsServer

from servicekit.objects import open_objects
from sixfold.training.v1 import dataset_pb2

BATCHES = "/v1/batches"
CHAT: Any = "/v1/chat/completions"
NO_BATCH, NO_FILE = f"batch_{'0' * 24}", f"file-{'0' * 24}"
LINE = b'{"custom_id": "1", "response": {"status_code": 200, "body": {}}, "error": null}\n'


@pytest.fixture
def evaluation() -> FakeEvaluation:
    return FakeEvaluation()  # type: ignore[abstract]  # routes are not asked for here


@pytest.fixture
async def server(house: Any, evaluation: FakeEvaluation) -> AsyncIterator[JobsServer]:
    server = evaluation_server(evaluation, house.service_key)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def ready(house: Any, engine: FakeEngine, server: JobsServer) -> Any:
    house.write_config("")
    await house.retrieval()  # deleting a file asks it
    await house.start(eval_service=f"127.0.0.1:{server.port}", jobs_seconds=5)
    return house


async def order(client: openai.AsyncOpenAI) -> str:
    line = {"custom_id": "1", "method": "POST", "url": CHAT, "body": {"model": "tiny", "messages": []}}
    file = await client.files.create(file=("in.jsonl", json.dumps(line).encode()), purpose="batch")
    batch = await client.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"night": "1"}
    )
    assert batch.input_file_id == file.id
    return batch.id


async def finish(house: Any, evaluation: FakeEvaluation, batch_id: str, content: bytes = LINE) -> None:
    """A batch's job left its answers in the object store, and no failures."""

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    objects = open_objects(f"file://{house.home.resolve() / 'objects'}")
    stored = await objects.put(f"default/{batch_id}/output", chunks(), limit=1 << 20)
    await objects.close()
    batch = evaluation.batches["default", batch_id]
    batch.status = "completed"
    batch.times["completed"] = batch.times["created"] + 5
    batch.counts.update({"total": 1, "completed": 1, "failed": 0})
    batch.output.CopyFrom(
        dataset_pb2.FileSource(
            filename=f"{batch_id}_output.jsonl",
            object_key=stored.key,
            sha256=stored.sha256,
            bytes=stored.bytes,
        )
    )


async def test_a_batch_from_order_to_answers(
    ready: Any, client: openai.AsyncOpenAI, evaluation: FakeEvaluation
) -> None:
    batch_id = await order(client)
    batch = await client.batches.retrieve(batch_id)
    assert (batch.object, batch.status, batch.endpoint) == ("batch", "validating", CHAT)
    assert (batch.completion_window, batch.metadata) == ("24h", {"night": "1"})
    assert (batch.output_file_id, batch.error_file_id, batch.errors) == (None, None, None)
    assert batch.expires_at == batch.created_at + 86400

    await finish(ready, evaluation, batch_id)
    done = await client.batches.retrieve(batch_id)
    assert done.request_counts is not None
    assert (done.status, done.request_counts.completed) == ("completed", 1)
    assert done.completed_at == done.created_at + 5
    assert done.output_file_id is not None
    assert done.error_file_id is None
    assert (await client.files.content(done.output_file_id)).content == LINE
    file = await client.files.retrieve(done.output_file_id)
    assert (file.filename, file.bytes) == (f"{batch_id}_output.jsonl", len(LINE))
    assert file.purpose == "batch_output"
    assert file.expires_at == file.created_at + 30 * 86400


async def test_the_caller_says_how_long_an_output_is_kept(
    ready: Any, client: openai.AsyncOpenAI, evaluation: FakeEvaluation
) -> None:
    file = await client.files.create(file=("in.jsonl", b"{}"), purpose="batch")
    batch = await client.batches.create(
        input_file_id=file.id,
        endpoint=CHAT,
        completion_window="24h",
        output_expires_after={"anchor": "created_at", "seconds": 7200},
    )
    await finish(ready, evaluation, batch.id)
    output = (await client.batches.retrieve(batch.id)).output_file_id
    assert output is not None
    kept = await client.files.retrieve(output)
    assert kept.expires_at == kept.created_at + 7200


async def test_an_output_is_one_file_and_stays_deleted(
    ready: Any, client: openai.AsyncOpenAI, evaluation: FakeEvaluation
) -> None:
    batch_id = await order(client)
    await finish(ready, evaluation, batch_id)
    seen = await asyncio.gather(*(client.batches.retrieve(batch_id) for _ in range(4)))
    ids = {batch.output_file_id for batch in seen}
    assert len(ids) == 1
    (output,) = ids
    assert output is not None
    assert [batch.output_file_id async for batch in client.batches.list()] == [output]
    assert len([file async for file in client.files.list()]) == 2  # what went in, and what came out
    await client.files.delete(output)
    assert (await client.batches.retrieve(batch_id)).output_file_id == output
    with pytest.raises(openai.NotFoundError):
        await client.files.content(output)


async def test_a_batch_is_called_off_and_listed(
    client: openai.AsyncOpenAI, evaluation: FakeEvaluation
) -> None:
    made = [await order(client) for _ in range(3)]
    called_off = await client.batches.cancel(made[0])
    assert called_off.status == "cancelling"
    assert called_off.cancelling_at is not None
    assert [batch.id async for batch in client.batches.list(limit=2)] == made[::-1]
    bad = evaluation.batches["default", made[1]]
    bad.status = "failed"
    fault = {"code": "invalid_json", "line": 1, "message": "This line is no JSON.", "param": None}
    bad.errors_json = json.dumps({"object": "list", "data": [fault]}).encode()
    failed = await client.batches.retrieve(made[1])
    assert failed.errors is not None
    assert failed.errors.data is not None
    assert (failed.errors.data[0].code, failed.errors.data[0].line) == ("invalid_json", 1)


async def test_another_tenants_batches_and_objects_are_not_there(
    ready: Any, client: openai.AsyncOpenAI, evaluation: FakeEvaluation
) -> None:
    batch_id = await order(client)
    await finish(ready, evaluation, batch_id)
    other = ready.openai(tenant="umbrella")
    for attempt in (other.batches.retrieve(batch_id), other.batches.cancel(batch_id)):
        with pytest.raises(openai.NotFoundError):
            await attempt
    assert [batch async for batch in other.batches.list()] == []
    mine = evaluation.batches["default", batch_id]
    with pytest.raises(openai.NotFoundError, match=mine.input.id):
        await other.batches.create(input_file_id=mine.input.id, endpoint=CHAT, completion_window="24h")
    assert (await client.batches.retrieve(batch_id)).output_file_id is not None
    # a service that is wrong about whose object it is opens nothing either
    evaluation.batches["umbrella", batch_id] = mine
    with pytest.raises(openai.NotFoundError):
        await other.batches.retrieve(batch_id)


async def test_bad_bodies_viewers_and_repeats(
    ready: Any, client: openai.AsyncOpenAI, http: httpx.AsyncClient, evaluation: FakeEvaluation
) -> None:
    file = await client.files.create(file=("in.jsonl", b"{}"), purpose="batch")
    body = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    for change, status, param in (
        ({"input_file_id": NO_FILE}, 404, "input_file_id"),
        ({"endpoint": "/v1/files"}, 400, "endpoint"),
        ({"completion_window": "1h"}, 400, "completion_window"),
        (
            {"output_expires_after": {"anchor": "created_at", "seconds": 60}},
            400,
            "output_expires_after.seconds",
        ),
        ({"colour": "red"}, 400, "colour"),
    ):
        answer = await http.post(BATCHES, json=body | change)
        assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
    assert (await http.get(f"{BATCHES}/{NO_BATCH}")).status_code == 404
    viewer = ready.http(role="viewer")
    refused = await viewer.post(BATCHES, json=body)
    assert refused.status_code == 403
    assert "batches:write" in refused.json()["error"]["message"]
    first = (await http.post(BATCHES, json=body)).json()
    again = await http.post(BATCHES, json=body, headers={"x-stainless-retry-count": "1"})
    assert again.json()["id"] == first["id"]
    await finish(ready, evaluation, first["id"])
    seen = await viewer.get(f"{BATCHES}/{first['id']}")
    assert seen.status_code == 200
    assert (await viewer.get(f"/v1/files/{seen.json()['output_file_id']}/content")).content == LINE
