"""Responses that are kept: beside the answers, a tenant's own, as long as they may."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.adapters.responses_store import ResponsesStore
from gateway.responses.ports import Kept
from gateway.responses.service import ResponseRules, Responses
from servicekit.errors import Reason, SixfoldError


class Slow:
    """A store that can be held, and that fails when told to."""

    def __init__(self, store: ResponsesStore) -> None:
        self._store = store
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures = 0

    async def add(self, kept: Kept) -> None:
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "It is away.")
        await self._store.add(kept)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.fixture
async def slow(open_store: Callable[[Path], Any], tmp_path: Path) -> Any:
    store = await open_store(tmp_path / "gateway.db")
    yield Slow(ResponsesStore(store))
    await store.close()


@pytest.fixture
def responses(slow: Slow, clock: Any) -> Responses:
    return Responses(
        slow, ResponseRules(ttl=100, max_turns=4, max_bytes=5000, fresh_wait=0.15), key=b"k" * 32, clock=clock
    )


def said(text: str) -> list[dict[str, Any]]:
    return [
        {
            "id": f"msg_{text}",
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": text}],
        }
    ]


async def keep(responses: Responses, tenant: str, text: str, previous: str = "") -> str:
    name = responses.new_id(tenant, None)
    answer = {"id": f"msg_re_{text}", "type": "message", "role": "assistant", "content": []}
    await responses.keep(tenant, {"id": name, "output": [answer]}, said(text), previous=previous)
    return name


async def settled(responses: Responses) -> None:
    await responses.close()


async def missing(call: Any) -> None:
    with pytest.raises(SixfoldError) as failed:
        await call
    assert failed.value.reason is Reason.NOT_FOUND


def ids(items: Sequence[dict[str, Any]]) -> list[str]:
    return [item["id"] for item in items]


async def test_it_is_there_at_once_and_nobody_waits_for_it(responses: Responses, slow: Slow) -> None:
    slow.gate.clear()
    first = await keep(responses, "a", "1")
    second = await keep(responses, "a", "2", first)
    assert orjson.loads((await responses.get("a", second)).body)["id"] == second
    assert ids(await responses.conversation("a", second)) == ["msg_1", "msg_re_1", "msg_2", "msg_re_2"]
    slow.gate.set()
    await settled(responses)
    assert ids(await responses.conversation("a", second)) == ["msg_1", "msg_re_1", "msg_2", "msg_re_2"]
    assert ids(await responses.input_items("a", second)) == ["msg_1", "msg_re_1", "msg_2"]


async def test_no_tenant_sees_anothers(responses: Responses) -> None:
    name = await keep(responses, "a", "1")
    for _ in range(2):
        for call in (responses.get, responses.conversation, responses.input_items, responses.delete):
            await missing(call("b", name))
        assert (await responses.page("b", after="", limit=9, ascending=False))[0] == []
        await settled(responses)
    follower = await keep(responses, "b", "2", name)
    await settled(responses)
    await missing(responses.conversation("b", follower))
    assert ids(await responses.input_items("b", follower)) == ["msg_2"]


async def test_a_deleted_one_is_gone_at_once_and_nothing_follows_it(responses: Responses, slow: Slow) -> None:
    first = await keep(responses, "a", "1")
    second = await keep(responses, "a", "2", first)
    await responses.delete("a", first)  # while it may still be on its way
    await missing(responses.get("a", first))
    await missing(responses.delete("a", first))
    await missing(responses.conversation("a", second))
    assert (await responses.get("a", second)).previous == first


async def test_time_ends_it(responses: Responses, slow: Slow, clock: Any) -> None:
    name = await keep(responses, "a", "1")
    await settled(responses)
    clock.pass_by(99)
    await responses.get("a", name)
    clock.pass_by(2)
    await missing(responses.get("a", name))
    assert await slow.sweep(now=clock(), limit=10) == 1
    assert await slow.sweep(now=clock(), limit=10) == 0


async def test_chains_have_an_end(responses: Responses) -> None:
    name = ""
    for turn in range(5):
        name = await keep(responses, "a", str(turn), name)
    await settled(responses)
    with pytest.raises(SixfoldError) as failed:
        await responses.conversation("a", name)
    assert (failed.value.reason, failed.value.param) == (Reason.INVALID_REQUEST, "previous_response_id")


async def test_a_store_that_is_away_for_a_while(
    responses: Responses, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.responses.service._PAUSE", 0.001)
    slow.failures = 3
    name = await keep(responses, "a", "1")
    await settled(responses)
    await responses.get("a", name)
    slow.failures = 99
    lost = await keep(responses, "a", "2")
    await settled(responses)
    await missing(responses.get("a", lost))


async def test_what_is_too_large_is_not_kept(responses: Responses) -> None:
    name = await keep(responses, "a", "x" * 6000)
    await settled(responses)
    await missing(responses.get("a", name))


async def test_pages(responses: Responses, clock: Any) -> None:
    names = []
    for number in range(5):
        names.append(await keep(responses, "a", str(number)))
        clock.pass_by(1)
    page, more = await responses.page("a", after="", limit=2, ascending=False)
    assert ([kept.id for kept in page], more) == (names[:2:-1], True)
    page, more = await responses.page("a", after=names[3], limit=5, ascending=False)
    assert ([kept.id for kept in page], more) == (names[2::-1], False)
    page, more = await responses.page("a", after=names[1], limit=2, ascending=True)
    assert ([kept.id for kept in page], more) == (names[2:4], True)
    assert (await responses.page("b", after=names[1], limit=2, ascending=True))[0] == []


async def test_another_workers_response_that_is_just_being_written(
    responses: Responses, slow: Slow, clock: Any
) -> None:
    there = Responses(slow, key=b"k" * 32, clock=clock)
    slow.gate.clear()
    name = await keep(there, "a", "1")
    looking = asyncio.create_task(responses.get("a", name))
    await asyncio.sleep(0.05)
    assert not looking.done()
    slow.gate.set()
    assert (await looking).id == name


def test_ids_follow_from_keys_and_from_nothing_else(responses: Responses, slow: Slow) -> None:
    assert responses.new_id("a", b"key") == responses.new_id("a", b"key")
    assert len({responses.new_id("a", None), responses.new_id("a", None)}) == 2
    assert len({responses.new_id(t, k) for t in ("a", "b") for k in (b"key", b"kez")}) == 4
    assert Responses(slow, key=b"other").new_id("a", b"key") != responses.new_id("a", b"key")


@pytest.mark.parametrize("written", [True, False])
async def test_a_conversation_that_is_too_large_is_never_read_whole(
    slow: Slow, clock: Any, written: bool
) -> None:
    responses = Responses(slow, ResponseRules(max_conversation=20_000), clock=clock)
    read = 0
    chain = slow._store.chain

    async def counted(*args: Any, **options: Any) -> Sequence[Kept]:
        nonlocal read
        found = await chain(*args, **options)
        read += len(found)
        return found

    slow._store.chain = counted  # type: ignore[method-assign]
    if not written:
        slow.gate.clear()
    name = ""
    for number in range(40):
        name = await keep(responses, "a", f"{number}{'x' * 1000}", name)
    if written:
        await settled(responses)
    for call in (responses.conversation, responses.input_items):
        read = 0
        with pytest.raises(SixfoldError) as failed:
            await call("a", name)
        assert (failed.value.reason, failed.value.param) == (Reason.INVALID_REQUEST, "previous_response_id")
        assert read <= 20
    slow.gate.set()
    await settled(responses)
