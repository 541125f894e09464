"""Clients that leave, and clients that do not read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
from parts.fake_engine import FakeEngine, card

from sixfold.model.v1 import generation_pb2 as gen

CHAT = "/v1/chat/completions"
HI: Any = [{"role": "user", "content": "hi"}]


async def stuck(_engine: Any, _request: Any) -> AsyncIterator[Any]:
    await asyncio.sleep(60)
    yield


async def dripping(_engine: Any, _request: Any) -> AsyncIterator[Any]:
    while True:
        yield gen.Delta(text="drop")
        await asyncio.sleep(0.01)


async def endless(_engine: Any, _request: Any) -> AsyncIterator[Any]:
    while True:
        yield gen.Delta(text="x" * 1000)


async def ask(
    house: Any, stream: bool, limit: int = 65536
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request on a bare connection, which a test can drop or leave unread."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port, limit=limit)
    body = json.dumps({"model": "tiny", "messages": HI, "stream": stream}).encode()
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
        b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n" % (house.token().encode(), len(body)) + body
    )
    await writer.drain()
    return reader, writer


async def test_leaving_while_nothing_has_come_yet(ready: Any, engine: FakeEngine, wait_until: Any) -> None:
    engine.behaviours["tiny"] = stuck
    for stream in (False, True):
        engine.cancelled.clear()
        _, writer = await ask(ready, stream)
        await wait_until(lambda: engine.running == 1)
        writer.transport.abort()
        await asyncio.wait_for(engine.cancelled.wait(), 5)
        await wait_until(lambda: engine.running == 0)
    await wait_until(lambda: ready.gateway.app.in_flight == 0)


async def test_leaving_in_the_middle(ready: Any, engine: FakeEngine, wait_until: Any) -> None:
    engine.behaviours["tiny"] = dripping
    for stream in (False, True):
        engine.cancelled.clear()
        engine.sent = 0
        reader, writer = await ask(ready, stream)
        if stream:
            await reader.readuntil(b'"drop"')
        await wait_until(lambda: engine.sent > 3)
        writer.close()
        await asyncio.wait_for(engine.cancelled.wait(), 5)
        await wait_until(lambda: engine.running == 0)
    await wait_until(lambda: ready.gateway.app.in_flight == 0)


async def test_who_left_pays_for_what_was_made_and_frees_the_place(house: Any, engine: FakeEngine) -> None:
    house.write_config("limits: {default: {concurrency: 1}}\n", limits=False)
    await house.start()
    engine.behaviours["tiny"] = stuck
    _, writer = await ask(house, True)
    await asyncio.sleep(0.1)
    http: httpx.AsyncClient = house.http()
    response = await http.post(CHAT, json={"model": "tiny", "messages": HI})
    assert response.json()["error"]["code"] == "rate_limit_exceeded"
    writer.transport.abort()
    await asyncio.wait_for(engine.cancelled.wait(), 5)
    del engine.behaviours["tiny"]
    for _ in range(100):
        response = await http.post(CHAT, json={"model": "tiny", "messages": HI})
        if response.status_code == 200:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the place was not freed")


async def test_an_unread_stream_is_held_back_and_then_cut(house: Any, wait_until: Any) -> None:
    engine: FakeEngine = await house.engine("local", card("tiny"))
    house.write_config("")
    await house.start(slow_reader_seconds=0.6)
    engine.behaviours["tiny"] = endless
    reader, writer = await ask(house, True, limit=1024)
    writer.transport.pause_reading()
    await wait_until(lambda: engine.sent > 50)
    await asyncio.wait_for(engine.cancelled.wait(), 15)
    # Only windows and socket buffers were filled, some megabytes at most, however fast the engine is.
    assert engine.sent * 1000 < 64_000_000
    await wait_until(lambda: house.gateway.app.in_flight == 0)
    writer.transport.abort()
    del reader


async def test_a_reader_that_is_slow_but_reads_gets_everything(ready: Any, engine: FakeEngine) -> None:
    async def much(_engine: Any, _request: Any) -> AsyncIterator[Any]:
        for index in range(3000):
            yield gen.Delta(text=f"{index:06d}" + "y" * 1000)
        yield gen.Delta(finish_reason=gen.FINISH_REASON_STOP)
        yield gen.Usage(prompt_tokens=1, completion_tokens=3000)

    engine.behaviours["tiny"] = much
    seen = 0
    async with ready.http().stream(
        "POST", CHAT, json={"model": "tiny", "messages": HI, "stream": True}
    ) as response:
        async for line in response.aiter_lines():
            if '"content":"0' in line:
                assert f'"content":"{seen:06d}' in line
                seen += 1
                if seen % 500 == 0:
                    await asyncio.sleep(0.05)
    assert seen == 3000


async def test_silence_is_filled_with_comments(house: Any) -> None:
    engine: FakeEngine = await house.engine("local", card("tiny"))
    house.write_config("")
    await house.start(heartbeat_seconds=0.2)

    async def slow(_engine: Any, _request: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(0.5)
        yield gen.Delta(text="late")
        yield gen.Delta(finish_reason=gen.FINISH_REASON_STOP)
        yield gen.Usage(prompt_tokens=1, completion_tokens=1)

    engine.behaviours["tiny"] = slow
    response = await house.http().post(CHAT, json={"model": "tiny", "messages": HI, "stream": True})
    assert response.text.startswith(": keep-alive\n\n")
    assert response.text.endswith("data: [DONE]\n\n")
    stream = await house.openai().chat.completions.create(model="tiny", messages=HI, stream=True)
    assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "late"
