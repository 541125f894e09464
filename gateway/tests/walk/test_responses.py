"""The Responses API over the whole way, with the official client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from parts.fake_engine import FakeEngine, card, raising
from parts.fake_retrieval import FakeRetrieval
from parts.library import DUCKS, SWANS, from_passages, saying, shelve

from servicekit.errors import Reason, SixfoldError
from sixfold.model.v1 import generation_pb2 as gen

RESPONSES = "/v1/responses"


@pytest.fixture
async def retrieval(house: Any, engine: FakeEngine) -> FakeRetrieval:
    found: FakeRetrieval = await house.retrieval()
    house.write_config("")
    await house.start()
    return found


@pytest.fixture
def animals(retrieval: FakeRetrieval, engine: FakeEngine) -> tuple[str, dict[str, str]]:
    engine.behaviours["tiny"] = from_passages
    return shelve(retrieval, "default", {"ducks.md": DUCKS, "swans.md": SWANS})


@pytest.fixture
def ai(house: Any, retrieval: FakeRetrieval) -> openai.AsyncOpenAI:
    client: openai.AsyncOpenAI = house.openai()
    return client


def over(store: str) -> Any:
    return [{"type": "file_search", "vector_store_ids": [store]}]


async def test_a_plain_answer(ai: openai.AsyncOpenAI, engine: FakeEngine) -> None:
    raw = await ai.responses.with_raw_response.create(
        model="tiny",
        input="hi",
        instructions="Be kind.",
        temperature=0.5,
        max_output_tokens=20,
        metadata={"a": "b"},
    )
    response = raw.parse()
    assert response.output_text.startswith(" word0 word1")
    assert response.status == "completed"
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (7, 20)
    assert (response.metadata, response.temperature, response.instructions) == ({"a": "b"}, 0.5, "Be kind.")
    asked = engine.requests[0]
    assert [(turn.role, turn.content[0].text) for turn in asked.messages] == [
        ("system", "Be kind."),
        ("user", "hi"),
    ]
    assert (asked.max_tokens, asked.sampling.temperature) == (20, 0.5)
    assert raw.headers["x-sixfold-model"] == "tiny@v1"
    assert raw.headers["x-ratelimit-limit-requests"]


async def test_an_answer_with_sources(
    ai: openai.AsyncOpenAI, animals: tuple[str, dict[str, str]], house: Any
) -> None:
    store, files = animals
    response = await ai.responses.create(
        model="tiny",
        input="mallard ducks weigh what",
        tools=over(store),
        include=["file_search_call.results"],
    )
    call, message = response.output
    assert call.type == "file_search_call"
    assert (call.status, call.queries) == ("completed", ["mallard ducks weigh what"])
    assert call.results is not None
    assert call.results[0].file_id == files["ducks.md"]
    assert call.results[0].text == DUCKS
    assert message.type == "message"
    part = message.content[0]
    assert part.type == "output_text"
    first = part.annotations[0]
    assert first.type == "file_citation"
    assert (first.file_id, first.filename) == (files["ducks.md"], "ducks.md")
    assert response.output_text[: first.index] == "Mallard ducks weigh 1.1 kilograms."
    hidden = await ai.responses.create(model="tiny", input="swans weigh what", tools=over(store))
    assert hidden.output[0].type == "file_search_call"
    assert hidden.output[0].results is None


async def test_the_stream_and_its_helper(ai: openai.AsyncOpenAI, animals: tuple[str, dict[str, str]]) -> None:
    store, files = animals
    async with ai.responses.stream(
        model="tiny", input="mallard ducks weigh what", tools=over(store)
    ) as stream:
        seen = [event async for event in stream]
        final = await stream.get_final_response()
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    kinds = [event.type for event in seen]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[3:6] == [f"response.file_search_call.{s}" for s in ("in_progress", "searching", "completed")]
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.output_text.annotation.added") == 2
    # the first citation comes with its sentence, before the answer's end
    assert kinds.index("response.output_text.annotation.added") < len(kinds) - 1 - kinds[::-1].index(
        "response.output_text.delta"
    )
    assert final.output_text == DUCKS
    kept = await ai.responses.retrieve(final.id)
    assert kept.output_text == DUCKS
    assert kept.output[1].content[0].annotations[0].file_id == files["ducks.md"]  # type: ignore[union-attr,index]


async def test_conversations(
    ai: openai.AsyncOpenAI, animals: tuple[str, dict[str, str]], retrieval: FakeRetrieval, engine: FakeEngine
) -> None:
    store, _ = animals
    first = await ai.responses.create(model="tiny", input="mallard ducks live where", tools=over(store))
    second = await ai.responses.create(
        model="tiny",
        input="and swans?",
        previous_response_id=first.id,
        tools=over(store),
        instructions="Be brief.",
    )
    assert second.previous_response_id == first.id
    assert list(retrieval.requests[-1].queries) == ["and swans?", "mallard ducks live where\nand swans?"]
    turns = [(turn.role, turn.content[0].text) for turn in engine.requests[-1].messages]
    assert [role for role, _ in turns] == ["system", "user", "assistant", "user"]
    assert turns[0][1].startswith("Be brief.\n\n")
    assert turns[1][1] == "mallard ducks live where"  # without the passages of that time
    assert turns[2][1] == DUCKS
    items = [item async for item in ai.responses.input_items.list(second.id, order="asc", limit=2)]
    assert [item.type for item in items] == ["message", "file_search_call", "message", "message"]
    page = await ai.responses.input_items.list(second.id, limit=1)
    assert page.data[0].content[0].text == "and swans?"  # type: ignore[union-attr,index]
    third = await ai.responses.create(model="tiny", input="so?", previous_response_id=second.id)
    assert [turn.role for turn in engine.requests[-1].messages] == ["user", "assistant"] * 2 + ["user"]
    await ai.responses.delete(first.id)
    for gone in (first.id, third.id.replace("resp_", "resp_0")):
        with pytest.raises(openai.NotFoundError):
            await ai.responses.retrieve(gone)
    with pytest.raises(openai.NotFoundError) as failed:
        await ai.responses.create(model="tiny", input="so?", previous_response_id=third.id)
    assert first.id in failed.value.message


async def test_what_need_not_be_kept_is_not(ai: openai.AsyncOpenAI) -> None:
    response = await ai.responses.create(model="tiny", input="hi", store=False)
    assert response.store is False  # type: ignore[attr-defined]
    with pytest.raises(openai.NotFoundError):
        await ai.responses.retrieve(response.id)


async def test_lists_and_refused_cancels(house: Any, ai: openai.AsyncOpenAI) -> None:
    names = [(await ai.responses.create(model="tiny", input=f"hi {n}")).id for n in range(3)]
    http = house.http()
    body = (await http.get(RESPONSES, params={"limit": 2})).json()
    assert ([entry["id"] for entry in body["data"]], body["has_more"]) == (names[:0:-1], True)
    body = (await http.get(RESPONSES, params={"after": body["last_id"]})).json()
    assert ([entry["id"] for entry in body["data"]], body["has_more"]) == (names[:1], False)
    with pytest.raises(openai.BadRequestError):
        await ai.responses.cancel(names[0])
    assert (await http.get(f"{RESPONSES}/{names[0]}", params={"limit": 0})).status_code == 200
    assert (await http.put(RESPONSES)).status_code == 405
    streamed = await http.get(f"{RESPONSES}/{names[0]}", params={"stream": "true", "starting_after": 1})
    assert streamed.text.startswith("event: response.output_item.added\n")
    with pytest.raises(openai.BadRequestError) as caught:
        await ai.responses.input_items.list(names[0], after="msg_of_nobody")
    assert caught.value.param == "after"


async def test_two_tenants_over_every_call(
    house: Any, animals: tuple[str, dict[str, str]], ai: openai.AsyncOpenAI, engine: FakeEngine
) -> None:
    store, _ = animals
    mine = await ai.responses.create(model="tiny", input="mallard ducks weigh what", tools=over(store))
    theirs = house.openai(tenant="other")
    calls: list[Any] = [
        lambda: theirs.responses.retrieve(mine.id),
        lambda: theirs.responses.delete(mine.id),
        lambda: theirs.responses.cancel(mine.id),
        lambda: theirs.responses.input_items.list(mine.id),
        lambda: theirs.responses.create(model="tiny", input="x", previous_response_id=mine.id),
        lambda: theirs.responses.create(model="tiny", input="x", tools=over(store)),
    ]
    for call in calls:
        with pytest.raises(openai.NotFoundError):
            await call()
    assert (await house.http(tenant="other").get(RESPONSES)).json()["data"] == []
    key = {"idempotency-key": "same"}
    ours = await ai.responses.create(
        model="tiny", input="mallard ducks", tools=over(store), extra_headers=key
    )
    other = await theirs.responses.create(model="tiny", input="hi", extra_headers=key)
    assert ours.id != other.id
    assert (await ai.responses.retrieve(mine.id)).id == mine.id
    assert {caller.tenant for caller in engine.callers} == {"default", "other"}


async def test_a_viewer_reads_no_responses(house: Any, ai: openai.AsyncOpenAI) -> None:
    name = (await ai.responses.create(model="tiny", input="hi")).id
    http = house.http(role="viewer")
    for call in (http.get(RESPONSES), http.get(f"{RESPONSES}/{name}"), http.delete(f"{RESPONSES}/{name}")):
        assert (await call).status_code == 403
    assert (await http.post(RESPONSES, json={"model": "tiny", "input": "hi"})).status_code == 403
    bare = httpx.AsyncClient(base_url=house.base)
    async with bare:
        assert (await bare.get(f"{RESPONSES}/{name}")).status_code == 401
        assert (await bare.post(RESPONSES, json={})).status_code == 401


async def test_the_same_request_again(house: Any, retrieval: FakeRetrieval, engine: FakeEngine) -> None:
    http = house.http()
    headers = {"idempotency-key": "k1"}
    body = {"model": "tiny", "input": "hi"}
    first = await http.post(RESPONSES, json=body, headers=headers)
    again = await http.post(RESPONSES, json=body, headers=headers)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    other = await http.post(RESPONSES, json=body | {"input": "ho"}, headers=headers)
    assert (other.status_code, other.json()["error"]["param"]) == (409, "Idempotency-Key")
    assert len(engine.requests) == 1
    headers = {"idempotency-key": "k2"}
    streamed = [await http.post(RESPONSES, json=body | {"stream": True}, headers=headers) for _ in range(2)]
    last = [json.loads(each.text.strip().rpartition("data: ")[2])["response"] for each in streamed]
    assert last[0] == last[1]
    assert len(engine.requests) == 2


async def test_two_at_once_under_one_key(
    house: Any, retrieval: FakeRetrieval, engine: FakeEngine, wait_until: Any
) -> None:
    go = asyncio.Event()

    async def waits(_engine: Any, _request: Any) -> AsyncIterator[Any]:
        await go.wait()
        yield gen.Delta(text="x", finish_reason=gen.FINISH_REASON_STOP)
        yield gen.Usage(prompt_tokens=1, completion_tokens=1)

    engine.behaviours["tiny"] = waits
    http, headers = house.http(), {"idempotency-key": "k"}
    first = asyncio.create_task(http.post(RESPONSES, json={"model": "tiny", "input": "hi"}, headers=headers))
    await wait_until(lambda: engine.running == 1)
    second = await http.post(RESPONSES, json={"model": "tiny", "input": "hi"}, headers=headers)
    assert (second.status_code, second.json()["error"]["code"]) == (409, "conflict")
    go.set()
    assert (await first).status_code == 200


async def test_nothing_relevant(
    ai: openai.AsyncOpenAI, animals: tuple[str, dict[str, str]], engine: FakeEngine
) -> None:
    response = await ai.responses.create(model="tiny", input="zebra?", tools=over(animals[0]))
    assert response.output_text == "I could not find anything about this in the documents."
    assert response.usage is not None
    assert response.usage.total_tokens == 0
    stream = await ai.responses.create(model="tiny", input="zebra?", tools=over(animals[0]), stream=True)
    kinds = [event.type async for event in stream]
    assert kinds[-1] == "response.completed"
    assert "response.output_text.annotation.added" not in kinds
    assert engine.requests == []


async def test_a_failing_search_is_an_error_before_the_first_byte(
    house: Any, animals: tuple[str, dict[str, str]], retrieval: FakeRetrieval, engine: FakeEngine
) -> None:
    retrieval.error = SixfoldError(Reason.SERVICE_UNAVAILABLE, "It is away.")
    for stream in (False, True):
        response = await house.http().post(
            RESPONSES, json={"model": "tiny", "input": "ducks", "tools": over(animals[0]), "stream": stream}
        )
        assert (response.status_code, response.json()["error"]["code"]) == (503, "service_unavailable")
    assert engine.requests == []


async def test_an_engine_that_fails_at_once_and_one_that_breaks_off(
    house: Any, retrieval: FakeRetrieval, engine: FakeEngine
) -> None:
    http = house.http()
    engine.behaviours["tiny"] = raising(Reason.ENGINE_FAILED)
    body = {"model": "tiny", "input": "hi", "stream": True}
    assert (await http.post(RESPONSES, json=body)).status_code == 502
    engine.behaviours["tiny"] = raising(Reason.ENGINE_FAILED, after=2)
    stream = await house.openai().responses.create(model="tiny", input="hi", stream=True)
    seen = [event async for event in stream]
    assert [event.type for event in seen[-2:]] == ["error", "response.failed"]
    failed = seen[-1].response
    assert (failed.status, failed.output_text) == ("failed", " word0 word1")
    kept = await house.openai().responses.retrieve(failed.id)
    assert kept.status == "failed"


async def test_silence_before_an_error(house: Any) -> None:
    """A stream that began with comments ends with the contract's events all the same."""
    engine: FakeEngine = await house.engine("local", card("tiny"))
    house.write_config("")
    await house.start(heartbeat_seconds=0.1)

    async def late(_engine: Any, request: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(0.4)
        if request.messages:
            raise SixfoldError(Reason.INVALID_REQUEST, "No.")
        yield gen.Delta()

    engine.behaviours["tiny"] = late
    response = await house.http().post(RESPONSES, json={"model": "tiny", "input": "hi", "stream": True})
    assert response.text.startswith(": keep-alive\n\n")
    kinds = [line[7:] for line in response.text.splitlines() if line.startswith("event: ")]
    assert kinds == ["response.created", "response.in_progress", "error", "response.failed"]


async def test_who_leaves_cancels_the_work_and_nothing_is_kept(
    house: Any, retrieval: FakeRetrieval, engine: FakeEngine, wait_until: Any
) -> None:
    async def dripping(_engine: Any, _request: Any) -> AsyncIterator[Any]:
        while True:
            yield gen.Delta(text="drop")
            await asyncio.sleep(0.01)

    engine.behaviours["tiny"] = dripping
    async with house.http().stream(
        "POST", RESPONSES, json={"model": "tiny", "input": "hi", "stream": True}
    ) as response:
        async for _ in response.aiter_lines():
            break
    await asyncio.wait_for(engine.cancelled.wait(), 5)
    await wait_until(lambda: house.gateway.app.in_flight == 0)
    assert (await house.http().get(RESPONSES)).json()["data"] == []


async def test_functions_are_the_callers(
    ai: openai.AsyncOpenAI, engine: FakeEngine, retrieval: FakeRetrieval
) -> None:
    async def calls(_engine: Any, request: Any) -> AsyncIterator[Any]:
        if request.messages[-1].role == "tool":
            yield gen.Delta(text="It is sunny.", finish_reason=gen.FINISH_REASON_STOP)
        else:
            yield gen.Delta(
                tool_calls=[gen.ToolCallDelta(index=0, id="c1", name="weather", arguments='{"a"')]
            )
            yield gen.Delta(tool_calls=[gen.ToolCallDelta(index=0, arguments=":1}")])
            yield gen.Delta(finish_reason=gen.FINISH_REASON_TOOL_CALLS)
        yield gen.Usage(prompt_tokens=1, completion_tokens=1)

    engine.behaviours["tiny"] = calls
    tools: Any = [{"type": "function", "name": "weather", "parameters": {"type": "object"}}]
    first = await ai.responses.create(model="tiny", input="weather?", tools=tools)
    call = first.output[0]
    assert call.type == "function_call"
    assert (call.name, call.arguments, call.call_id) == ("weather", '{"a":1}', "c1")
    second = await ai.responses.create(
        model="tiny",
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": "c1", "output": "sunny"}],
        tools=tools,
    )
    assert second.output_text == "It is sunny."
    assert [turn.role for turn in engine.requests[-1].messages] == ["user", "assistant", "tool"]
    assert engine.requests[-1].messages[1].tool_calls[0].name == "weather"


async def test_parsed_answers(ai: openai.AsyncOpenAI, engine: FakeEngine) -> None:
    from pydantic import BaseModel

    class Weight(BaseModel):
        kilograms: float

    engine.behaviours["tiny"] = saying('{"kilo', 'grams": 1.1}')
    response = await ai.responses.parse(model="tiny", input="weigh", text_format=Weight)
    assert response.output_parsed == Weight(kilograms=1.1)
    assert json.loads(engine.requests[0].response_format.json_schema)["required"] == ["kilograms"]


async def test_the_exact_cache(
    ai: openai.AsyncOpenAI, house: Any, animals: tuple[str, dict[str, str]]
) -> None:
    store, files = animals
    body = {"model": "tiny", "input": "mallard ducks weigh what", "tools": over(store), "temperature": 0}
    http = house.http()
    found = []
    for _ in range(2):
        response = await http.post(RESPONSES, json=body)
        found.append((response.headers["x-sixfold-cache"], response.json()))
        await asyncio.sleep(0.02)
    assert [word for word, _ in found] == ["miss", "hit"]
    assert found[0][1]["id"] != found[1][1]["id"]
    assert found[0][1]["output"][1]["content"] == found[1][1]["output"][1]["content"]
    assert found[1][1]["output"][1]["content"][0]["annotations"][0]["file_id"] == files["ducks.md"]
    streamed = await http.post(RESPONSES, json=body | {"stream": True})
    assert streamed.headers["x-sixfold-cache"] == "hit"
    assert "event: response.output_text.annotation.added" in streamed.text


async def test_limits_count_responses(house: Any, engine: FakeEngine) -> None:
    house.write_config("limits: {default: {requests_per_minute: 2}}\n", limits=False)
    await house.start()
    http = house.http()
    codes = [
        (await http.post(RESPONSES, json={"model": "tiny", "input": "hi"})).status_code for _ in range(3)
    ]
    assert codes == [200, 200, 429]
