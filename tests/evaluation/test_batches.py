"""OpenAI's batches over the real service."""

from __future__ import annotations

import json
from typing import Any

import openai.types.responses
import pytest
from parts.evaluation import Answering, Evaluation, until

from servicekit.errors import Reason, SixfoldError
from sixfold.eval.v1 import eval_service_pb2 as pb

CHAT = "/v1/chat/completions"


def line(custom_id: str, text: str = "hello there", url: str = CHAT, **body: Any) -> bytes:
    if url == CHAT:
        body = {"model": "new", "messages": [{"role": "user", "content": text}], **body}
    told = {"custom_id": custom_id, "method": "POST", "url": url, "body": body}
    return json.dumps(told).encode() + b"\n"


async def start(acme: Evaluation, content: bytes, endpoint: str = CHAT, **more: Any) -> Any:
    file = await acme.upload(content)
    return (await acme.call(pb.CreateBatchRequest(endpoint=endpoint, input=file, **more))).batch


async def ended(acme: Evaluation, batch: Any) -> Any:
    async def done() -> Any:
        found = (await acme.call(pb.GetBatchRequest(batch_id=batch.id))).batch
        return found if found.status in ("completed", "failed", "expired", "cancelled") else None

    return await until(done)


async def lines(acme: Evaluation, source: Any) -> list[Any]:
    content = b"".join([chunk async for chunk in acme.objects.read(source.object_key)])
    assert len(content) == source.bytes
    return [json.loads(each) for each in content.splitlines()]


async def test_answers_and_failures_have_a_file_each(acme: Evaluation, models: Answering) -> None:
    def choosy(text: str, request: Any) -> str:
        if text == "bad":
            raise SixfoldError(Reason.CONTEXT_LENGTH_EXCEEDED, "Too long.")
        return f"heard {text}"

    models.say["new"] = choosy
    content = b"".join([line("a", "one"), line("b", "bad"), line("c", "three", guided_choice=["x", "y"])])
    batch = await ended(acme, await start(acme, content, metadata={"who": "me"}, output_seconds=7200))
    assert (batch.status, batch.metadata["who"], batch.output_seconds) == ("completed", "me", 7200)
    assert dict(batch.counts) == {"total": 3, "completed": 2, "failed": 1}
    assert {"created", "in_progress", "finalizing", "completed", "expires"} <= set(batch.times)
    good = await lines(acme, batch.output)
    assert [each["custom_id"] for each in good] == ["a", "c"]
    body = good[0]["response"]["body"]
    assert body["choices"][0]["message"]["content"] == "heard one"
    assert body["usage"]["total_tokens"] > 0
    (bad,) = await lines(acme, batch.errors)
    assert bad["response"]["status_code"] == 400
    assert bad["response"]["body"]["error"]["code"] == "context_length_exceeded"


async def test_embeddings_and_bare_prompts(acme: Evaluation) -> None:
    url = "/v1/embeddings"
    batch = await ended(acme, await start(acme, line("e", url=url, model="new", input=["a", "b"]), url))
    (one,) = await lines(acme, batch.output)
    assert len(one["response"]["body"]["data"]) == 2
    url = "/v1/completions"
    batch = await ended(acme, await start(acme, line("p", url=url, model="new", prompt="once upon"), url))
    (one,) = await lines(acme, batch.output)
    assert one["response"]["body"]["choices"][0]["text"] == "upon"


async def test_responses_are_the_official_clients(acme: Evaluation, models: Answering) -> None:
    url = "/v1/responses"
    content = line("r", url=url, model="new", input="once upon", instructions="Go on.", max_output_tokens=8)
    batch = await ended(acme, await start(acme, content, url))
    (one,) = await lines(acme, batch.output)
    body = openai.types.responses.Response.model_validate(one["response"]["body"])
    assert (body.output_text, body.status, body.model) == ("upon", "completed", "new")
    assert body.usage is not None
    assert body.usage.total_tokens == body.usage.input_tokens + body.usage.output_tokens > 0
    asked = models.requests[-1]
    assert [turn.content[0].text for turn in asked.messages] == ["Go on.", "once upon"]
    assert asked.max_tokens == 8


async def test_a_bad_line_begins_nothing_and_is_named(acme: Evaluation, models: Answering) -> None:
    content = line("a") + b"nonsense\n" + line("a") + line("d", url="/v1/embeddings") + line("e", n=0)
    batch = await ended(acme, await start(acme, content))
    assert batch.status == "failed"
    errors = json.loads(batch.errors_json)["data"]
    assert [(each["line"], each["code"]) for each in errors] == [
        (2, "invalid_json_line"),
        (3, "duplicate_custom_id"),
        (4, "invalid_url"),
        (5, "invalid_request"),
    ]
    assert not models.requests
    empty = await ended(acme, await start(acme, b"\n"))
    assert json.loads(empty.errors_json)["data"][0]["code"] == "empty_file"


async def test_what_was_answered_before_a_cancel_is_kept(acme: Evaluation, models: Answering) -> None:
    models.pause = 0.2
    batch = await start(acme, b"".join(line(f"r{index}") for index in range(200)))

    async def some() -> bool:
        found = (await acme.call(pb.GetBatchRequest(batch_id=batch.id))).batch
        return bool(found.counts["completed"] >= 3)

    await until(some)
    cancelling = (await acme.call(pb.CancelBatchRequest(batch_id=batch.id))).batch
    assert cancelling.status in ("cancelling", "cancelled")
    batch = await ended(acme, batch)
    assert batch.status == "cancelled"
    assert batch.counts["total"] == 200
    assert batch.counts["completed"] >= 3
    assert len(await lines(acme, batch.output)) == batch.counts["completed"]
    missed = await lines(acme, batch.errors)
    assert missed[0]["error"]["code"] == "batch_cancelled"
    again = (await acme.call(pb.CancelBatchRequest(batch_id=batch.id))).batch
    assert again.status == "cancelled"


async def test_an_expired_batch_keeps_what_it_has(acme: Evaluation, models: Answering) -> None:
    models.pause = 0.3
    content = b"".join(line(f"r{index}") for index in range(200))
    batch = await ended(acme, await start(acme, content, window_seconds=5))
    assert batch.status == "expired"
    assert batch.counts["completed"] + batch.counts["failed"] == 200
    assert (await lines(acme, batch.errors))[-1]["error"]["code"] == "batch_expired"


@pytest.mark.parametrize("change", [{"endpoint": "/v1/images"}, {"window_seconds": -1}])
async def test_an_order_outside_the_contract_is_refused(acme: Evaluation, change: dict[str, Any]) -> None:
    file = await acme.upload(line("a"))
    with pytest.raises(SixfoldError) as caught:
        await acme.call(pb.CreateBatchRequest(**{"endpoint": CHAT, "input": file, **change}))
    assert caught.value.reason is Reason.INVALID_REQUEST
