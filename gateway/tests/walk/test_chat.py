"""Chat as the official client sees it, over a real server and real gRPC."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
from parts.fake_engine import FakeEngine

from sixfold.model.v1 import generation_pb2 as gen

HI: Any = [{"role": "user", "content": "hi"}]


async def test_a_whole_answer(client: openai.AsyncOpenAI, engine: FakeEngine) -> None:
    raw = await client.chat.completions.with_raw_response.create(model="default", messages=HI)
    answer = raw.parse()
    assert answer.object == "chat.completion"
    assert answer.model == "tiny"
    assert answer.id.startswith("chatcmpl-")
    assert answer.choices[0].message.content == " word0 word1 word2"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        7,
        3,
        10,
    )
    assert raw.headers["x-sixfold-model"] == "tiny@v1"
    assert raw.headers["x-sixfold-engine"] == "fake"
    assert raw.headers["x-sixfold-route"] == "default -> local/tiny; attempts=1"
    assert raw.headers["x-sixfold-cache"] == "bypass"
    assert raw.headers["x-request-id"].startswith("req_")
    assert "x-ratelimit-remaining-requests" in raw.headers
    assert int(raw.headers["openai-processing-ms"]) >= 0


async def test_a_streamed_answer(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="default", messages=HI, stream=True, stream_options={"include_usage": True}, max_tokens=5
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == " word0 word1 word2 word3 word4"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert all(c.choices[0].finish_reason is None for c in chunks[:-2])
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5
    assert all(c.usage is None for c in chunks[:-1])
    assert len({c.id for c in chunks}) == len({c.created for c in chunks}) == 1


async def test_a_stream_is_server_sent_events_that_end_with_done(http: httpx.AsyncClient) -> None:
    async with http.stream(
        "POST", "/v1/chat/completions", json={"model": "tiny", "messages": HI, "stream": True}
    ) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        text = (await response.aread()).decode()
    events = text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(event.startswith("data: {") for event in events[:-2])
    assert "usage" not in events[0]


async def test_several_choices_keep_apart(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="tiny", messages=HI, n=3, max_tokens=2)
    assert [c.index for c in answer.choices] == [0, 1, 2]
    assert {c.message.content for c in answer.choices} == {" word0 word1"}
    stream = await client.chat.completions.create(model="tiny", messages=HI, n=2, max_tokens=2, stream=True)
    texts = {0: "", 1: ""}
    roles = []
    async for chunk in stream:
        choice = chunk.choices[0]
        texts[choice.index] += choice.delta.content or ""
        roles += [choice.index] if choice.delta.role else []
    assert texts == {0: " word0 word1", 1: " word0 word1"}
    assert roles == [0, 1]


async def test_every_standard_field_reaches_the_engine(
    client: openai.AsyncOpenAI, engine: FakeEngine
) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "number", "minimum": 1.50}}}
    await client.chat.completions.create(
        model="tiny",
        messages=[
            {"role": "system", "content": "be brief", "name": "boss"},
            {"role": "user", "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            ]},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ]},
            {"role": "tool", "tool_call_id": "call_1", "content": "42"},
        ],
        temperature=0.5, top_p=0.9, seed=-7, presence_penalty=1, frequency_penalty=-1, logit_bias={"5": -100},
        max_completion_tokens=9, stop=["a", "b"], n=2, logprobs=True, top_logprobs=4,
        response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}},
        tools=[{"type": "function", "function": {
            "name": "f", "description": "d", "parameters": schema, "strict": True,
        }}],
        tool_choice={"type": "function", "function": {"name": "f"}},
    )  # fmt: skip
    asked = engine.requests[-1]
    assert asked.model == "tiny"
    assert [m.role for m in asked.messages] == ["system", "user", "assistant", "tool"]
    assert asked.messages[0].name == "boss"
    assert [p.WhichOneof("part") for p in asked.messages[1].content] == ["text", "image", "other_json"]
    assert asked.messages[1].content[1].image.detail == "low"
    assert json.loads(asked.messages[1].content[2].other_json)["input_audio"]["format"] == "wav"
    assert asked.messages[2].tool_calls[0].id == "call_1"
    assert asked.messages[3].tool_call_id == "call_1"
    sampling = asked.sampling
    assert (sampling.temperature, sampling.top_p, sampling.seed) == (0.5, 0.9, -7)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (1, -1)
    assert dict(sampling.logit_bias) == {5: -100}
    assert (asked.max_tokens, list(asked.stop), asked.n) == (9, ["a", "b"], 2)
    assert (asked.logprobs, asked.top_logprobs) == (True, 4)
    assert json.loads(asked.response_format.json_schema) == schema
    assert asked.tools[0].strict
    assert json.loads(asked.tools[0].parameters_json) == schema
    assert asked.tool_choice.function_name == "f"
    assert not asked.stream


async def test_unknown_fields_survive_byte_for_byte(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    body = (
        b'{"model":"tiny", "new_field": {"big": 123456789012345678901234567890, "f": 1.50e0},'
        b'"messages":[{"role":"user","content":"hi","mood":  [1, 2.0]}], "user":"u\\u00e9"}'
    )
    response = await http.post("/v1/chat/completions", content=body)
    assert response.status_code == 200
    asked = engine.requests[-1]
    assert asked.extra_json == (
        b'{"new_field":{"big": 123456789012345678901234567890, "f": 1.50e0},"user":"u\\u00e9"}'
    )
    assert asked.messages[0].extra_json == b'{"mood":[1, 2.0]}'


async def test_who_asks_comes_from_the_token(client: openai.AsyncOpenAI, engine: FakeEngine) -> None:
    await client.chat.completions.create(
        model="tiny",
        messages=HI,
        user="mallory",
        extra_body={"tenant": "other"},
        extra_headers={"x-tenant": "other"},
    )
    caller = engine.callers[-1]
    assert (caller.service, caller.tenant, caller.subject) == ("gateway", "default", "default-user")


async def test_the_request_id_goes_all_the_way(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    body = {"model": "tiny", "messages": HI}
    response = await http.post("/v1/chat/completions", json=body, headers={"x-request-id": "my-id.1"})
    assert response.headers["x-request-id"] == "my-id.1"
    assert engine.requests[-1].request_id == engine.metadata[-1]["x-request-id"] == "my-id.1"
    response = await http.post("/v1/chat/completions", json=body, headers={"x-request-id": "no spaces"})
    assert response.headers["x-request-id"].startswith("req_")


async def test_tool_calls_logprobs_and_reasoning(client: openai.AsyncOpenAI, engine: FakeEngine) -> None:
    async def behave(_engine: Any, _request: Any) -> AsyncIterator[Any]:
        yield gen.Delta(reasoning="hmm ", extra_json=b'{"mood":"cal"}')
        yield gen.Delta(
            text="A",
            logprobs=[
                gen.TokenLogprob(
                    token="A", logprob=-0.5, token_bytes=b"A",
                    top_logprobs=[gen.TopLogprob(token="B", logprob=-1.5, token_bytes=b"B")],
                )
            ],
        )  # fmt: skip
        yield gen.Delta(tool_calls=[gen.ToolCallDelta(index=0, id="call_9", name="f", arguments='{"x"')])
        yield gen.Delta(tool_calls=[gen.ToolCallDelta(index=0, arguments=":1}")], extra_json=b'{"mood":"m"}')
        yield gen.Delta(finish_reason=gen.FINISH_REASON_TOOL_CALLS)
        yield gen.Usage(prompt_tokens=1, completion_tokens=4, reasoning_tokens=1, cached_tokens=1)

    engine.behaviours["tiny"] = behave
    answer = await client.chat.completions.create(model="tiny", messages=HI, logprobs=True, top_logprobs=1)
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    call = choice.message.tool_calls[0]
    assert call.type == "function"
    assert (call.id, call.function.name, call.function.arguments) == ("call_9", "f", '{"x":1}')
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    assert choice.logprobs.content[0].bytes == [65]
    assert choice.logprobs.content[0].top_logprobs[0].token == "B"
    assert choice.message.model_extra == {"reasoning_content": "hmm ", "mood": "calm"}
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 1

    stream = await client.chat.completions.create(model="tiny", messages=HI, stream=True, logprobs=True)
    pieces = [p for c in [c async for c in stream] for p in c.choices[0].delta.tool_calls or []]
    assert pieces[0].id == "call_9"
    assert "".join(p.function.arguments or "" for p in pieces if p.function) == '{"x":1}'


async def test_completions(client: openai.AsyncOpenAI, engine: FakeEngine) -> None:
    answer = await client.completions.create(model="tiny", prompt="Once", max_tokens=2, echo=True)
    assert answer.object == "text_completion"
    assert answer.choices[0].text == "Once word0 word1"
    assert (engine.requests[-1].prompt, len(engine.requests[-1].messages)) == ("Once", 0)
    stream = await client.completions.create(model="tiny", prompt=["Once"], stream=True)
    assert "".join([c.choices[0].text async for c in stream]) == "".join(f" word{i}" for i in range(16))


async def test_embeddings(client: openai.AsyncOpenAI, engine: FakeEngine) -> None:
    answer = await client.embeddings.create(model="vectors", input=["a", "b"])  # base64 by default
    assert [entry.embedding for entry in answer.data] == [[1.0, 0.5], [1.0, 0.5]]
    assert answer.usage.total_tokens == 8
    plain = await client.embeddings.create(
        model="vectors", input=[[1, 2], [3]], encoding_format="float", dimensions=2
    )
    assert [entry.index for entry in plain.data] == [0, 1]
    assert [list(tokens.tokens) for tokens in engine.embed_requests[-1].token_lists] == [[1, 2], [3]]
    assert engine.embed_requests[-1].dimensions == 2


async def test_models_and_aliases_are_listed(client: openai.AsyncOpenAI) -> None:
    listed = {model.id: model for model in (await client.models.list()).data}
    assert set(listed) == {"tiny", "default", "vectors"}
    one = await client.models.retrieve("default")
    assert one.id == "default"
    assert one.model_extra is not None
    assert one.model_extra["root"] == "tiny"
