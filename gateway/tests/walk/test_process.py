"""The process itself: how it starts, refuses to start, and stops."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from parts.fake_engine import FakeEngine, card
from parts.process import free_port

from sixfold.model.v1 import generation_pb2 as gen

HI: Any = [{"role": "user", "content": "hi"}]


async def launch(house: Any, **changes: str) -> tuple[asyncio.subprocess.Process, int]:
    port = int(changes.pop("SIXFOLD_PORT", "0")) or free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SIXFOLD_")}
    env = kept | {
        "SIXFOLD_HOME": str(house.home),
        "SIXFOLD_PORT": str(port),
        "SIXFOLD_LOG_FORMAT": "text",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=env | changes, stderr=asyncio.subprocess.PIPE
    )
    return process, port


async def refused(house: Any, **changes: str) -> tuple[int, str]:
    process, _ = await launch(house, **changes)
    _, words = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    assert b"Traceback" not in words
    return process.returncode, words.decode()


async def ready(port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        for _ in range(1200):
            try:
                if (await http.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)
    raise AssertionError("never ready")


async def test_a_taken_port(house: Any) -> None:
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    code, words = await refused(house, SIXFOLD_PORT=str(port))
    server.close()
    assert code == 1
    assert words.strip().splitlines()[-1].startswith(f"cannot listen on 127.0.0.1:{port}:")
    assert "SIXFOLD_PORT" in words


async def test_no_signing_key(house: Any) -> None:
    (house.home / "secrets" / "jwt.key").unlink()
    code, words = await refused(house)
    assert code == 1
    assert "jwt.key: no such key file" in words


async def test_a_key_that_others_can_read(house: Any) -> None:
    (house.home / "secrets" / "jwt.key").chmod(0o644)
    code, words = await refused(house)
    assert code == 1
    assert "chmod 600" in words


async def test_several_workers_need_a_shared_limiter(house: Any) -> None:
    code, words = await refused(house, SIXFOLD_GATEWAY_WORKERS="2")
    assert code == 1
    assert "redis://" in words


@pytest.mark.parametrize("text", ["routes: [", "routs: {}", "routes: {a: {targets: []}}", "a: 1\na: 2"])
async def test_a_broken_file_at_start(house: Any, text: str) -> None:
    (house.home / "gateway.yaml").write_text(text)
    code, words = await refused(house)
    assert code == 1
    assert "gateway.yaml: " in words


async def test_a_bad_setting(house: Any) -> None:
    code, words = await refused(house, SIXFOLD_GATEWAY_MAX_IN_FLIGHT="many")
    assert code == 2
    assert "SIXFOLD_GATEWAY_MAX_IN_FLIGHT" in words


async def test_running_answers_end_before_the_process_does(house: Any) -> None:
    engine: FakeEngine = await house.engine("local", card("tiny"))
    house.write_config("")
    go = asyncio.Event()

    async def waits(_engine: Any, _request: Any) -> AsyncIterator[Any]:
        yield gen.Delta(text="first")
        await go.wait()
        yield gen.Delta(text="last", finish_reason=gen.FINISH_REASON_STOP)
        yield gen.Usage(prompt_tokens=1, completion_tokens=2)

    engine.behaviours["tiny"] = waits
    process, port = await launch(house)
    house.port = port
    await ready(port)
    http = house.http()
    body = {"model": "tiny", "messages": HI, "stream": True}
    async with http.stream("POST", "/v1/chat/completions", json=body) as response:
        lines = response.aiter_lines()
        await anext(lines)
        process.send_signal(signal.SIGTERM)
        for _ in range(200):
            probe = await http.get("/readyz")
            if probe.status_code == 503:
                break
            await asyncio.sleep(0.02)
        assert probe.json()["state"] == "draining"
        refused_now = await http.post("/v1/chat/completions", json=body)
        assert refused_now.status_code == 503
        assert refused_now.json()["error"]["code"] == "draining"
        go.set()
        text = "\n".join([line async for line in lines])
    assert '"last"' in text
    assert "[DONE]" in text
    assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_draining_has_an_end(house: Any) -> None:
    engine: FakeEngine = await house.engine("local", card("tiny"))
    house.write_config("")

    async def forever(_engine: Any, _request: Any) -> AsyncIterator[Any]:
        while True:
            yield gen.Delta(text="on")
            await asyncio.sleep(0.05)

    engine.behaviours["tiny"] = forever
    process, port = await launch(house, SIXFOLD_DRAIN_SECONDS="0.5")
    house.port = port
    await ready(port)
    body = {"model": "tiny", "messages": HI, "stream": True}
    async with house.http().stream("POST", "/v1/chat/completions", json=body) as response:
        lines = response.aiter_lines()
        await anext(lines)
        process.send_signal(signal.SIGTERM)
        text = "\n".join([line async for line in lines])
    assert '"code":"draining"' in text
    assert await asyncio.wait_for(process.wait(), 20) == 0
    await asyncio.wait_for(engine.cancelled.wait(), 5)
