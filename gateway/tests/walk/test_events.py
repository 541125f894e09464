"""Every request for tokens or vectors is one event on the bus: what it came to, and never what it said."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import openai
import pytest
from parts.fake_engine import FakeEngine, raising

from servicekit.bus import Event, open_bus
from servicekit.bus.topics import REQUESTS
from servicekit.errors import Reason
from sixfold.events.v1 import request_pb2

HI: Any = [{"role": "user", "content": "a word that nobody may keep"}]
Until = Callable[..., Awaitable[None]]


class Heard:
    """What came over the bus."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def told(self, request_id: str) -> request_pb2.RequestCompleted:
        """What was told of one request, once."""
        (event,) = [event for event in self.events if event.subject == request_id]
        return event.parse(request_pb2.RequestCompleted)

    async def wait_for(self, until: Until, *request_ids: str) -> None:
        await until(lambda: set(request_ids) <= {event.subject for event in self.events})


@pytest.fixture
async def heard(ready: Any) -> AsyncIterator[Heard]:
    heard = Heard()
    bus = open_bus(f"sqlite:///{(ready.home / 'bus.db').resolve()}?poll_ms=20")

    async def hear(event: Event) -> None:
        heard.events.append(event)

    subscription = bus.subscribe([REQUESTS], "test", hear)
    yield heard
    await subscription.close()
    await bus.close()


async def test_an_answer_is_told_of_whole_and_streamed(
    heard: Heard, client: openai.AsyncOpenAI, engine: FakeEngine, wait_until: Until
) -> None:
    whole = await client.chat.completions.with_raw_response.create(model="default", messages=HI, max_tokens=5)
    stream = await client.chat.completions.create(
        model="default", messages=HI, max_tokens=4, stream=True, extra_headers={"x-request-id": "streamed"}
    )
    async for _ in stream:
        pass
    request_id = whole.headers["x-request-id"]
    await heard.wait_for(wait_until, request_id, "streamed")
    told = heard.told(request_id)
    assert (told.operation, told.requested_model, told.model) == ("chat", "default", "tiny")
    assert (told.model_version, told.engine) == ("v1", "fake")
    assert (told.status, told.reason, told.stream) == (200, "", False)
    assert (told.prompt_tokens, told.completion_tokens) == (7, 5)
    assert list(told.finish_reasons) == ["stop"]
    assert told.route == "default -> local/tiny"
    assert told.subject == "default-user"
    assert told.seconds > 0
    assert told.first_token_seconds == 0
    streamed = heard.told("streamed")
    assert (streamed.status, streamed.stream, streamed.completion_tokens) == (200, True, 4)
    assert list(streamed.finish_reasons) == ["stop"]
    assert 0 < streamed.first_token_seconds <= streamed.seconds
    for event in heard.events:
        assert (event.type, event.source, event.tenant) == ("request.completed", "gateway", "default")
        assert b"nobody may keep" not in event.data
        assert b"word0" not in event.data
    assert len({event.id for event in heard.events}) == 2


async def test_completions_embeddings_and_kept_answers(
    heard: Heard, client: openai.AsyncOpenAI, wait_until: Until
) -> None:
    def named(name: str) -> dict[str, str]:
        return {"x-request-id": name}

    await client.completions.create(model="tiny", prompt="x", n=2, extra_headers=named("text"))
    await client.embeddings.create(model="vectors", input=["a", "b"], extra_headers=named("vectors"))
    for name in ("first", "second"):
        await client.chat.completions.create(
            model="tiny", messages=HI, temperature=0, extra_headers=named(name)
        )
    await heard.wait_for(wait_until, "text", "vectors", "first", "second")
    text, vectors = heard.told("text"), heard.told("vectors")
    assert (text.operation, list(text.finish_reasons)) == ("text_completion", ["stop", "stop"])
    assert (vectors.operation, vectors.model, vectors.prompt_tokens) == ("embeddings", "vectors", 8)
    first, second = heard.told("first"), heard.told("second")
    assert (first.cache, first.completion_tokens) == ("miss", 3)
    assert (second.cache, second.completion_tokens, second.model) == ("hit", 0, "tiny")
    assert list(second.finish_reasons) == ["stop"]


async def test_failures_are_told_with_their_reason(
    heard: Heard, ready: Any, http: httpx.AsyncClient, engine: FakeEngine, wait_until: Until
) -> None:
    async def post(name: str, body: Any, path: str = "chat/completions", **headers: str) -> int:
        response = await http.post(f"/v1/{path}", json=body, headers={"x-request-id": name, **headers})
        return response.status_code

    chat: Any = {"model": "tiny", "messages": HI}
    assert await post("wrong", {"model": "tiny"}) == 400
    assert await post("unknown", chat | {"model": "nobody"}) == 404
    viewer = f"Bearer {ready.token(role='viewer')}"
    assert await post("viewer", chat, authorization=viewer) == 403
    engine.behaviours["tiny"] = raising(Reason.ENGINE_FAILED)
    assert await post("failed", chat) == 502
    assert await post("stranger", chat, authorization="Bearer nonsense") == 401
    assert await post("vectors", {"model": "tiny", "input": "x"}, "embeddings") == 400
    names = ("wrong", "unknown", "viewer", "failed", "vectors")
    await heard.wait_for(wait_until, *names)
    told = [(heard.told(name).status, heard.told(name).reason) for name in names]
    assert told == [
        (400, "INVALID_REQUEST"),
        (404, "MODEL_NOT_FOUND"),
        (403, "PERMISSION_DENIED"),
        (502, "ENGINE_FAILED"),
        (400, "UNSUPPORTED_PARAMETER"),
    ]
    assert heard.told("unknown").requested_model == "nobody"
    # nobody's request is nobody's event: who has no credential cannot fill the spool
    assert "stranger" not in {event.subject for event in heard.events}


async def test_a_client_that_leaves_is_told_of_as_cancelled(
    heard: Heard, client: openai.AsyncOpenAI, engine: FakeEngine, wait_until: Until
) -> None:
    engine.pause = 0.05
    stream = await client.chat.completions.create(
        model="tiny", messages=HI, max_tokens=400, stream=True, extra_headers={"x-request-id": "left"}
    )
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            break
    await stream.close()
    whole = asyncio.create_task(
        client.chat.completions.create(
            model="tiny", messages=HI, max_tokens=400, extra_headers={"x-request-id": "gone"}
        )
    )
    await wait_until(lambda: engine.running > 0 and len(engine.requests) == 2)
    whole.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await whole
    await heard.wait_for(wait_until, "left", "gone")
    left, gone = heard.told("left"), heard.told("gone")
    assert (left.status, left.reason) == (200, "CANCELLED")
    assert left.completion_tokens > 0
    assert (gone.status, gone.reason) == (499, "CANCELLED")


async def test_content_is_kept_where_the_tenant_says_so_and_nowhere_else(
    heard: Heard, ready: Any, engine: FakeEngine, wait_until: Until
) -> None:
    ready.write_config("learning: {tenants: {acme: {keep_content: true}}}")
    learning = ready.gateway.app._hot["/v1/completions"][1]._deps.router
    await wait_until(lambda: learning.config.learning.keeps("acme"))
    for tenant in ("acme", "umbrella"):
        client = ready.openai(tenant=tenant)
        for stream in (False, True):
            answer = await client.chat.completions.create(
                model="tiny",
                messages=HI,
                stream=stream,
                temperature=0,  # the second is a kept answer
                extra_headers={"x-request-id": f"{tenant}-{stream}"},
            )
            if stream:
                async for _ in answer:
                    pass
    names = [f"{tenant}-{stream}" for tenant in ("acme", "umbrella") for stream in (False, True)]
    await heard.wait_for(wait_until, *names)
    for name in names[:2]:
        content = json.loads(heard.told(name).content_json)
        assert content["messages"] == HI
        assert content["answer"][0]["text"] == " word0 word1 word2"
    assert heard.told("acme-True").cache == "hit"
    for name in names[2:]:
        assert heard.told(name).content_json == b""


async def test_nothing_waits_in_the_spool_of_a_gateway_that_ended(
    heard: Heard, ready: Any, client: openai.AsyncOpenAI, wait_until: Until
) -> None:
    await client.chat.completions.create(model="tiny", messages=HI, extra_headers={"x-request-id": "last"})
    await ready.close()
    await heard.wait_for(wait_until, "last")
    assert [path for path in (ready.home / "spool").iterdir() if path.is_dir()] == []
