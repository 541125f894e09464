"""Bad input against the running platform: one clear error with a reason, and the next request is answered."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest
from parts.platform import Platform

pytestmark = pytest.mark.real_model

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]


def error_of(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"]
    assert "Traceback" not in response.text
    assert body["error"]["message"]
    return dict(body["error"])


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"text"', b"null", b'{"model": "default",}', b"\xff\xfe{}", b'{"a":' * 5000],
    ids=["empty", "cut", "list", "string", "null", "trailing comma", "not utf-8", "deep"],
)
def test_input_that_is_no_json_object(platform: Platform, body: bytes) -> None:
    response = platform.post(CHAT, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert error_of(response)["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": 7}, "model"),
        ({"model": None}, "model"),
        ({"messages": "hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 9}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": 10_000}, "n"),
        ({"stop": [1]}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"logprobs": 3}, "logprobs"),
        ({"top_logprobs": 99, "logprobs": True}, "top_logprobs"),
        ({"response_format": {"type": "poem"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format"),
        ({"seed": "x"}, "seed"),
    ],
    ids=lambda v: json.dumps(v)[:60],
)
def test_input_of_a_wrong_type(platform: Platform, change: dict[str, Any], param: str) -> None:
    body = {"model": "default", "messages": HELLO, "max_tokens": 4, **change}
    response = platform.post(CHAT, json=body)
    assert response.status_code == 400, response.text
    error = error_of(response)
    assert error["param"] is not None
    assert error["param"].startswith(param)


def test_input_unknown_model(platform: Platform) -> None:
    response = platform.post(CHAT, json={"model": "gpt-9", "messages": HELLO})
    assert response.status_code == 404
    assert error_of(response)["code"] == "model_not_found"


def test_input_over_long_prompt(platform: Platform) -> None:
    words = "word " * 20_000
    response = platform.post(
        CHAT, json={"model": "default", "messages": [{"role": "user", "content": words}]}
    )
    assert response.status_code == 400
    assert error_of(response)["code"] == "context_length_exceeded"


def test_input_wrong_schema(platform: Platform) -> None:
    broken = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "no-such-type"}}}
    response = platform.post(
        CHAT, json={"model": "default", "messages": HELLO, "response_format": broken, "max_tokens": 4}
    )
    assert response.status_code == 400
    error_of(response)


def test_input_of_ten_megabytes_is_refused_before_it_is_read(platform: Platform) -> None:
    with socket.create_connection(("127.0.0.1", platform.port), timeout=10) as s:
        head = (
            f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {platform.token}\r\n"
            "content-type: application/json\r\ncontent-length: 10485760\r\n\r\n{"
        )
        s.sendall(head.encode())
        answer = b""
        while piece := s.recv(65536):  # until the server closes: the rest of the body is not wanted
            answer += piece
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"error"' in answer


def test_input_endless_body_without_length(platform: Platform) -> None:
    sent = 0

    def endless() -> Any:
        nonlocal sent
        while sent < 64 * 1024 * 1024:
            sent += 65536
            yield b" " * 65536

    try:
        response = platform.post(CHAT, content=endless())
        assert response.status_code == 413
    except httpx.TransportError:
        pass  # the door was closed while we were still pushing
    assert sent < 32 * 1024 * 1024


def test_input_headers_cut_half_way_hold_nothing_up(platform: Platform) -> None:
    held = [socket.create_connection(("127.0.0.1", platform.port), timeout=10) for _ in range(50)]
    for s in held:
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n")
    assert platform.client(timeout=30).models.list().data
    for s in held:
        s.close()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [""]}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["x"] * 5000}, "input"),
        ({"input": "x", "encoding_format": "morse"}, "encoding_format"),
        ({"input": "x", "dimensions": 7}, "dimensions"),
        ({"input": "word " * 5000}, "input"),
    ],
    ids=lambda v: json.dumps(v)[:40],
)
def test_input_embeddings(platform: Platform, body: dict[str, Any], param: str) -> None:
    response = platform.post("/v1/embeddings", json={"model": "default-embedding", **body})
    assert response.status_code == 400, response.text
    assert (error_of(response)["param"] or "").startswith(param)


def test_input_wrong_way_to_ask(platform: Platform) -> None:
    for method, path, status in (("GET", CHAT, 405), ("POST", "/v1/nothing", 404), ("GET", "/%00", 404)):
        response = httpx.request(
            method, platform.url + path, headers={"authorization": f"Bearer {platform.token}"}, timeout=10
        )
        assert response.status_code == status, path
        error_of(response)


def test_input_a_chat_model_cannot_embed_and_the_other_way_round(platform: Platform) -> None:
    response = platform.post("/v1/embeddings", json={"model": "default", "input": "x"})
    assert response.status_code in (400, 404)
    error_of(response)
    response = platform.post(CHAT, json={"model": "default-embedding", "messages": HELLO})
    assert response.status_code in (400, 404)
    error_of(response)
