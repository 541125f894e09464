"""The exact cache over the whole way."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from parts.fake_engine import FakeEngine, card, raising

from servicekit.cache import CacheUnavailable
from servicekit.errors import Reason

CHAT = "/v1/chat/completions"
HI: Any = [{"role": "user", "content": "hi"}]
BODY = {"model": "tiny", "messages": HI, "temperature": 0}


async def ask(
    http: httpx.AsyncClient, headers: dict[str, str] | None = None, **changes: Any
) -> httpx.Response:
    response = await http.post(CHAT, json=BODY | changes, headers=headers)
    assert response.status_code == 200
    await asyncio.sleep(0.02)  # keeping happens beside the answer
    return response


def result(response: httpx.Response) -> str:
    return str(response.headers["x-sixfold-cache"])


async def test_a_question_asked_again(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    first, second = await ask(http), await ask(http)
    assert (result(first), result(second)) == ("miss", "hit")
    assert first.json()["choices"] == second.json()["choices"]
    assert first.json()["usage"] == second.json()["usage"]
    assert first.json()["id"] != second.json()["id"]
    assert second.headers["x-sixfold-model"] == "tiny@v1"
    assert len(engine.requests) == 1


async def test_streams_and_whole_answers_share_what_is_kept(
    http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    streamed = await ask(http, **options)
    whole = await ask(http)
    again = await ask(http, **options)
    assert [result(r) for r in (streamed, whole, again)] == ["miss", "hit", "hit"]
    assert whole.json()["choices"][0]["message"]["content"] == " word0 word1 word2"
    assert again.text.endswith("data: [DONE]\n\n")
    assert '"content":" word0 word1 word2"' in again.text
    assert '"completion_tokens":3' in again.text
    assert len(engine.requests) == 1


async def test_another_tenant_never_gets_it(ready: Any, engine: FakeEngine) -> None:
    ours, theirs = ready.http(tenant="ours"), ready.http(tenant="theirs")
    assert result(await ask(ours)) == "miss"
    assert result(await ask(theirs)) == "miss"
    assert result(await ask(theirs, {"x-tenant": "ours"}, user="ours")) == "miss"
    assert [caller.tenant for caller in engine.callers[-3:]] == ["ours", "theirs", "theirs"]


async def test_a_new_version_is_another_question(house: Any, wait_until: Any) -> None:
    engine: FakeEngine = await house.engine("local", card("tiny"))
    house.write_config("")
    await house.start(catalogue_seconds=0.05)
    http = house.http()
    await ask(http)
    engine.models = [card("tiny", version="v2")]
    catalogue = house.gateway.app._hot[CHAT][1]._deps.catalogue
    await wait_until(lambda: catalogue.cards("acme")["tiny"].version == "v2")
    assert result(await ask(http)) == "miss"


@pytest.mark.parametrize(
    "changes",
    [
        {"max_tokens": 2},
        {"messages": [*HI, *HI]},
        {"unknown": 1},
        {"seed": 1},
        {"n": 2},
        {"response_format": {"type": "json_object"}},
    ],
)
async def test_what_changes_the_question(http: httpx.AsyncClient, changes: dict[str, Any]) -> None:
    await ask(http)
    assert result(await ask(http, **changes)) == "miss"
    assert result(await ask(http, **changes)) == "hit"


async def test_what_does_not_change_it(http: httpx.AsyncClient) -> None:
    await ask(http)
    assert result(await ask(http, top_p=None)) == "hit"
    assert result(await ask(http, model="default")) == "hit"


async def test_only_answers_that_would_be_the_same_are_kept(http: httpx.AsyncClient) -> None:
    assert result(await ask(http, temperature=0.7)) == "bypass"
    assert result(await ask(http, temperature=None)) == "bypass"
    assert result(await ask(http, temperature=0.7, seed=1)) == "miss"


async def test_cache_control(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    assert result(await ask(http, {"cache-control": "no-store"})) == "bypass"
    assert result(await ask(http)) == "miss"
    assert result(await ask(http, {"cache-control": "no-cache"})) == "miss"
    assert result(await ask(http)) == "hit"
    assert len(engine.requests) == 3


async def test_routes_have_their_own_rules(house: Any, engine: FakeEngine) -> None:
    house.write_config(
        "routes:\n  never: {targets: [tiny], cache: {enabled: false}}\n"
        "  always: {targets: [tiny], cache: {every: true}}\n"
        "  small: {targets: [tiny], cache: {max_entry_bytes: 256}}\n"
    )
    await house.start()
    http = house.http()
    assert result(await ask(http, model="never")) == "bypass"
    assert result(await ask(http, model="always", temperature=1)) == "miss"
    assert result(await ask(http, model="always", temperature=1)) == "hit"
    for _ in range(2):
        assert result(await ask(http, model="small", max_tokens=200)) == "miss"


async def test_a_broken_answer_is_not_kept(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.behaviours["tiny"] = raising(Reason.ENGINE_FAILED, after=2)
    await http.post(CHAT, json=BODY | {"stream": True})
    del engine.behaviours["tiny"]
    assert result(await ask(http)) == "miss"


async def test_a_cache_that_is_gone_fails_nothing(ready: Any, http: httpx.AsyncClient) -> None:
    class Gone:
        async def get(self, key: str) -> bytes | None:
            raise CacheUnavailable

        async def set(self, key: str, value: bytes, ttl: float) -> None:
            raise CacheUnavailable

        async def close(self) -> None:
            return

    ready.gateway.app._hot[CHAT][1]._deps.cache._cache = Gone()
    assert result(await ask(http)) == "miss"
    assert result(await ask(http)) == "miss"


async def test_one_of_many_asks_the_model(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.pause = 0.05
    answers = await asyncio.gather(*(ask(http) for _ in range(8)))
    assert len(engine.requests) == 1
    assert sorted(result(a) for a in answers) == ["hit"] * 7 + ["miss"]


async def test_those_who_waited_for_a_failure_ask_themselves(
    http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    behaviour = raising(Reason.CONTEXT_LENGTH_EXCEEDED)

    async def fails_late(engine: Any, request: Any) -> Any:
        await asyncio.sleep(0.1)
        async for event in behaviour(engine, request):
            yield event

    engine.behaviours["tiny"] = fails_late
    answers = await asyncio.gather(*(http.post(CHAT, json=BODY) for _ in range(3)))
    assert {a.status_code for a in answers} == {400}
    assert len(engine.requests) == 3


async def test_embeddings_are_kept(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    body = {"model": "vectors", "input": "x"}
    first = await http.post("/v1/embeddings", json=body)
    await asyncio.sleep(0.02)
    second = await http.post("/v1/embeddings", json=body | {"encoding_format": "base64"})
    assert (result(first), result(second)) == ("miss", "hit")
    assert second.json()["data"][0]["embedding"] == "AACAPwAAAD8="
    assert len(engine.embed_requests) == 1
