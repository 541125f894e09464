"""What happens when a model does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from parts.fake_engine import FakeEngine, card, raising

from servicekit.errors import Reason, SixfoldError
from sixfold.model.v1 import generation_pb2 as gen

CHAT = "/v1/chat/completions"
HI: Any = [{"role": "user", "content": "hi"}]
ROUTE = "routes: {main: {targets: [first], fallback: [second]}}\n"


async def stuck(_engine: Any, _request: Any) -> AsyncIterator[Any]:
    await asyncio.sleep(60)
    yield


async def start(house: Any, config: str = ROUTE, **settings: Any) -> FakeEngine:
    engine: FakeEngine = await house.engine("local", card("first"), card("second"))
    house.write_config(config)
    await house.start(**settings)
    return engine


def body(**changes: Any) -> dict[str, Any]:
    return {"model": "main", "messages": HI} | changes


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "reason", [Reason.ENGINE_UNAVAILABLE, Reason.ENGINE_FAILED, Reason.QUEUE_FULL, Reason.SERVICE_UNAVAILABLE]
)
async def test_the_next_target_answers(house: Any, reason: Reason, stream: bool) -> None:
    engine = await start(house)
    engine.behaviours["first"] = raising(reason)
    response = await house.http().post(CHAT, json=body(stream=stream))
    assert response.status_code == 200
    assert " word2" in response.text
    assert response.headers["x-sixfold-model"] == "second@v1"
    assert response.headers["x-sixfold-route"] == "main -> local/second; attempts=2"


async def test_a_fallbacks_answer_is_not_kept_as_the_first_ones(house: Any) -> None:
    engine = await start(house)
    engine.behaviours["first"] = raising(Reason.ENGINE_UNAVAILABLE)
    asked = await house.http().post(CHAT, json=body(temperature=0))
    assert asked.headers["x-sixfold-model"] == "second@v1"
    await asyncio.sleep(0.02)  # keeping happens beside the answer
    del engine.behaviours["first"]
    again = await house.http().post(CHAT, json=body(temperature=0))
    assert again.headers["x-sixfold-cache"] == "miss"
    assert again.headers["x-sixfold-model"] == "first@v1"


async def test_a_target_that_does_not_begin_in_time(house: Any) -> None:
    engine = await start(house, "defaults: {first_token: 200ms}\n" + ROUTE)
    engine.behaviours["first"] = stuck
    response = await house.http().post(CHAT, json=body(stream=True))
    assert response.headers["x-sixfold-model"] == "second@v1"
    await asyncio.wait_for(engine.cancelled.wait(), 5)


async def test_a_service_that_is_gone(house: Any) -> None:
    away = await house.engine("away", card("first"))
    await house.engine("local", card("second"))
    house.write_config(ROUTE)
    await house.start(catalogue_seconds=60)
    await house.engines["away"].stop()
    response = await house.http().post(CHAT, json=body())
    assert response.headers["x-sixfold-model"] == "second@v1"
    assert not away.requests


async def test_the_callers_own_mistakes_are_not_tried_elsewhere(house: Any) -> None:
    engine = await start(house)
    engine.behaviours["first"] = raising(Reason.CONTEXT_LENGTH_EXCEEDED)
    response = await house.http().post(CHAT, json=body())
    assert response.json()["error"]["code"] == "context_length_exceeded"
    assert [request.model for request in engine.requests] == ["first"]


@pytest.mark.parametrize("way", ["status", "event", "crash"])
async def test_after_the_first_token_an_error_ends_the_stream(house: Any, way: str) -> None:
    engine = await start(house)

    async def breaks(_engine: Any, _request: Any) -> AsyncIterator[Any]:
        yield gen.Delta(text="Once")
        await asyncio.sleep(0.05)
        if way == "status":
            raise SixfoldError(Reason.ENGINE_FAILED, "The engine failed.")
        if way == "event":
            yield SixfoldError(Reason.ENGINE_FAILED, "The engine failed.")
            yield gen.Usage(prompt_tokens=1, completion_tokens=1)
        else:
            stopping.append(asyncio.create_task(house.engines["local"].stop()))
            await asyncio.sleep(10)

    stopping: list[Any] = []
    engine.behaviours["first"] = breaks
    response = await house.http().post(CHAT, json=body(stream=True))
    events = response.text.strip().split("\n\n")
    assert '"Once"' in response.text
    assert "[DONE]" not in response.text
    assert events[-1].startswith('data: {"error":{"message":')
    code = "stream_interrupted" if way == "crash" else "engine_failed"
    assert f'"code":"{code}"' in events[-1]
    assert [request.model for request in engine.requests] == ["first"]

    engine.behaviours["first"] = breaks
    if way != "crash":
        with pytest.raises(openai.APIError):
            async for _ in await house.openai().chat.completions.create(
                model="main", messages=HI, stream=True
            ):
                pass
        # Gathered answers have not been begun: they fail as a whole.
        response = await house.http().post(CHAT, json=body())
        assert (response.status_code, response.json()["error"]["code"]) == (502, "engine_failed")


async def test_attempts_and_budget_bound_the_search(house: Any) -> None:
    engine: FakeEngine = await house.engine("local", card("a"), card("b"), card("c"))
    house.write_config(
        "defaults: {breaker: {failures: 1000}, retry: {attempts: 2, budget: 0%, floor: 3}}\n"
        "routes: {main: {targets: [a], fallback: [b, c]}}\n"
    )
    await house.start()
    for name in "abc":
        engine.behaviours[name] = raising(Reason.ENGINE_FAILED)
    http = house.http()
    for _ in range(6):
        assert (await http.post(CHAT, json=body())).status_code == 502
    asked = [request.model for request in engine.requests]
    assert asked.count("a") == 6
    assert asked.count("b") in (3, 4)  # the floor; it fades back slowly
    assert asked.count("c") == 0


async def test_a_breaker_opens_and_closes(house: Any) -> None:
    engine = await start(
        house,
        "defaults: {breaker: {failures: 3, window: 30s, open: 400ms}}\nroutes: {main: {targets: [first]}}\n",
    )
    engine.behaviours["first"] = raising(Reason.ENGINE_FAILED)
    http = house.http()
    for _ in range(3):
        assert (await http.post(CHAT, json=body())).status_code == 502
    response = await http.post(CHAT, json=body())
    assert (response.status_code, response.json()["error"]["code"]) == (503, "engine_unavailable")
    assert 0 < int(response.headers["retry-after-ms"]) <= 400
    assert len(engine.requests) == 3
    del engine.behaviours["first"]
    await asyncio.sleep(0.45)
    assert (await http.post(CHAT, json=body())).status_code == 200
    assert (await http.post(CHAT, json=body())).status_code == 200


async def test_a_full_queue_tells_when_to_come_back_and_opens_no_breaker(house: Any) -> None:
    engine = await start(house, "defaults: {breaker: {failures: 1}}\nroutes: {main: {targets: [first]}}\n")
    engine.behaviours["first"] = raising(Reason.QUEUE_FULL, retry_after=1.5)
    http = house.http()
    for _ in range(3):
        response = await http.post(CHAT, json=body())
        assert (response.status_code, response.json()["error"]["code"]) == (503, "queue_full")
        assert response.headers["retry-after-ms"] == "1500"
        assert response.headers["retry-after"] == "2"
    assert len(engine.requests) == 3


async def test_weights_and_ids_decide(house: Any) -> None:
    engine = await start(
        house, "routes: {main: {targets: [{model: first, weight: 3}, {model: second, weight: 1}]}}\n"
    )
    http: httpx.AsyncClient = house.http()
    for index in range(80):
        await http.post(CHAT, json=body(), headers={"x-request-id": f"id-{index}"})
    asked = [request.model for request in engine.requests]
    assert 45 <= asked.count("first") <= 75
    engine.requests.clear()
    for index in range(80):
        await http.post(CHAT, json=body(), headers={"x-request-id": f"id-{index}"})
    assert [request.model for request in engine.requests] == asked


async def test_embeddings_move_on_too(house: Any) -> None:
    await house.engine("away", card("first", capabilities="embeddings"))
    await house.engine("local", card("second", capabilities="embeddings"))
    house.write_config(ROUTE)
    await house.start(catalogue_seconds=60)
    await house.engines["away"].stop()
    response = await house.http().post("/v1/embeddings", json={"model": "main", "input": "x"})
    assert response.headers["x-sixfold-route"] == "main -> local/second; attempts=2"


async def test_a_restarted_service_is_found_again(house: Any, wait_until: Any) -> None:
    await start(house, "", catalogue_seconds=0.1)
    http = house.http()
    server = house.engines["local"]
    await server.stop()
    response = await http.post(CHAT, json=body(model="first"))
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "engine_unavailable"

    async def readiness() -> int:
        return (await http.get("/readyz")).status_code

    for _ in range(100):
        if await readiness() == 503:
            break
        await asyncio.sleep(0.05)
    assert await readiness() == 503
    await server.start()
    for _ in range(200):
        response = await http.post(CHAT, json=body(model="first"))
        if response.status_code == 200:
            break
        await asyncio.sleep(0.05)
    assert response.status_code == 200
