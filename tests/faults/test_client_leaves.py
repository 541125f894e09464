"""A client that leaves, or reads slowly, holds no place in the engine and no memory in the gateway."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time

import httpx
import psutil
import pytest
from parts.platform import Platform

pytestmark = pytest.mark.real_model

PATH = "/v1/completions"
# A model that counts goes on counting; a little warmth keeps the answer out of the cache.
LONG = {
    "model": "default",
    "prompt": "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,",
    "max_tokens": 3000,
    "temperature": 0.01,
    "stream": True,
}


def in_flight(platform: Platform) -> float:
    """Requests that the gateway still carries."""
    found = re.search(r"^sixfold_gateway_http_in_flight(?:\{[^}]*\})? ([\d.e+]+)$", platform.metrics(), re.M)
    assert found, "the gateway lost its gauge of requests in flight"
    return float(found[1])


def engine(platform: Platform, state: str) -> float:
    """Requests that the engine runs or holds back, summed over models."""
    text = httpx.get(platform.ops("model-service") + "/metrics", timeout=10).text
    values = re.findall(rf"^sixfold_model_requests_{state}(?:\{{[^}}]*\}})? ([\d.e+]+)$", text, re.M)
    assert values, f"model-service lost its gauge of {state} requests"
    return sum(map(float, values))


def until_idle(platform: Platform, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if engine(platform, "running") == engine(platform, "waiting") == in_flight(platform) == 0:
            return
        time.sleep(0.1)
    raise AssertionError(
        f"still running {engine(platform, 'running')}, waiting {engine(platform, 'waiting')}, "
        f"in flight {in_flight(platform)}"
    )


def open_stream(platform: Platform, receive_buffer: int | None = None) -> socket.socket:
    """Sends a streamed question over a bare socket and reads nothing."""
    body = json.dumps(LONG).encode()
    s = socket.socket()
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.settimeout(60)
    s.connect(("127.0.0.1", platform.port))
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {platform.token}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    s.sendall(head.encode() + body)
    return s


def test_client_leaves_in_the_middle_of_a_stream(platform: Platform) -> None:
    until_idle(platform)
    streams = [open_stream(platform) for _ in range(8)]
    for s in streams:
        assert s.recv(1024).startswith(b"HTTP/1.1 200")
    assert engine(platform, "running") == 8
    for s in streams:
        s.close()
    until_idle(platform)


def test_client_leaves_before_the_first_token(platform: Platform) -> None:
    until_idle(platform)
    streams = [open_stream(platform) for _ in range(40)]  # more than run at once: some only wait
    time.sleep(0.3)
    for s in streams:
        s.close()
    until_idle(platform)
    answer = platform.client().chat.completions.create(
        model="default", messages=[{"role": "user", "content": "hi"}], max_tokens=4
    )
    assert answer.usage


def test_client_leaves_an_answer_that_is_not_streamed(platform: Platform) -> None:
    until_idle(platform)
    with pytest.raises(httpx.ReadTimeout):
        platform.post(PATH, json={**LONG, "stream": False}, timeout=1.0)
    until_idle(platform)


def test_slow_readers_cost_no_memory_and_delay_nobody(platform: Platform) -> None:
    until_idle(platform)
    gateway = psutil.Process(platform.pid("gateway"))
    before = gateway.memory_info().rss
    slow = [open_stream(platform, receive_buffer=2048) for _ in range(6)]
    time.sleep(1)
    answer = platform.client().chat.completions.create(
        model="default", messages=[{"role": "user", "content": "hi"}], max_tokens=8
    )
    assert answer.choices[0].finish_reason
    assert gateway.memory_info().rss - before < 30 * 1024 * 1024
    for s in slow:
        s.close()
    until_idle(platform)


async def test_two_hundred_clients_at_once(platform: Platform) -> None:
    """Each gets an answer, or a refusal with a reason and a time to come back; none a broken reply."""
    until_idle(platform)
    gateway = psutil.Process(platform.pid("gateway"))
    tenant = platform.mint("crowd", "admin")
    client = platform.async_client(api_key=tenant, timeout=120)
    before = gateway.memory_info().rss

    async def one(number: int) -> str:
        response = await client.chat.completions.with_raw_response.create(
            model="default",
            messages=[{"role": "user", "content": f"Say the number {number}."}],
            max_tokens=8,
            extra_headers={"x-crowd": str(number)},
        )
        return "answered" if response.parse().usage else "empty"

    async def guarded(number: int) -> str:
        import openai

        try:
            return await one(number)
        except openai.APIStatusError as error:
            assert error.status_code in (429, 503), error
            assert error.code
            assert float(error.response.headers["retry-after"]) >= 0
            return "refused"

    outcomes = await asyncio.gather(*(guarded(n) for n in range(200)))
    await client.close()
    assert len(outcomes) == 200
    assert "empty" not in outcomes
    assert outcomes.count("answered") >= 16
    until_idle(platform)
    assert gateway.memory_info().rss - before < 80 * 1024 * 1024
    platform.wait_ready(10)
