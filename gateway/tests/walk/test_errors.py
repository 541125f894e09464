"""Bad input: one clear error each, in OpenAI's shape."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from parts.fake_engine import FakeEngine, raising

from servicekit.errors import Reason

CHAT = "/v1/chat/completions"
HI: Any = [{"role": "user", "content": "hi"}]


def said(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"]
    assert response.headers["x-should-retry"] in ("true", "false")
    return error


@pytest.mark.parametrize(
    ("change", "param", "words"),
    [
        ({"messages": None}, "messages", "Missing required"),
        ({"messages": []}, "messages", "at least one"),
        ({"messages": "hi"}, "messages", "expected an array, but got a string"),
        ({"messages": [1]}, "messages[0]", "expected an object, but got an integer"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "Missing"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "'assistant'"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "got an integer"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "Missing"),
        ({"messages": [*HI, {"role": "tool", "content": "x"}]}, "messages[1].tool_call_id", "Missing"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
            "Missing",
        ),
        ({"model": None}, "model", "Missing"),
        ({"model": 5}, "model", "expected a string"),
        ({"temperature": "hot"}, "temperature", "expected a number, but got a string"),
        ({"temperature": 2.5}, "temperature", "between 0 and 2"),
        ({"temperature": True}, "temperature", "got a boolean"),
        ({"top_p": -0.1}, "top_p", "between 0 and 1"),
        ({"max_tokens": 0}, "max_tokens", "between 1 and"),
        ({"max_tokens": 1.5}, "max_tokens", "expected an integer"),
        ({"max_completion_tokens": "1"}, "max_completion_tokens", "expected an integer"),
        ({"n": 129}, "n", "between 1 and 128"),
        ({"seed": 2**63}, "seed", "between"),
        ({"stop": 5}, "stop", "expected a string or an array"),
        ({"stop": ["a"] * 5}, "stop", "at most 4"),
        ({"stop": ["a", 1]}, "stop[1]", "expected a string"),
        ({"stream": "yes"}, "stream", "expected a boolean"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "only allowed when 'stream'"),
        ({"logit_bias": {"x": 1}}, "logit_bias.x", "token ids"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1", "between -100 and 100"),
        ({"top_logprobs": 3}, "top_logprobs", "needs 'logprobs'"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "between 0 and 20"),
        ({"response_format": "json"}, "response_format", "expected an object"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "'json_schema'"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "Missing"),
        ({"tools": {}}, "tools", "expected an array"),
        ({"tools": [{"type": "magic"}]}, "tools[0].type", "function"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name", "letters"),
        ({"tool_choice": "maybe"}, "tool_choice", "'auto'"),
        ({"tool_choice": "required"}, "tool_choice", "when 'tools' are given"),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls", "expected a boolean"),
    ],
)
async def test_wrong_fields_are_named(http: httpx.AsyncClient, change: Any, param: str, words: str) -> None:
    response = await http.post(CHAT, json={"model": "tiny", "messages": HI} | change)
    error = said(response)
    assert response.status_code == 400
    assert error["param"] == param
    assert words in error["message"]
    assert error["type"] == "invalid_request_error"
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/completions", {"model": "tiny"}, "prompt"),
        ("/v1/completions", {"model": "tiny", "prompt": [1, 2]}, "prompt"),
        ("/v1/completions", {"model": "tiny", "prompt": ["a", "b"]}, "prompt"),
        ("/v1/completions", {"model": "tiny", "prompt": "a", "logprobs": 6}, "logprobs"),
        ("/v1/completions", {"model": "tiny", "prompt": "a", "best_of": 3}, "best_of"),
        ("/v1/embeddings", {"model": "vectors"}, "input"),
        ("/v1/embeddings", {"model": "vectors", "input": []}, "input"),
        ("/v1/embeddings", {"model": "vectors", "input": ""}, "input"),
        ("/v1/embeddings", {"model": "vectors", "input": ["a", 1]}, "input[1]"),
        ("/v1/embeddings", {"model": "vectors", "input": [[1, -1]]}, "input[0][1]"),
        ("/v1/embeddings", {"model": "vectors", "input": "a", "encoding_format": "hex"}, "encoding_format"),
        ("/v1/embeddings", {"model": "vectors", "input": "a", "dimensions": 0}, "dimensions"),
        ("/v1/embeddings", {"model": "tiny", "input": "a"}, "model"),
        (CHAT, {"model": "vectors", "messages": HI}, "model"),
    ],
)
async def test_other_endpoints_name_them_too(
    http: httpx.AsyncClient, path: str, body: Any, param: str
) -> None:
    response = await http.post(path, json=body)
    assert response.status_code == 400
    assert said(response)["param"] == param


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nul", b'{"model": "tiny",}', b"\xff\xfe", b'"\\ud800"', b"[" * 9999]
)
async def test_malformed_json(http: httpx.AsyncClient, body: bytes) -> None:
    response = await http.post(CHAT, content=body)
    assert response.status_code == 400
    assert said(response)["code"] == "invalid_json"


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"x"'])
async def test_json_that_is_no_object(http: httpx.AsyncClient, body: bytes) -> None:
    response = await http.post(CHAT, content=body)
    assert response.status_code == 400
    assert said(response)["code"] == "invalid_request"


async def test_deep_nesting_in_an_unknown_field(http: httpx.AsyncClient) -> None:
    deep = "[" * 1000 + "]" * 1000
    body = json.dumps({"model": "tiny", "messages": HI})[:-1] + f', "x": {deep}}}'
    response = await http.post(CHAT, content=body)
    assert response.status_code in (200, 400)


async def test_an_unknown_model(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await client.chat.completions.create(model="gpt-9", messages=HI)
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-9")


async def test_credentials(ready: Any) -> None:
    plain = httpx.AsyncClient(base_url=ready.base)
    async with plain:
        response = await plain.post(CHAT, json={})
        assert (response.status_code, said(response)["code"]) == (401, "missing_credentials")
        bad = {"authorization": "Bearer sk-sixfold-000000000000-" + "x" * 43}
        response = await plain.post(CHAT, json={}, headers=bad)
        assert (response.status_code, said(response)["code"]) == (401, "invalid_api_key")
    viewer = ready.http(role="viewer")
    assert (await viewer.get("/v1/models")).status_code == 200
    response = await viewer.post(CHAT, json={"model": "tiny", "messages": HI})
    assert (response.status_code, said(response)["code"]) == (403, "permission_denied")


async def test_the_engine_tells_of_a_long_prompt(client: openai.AsyncOpenAI, engine: FakeEngine) -> None:
    engine.behaviours["tiny"] = raising(Reason.CONTEXT_LENGTH_EXCEEDED)
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="tiny", messages=HI)
    assert caught.value.code == "context_length_exceeded"


async def test_rate_limits(house: Any, engine: FakeEngine) -> None:
    house.write_config("limits: {default: {requests_per_minute: 2}}\n", limits=False)
    await house.start()
    http = house.http()
    codes = [(await http.post(CHAT, json={"model": "tiny", "messages": HI})).status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    response = await http.post(CHAT, json={"model": "tiny", "messages": HI})
    assert said(response)["code"] == "rate_limit_exceeded"
    assert int(response.headers["retry-after-ms"]) > 0
    assert response.headers["x-should-retry"] == "true"
    assert response.headers["x-ratelimit-remaining-requests"] == "0"


async def test_used_tokens_are_settled_not_reserved_ones(house: Any, engine: FakeEngine) -> None:
    house.write_config("limits: {default: {tokens_per_minute: 1000}}\n", limits=False)
    await house.start()
    http = house.http()
    for _ in range(5):  # each reserves over 500 and uses 10
        response = await http.post(CHAT, json={"model": "tiny", "messages": HI})
        assert response.status_code == 200


async def test_a_body_of_ten_megabytes(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "x" * 10_000_000}]})
    response = await http.post(CHAT, content=body)
    assert (response.status_code, said(response)["code"]) == (413, "request_too_large")
    assert (await http.get("/healthz")).status_code == 200
    assert not engine.requests


async def test_a_body_without_end(ready: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ready.port)
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer "
        + ready.token().encode()
        + b"\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"

    async def endless() -> None:
        while True:
            writer.write(piece)
            await writer.drain()

    sending = asyncio.create_task(endless())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert head.startswith(b"HTTP/1.1 413 ")
    with pytest.raises(OSError):
        await asyncio.wait_for(sending, 20)  # the server hangs up on whoever goes on
    writer.close()


async def test_methods_and_paths(http: httpx.AsyncClient) -> None:
    response = await http.get(CHAT)
    assert (response.status_code, said(response)["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    response = await http.get("/v1/nothing")
    assert (response.status_code, said(response)["code"]) == (404, "not_found")
    response = await http.options(
        CHAT, headers={"origin": "http://evil", "access-control-request-method": "POST"}
    )
    assert "access-control-allow-origin" not in response.headers


async def test_a_large_head(ready: Any) -> None:
    async with httpx.AsyncClient(base_url=ready.base) as plain:
        response = await plain.get("/healthz", headers={"x-large": "x" * 40_000})
        assert response.status_code == 431
        assert (await plain.get("/healthz")).status_code == 200


async def test_the_callers_deadline(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    async def stuck(_engine: Any, _request: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(60)
        yield

    engine.behaviours["tiny"] = stuck
    response = await http.post(
        CHAT, json={"model": "tiny", "messages": HI}, headers={"x-sixfold-timeout": "0.3"}
    )
    assert (response.status_code, said(response)["code"]) == (504, "deadline_exceeded")
    assert engine.deadlines[-1] <= 0.3
    await asyncio.wait_for(engine.cancelled.wait(), 5)
    response = await http.post(
        CHAT, json={"model": "tiny", "messages": HI}, headers={"x-sixfold-timeout": "soon"}
    )
    assert said(response)["param"] == "x-sixfold-timeout"


async def test_what_nobody_foresaw_keeps_its_words(ready: Any, http: httpx.AsyncClient) -> None:
    hot = ready.gateway.app._hot

    async def broken(_exchange: Any) -> None:
        raise RuntimeError("secret words")

    hot["/v1/broken"] = ("POST", broken)
    response = await http.post("/v1/broken")
    assert (response.status_code, said(response)["code"]) == (500, "internal")
    assert "secret" not in response.text
