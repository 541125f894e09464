"""Kept responses: the same over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.responses_store import ResponsesStore
from gateway.responses.ports import Kept
from servicekit.store import Store

NOW = 1_800_000_000.0


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'gateway.db'}"
    given: str = request.getfixturevalue("postgres_url")
    return given


@pytest.fixture
async def records(url: str) -> AsyncIterator[ResponsesStore]:
    store = await Store.open(url, migrations="gateway:migrations")
    yield ResponsesStore(store)
    await store.close()


def kept(name: str, tenant: str = "a", previous: str = "", at: float = NOW) -> Kept:
    return Kept(
        name, tenant, at, at + 100, previous, b"", b'{"id":"%s"}' % name.encode(), b'["\xe4\xb8\xad"]'
    )


async def test_one_after_another(records: ResponsesStore) -> None:
    one = replace(kept("r1"), fingerprint=b"f" * 32)
    await records.add(one)
    await records.add(replace(one, body=b"{}"))  # the first stands
    assert await records.get("a", "r1", now=NOW) == one
    assert await records.get("b", "r1", now=NOW) is None
    assert await records.get("a", "r1", now=NOW + 100) is None
    assert not await records.delete("b", "r1")
    assert await records.delete("a", "r1")
    assert not await records.delete("a", "r1")
    assert await records.get("a", "r1", now=NOW) is None


async def test_two_tenants_may_have_the_same_name(records: ResponsesStore) -> None:
    await records.add(kept("same", "a"))
    await records.add(kept("same", "b"))
    await records.delete("a", "same")
    assert await records.get("b", "same", now=NOW) == kept("same", "b")


async def test_chains(records: ResponsesStore) -> None:
    for number in range(5):
        await records.add(kept(f"r{number}", previous=f"r{number - 1}" if number else ""))
    await records.add(kept("r3", "b", previous="r2"))
    found = await records.chain("a", "r4", limit=10, now=NOW)
    assert [each.id for each in found] == ["r4", "r3", "r2", "r1", "r0"]
    assert [each.id for each in await records.chain("a", "r4", limit=2, now=NOW)] == ["r4", "r3"]
    assert [each.id for each in await records.chain("b", "r3", limit=9, now=NOW)] == ["r3"]
    await records.delete("a", "r2")
    assert [each.id for each in await records.chain("a", "r4", limit=9, now=NOW)] == ["r4", "r3"]
    assert await records.chain("a", "r2", limit=9, now=NOW) == []


async def test_pages_also_of_the_same_second(records: ResponsesStore) -> None:
    for number in range(6):
        await records.add(kept(f"r{number}", at=NOW + number // 2))
    seen: list[str] = []
    after = ""
    while page := await records.page("a", after=after, limit=2, ascending=False, now=NOW):
        seen += [each.id for each in page]
        after = seen[-1]
    assert seen == [f"r{number}" for number in (5, 4, 3, 2, 1, 0)]
    up = await records.page("a", after="r1", limit=9, ascending=True, now=NOW)
    assert [each.id for each in up] == ["r2", "r3", "r4", "r5"]
    assert await records.page("a", after="nobody", limit=9, ascending=True, now=NOW) == []
    assert await records.page("b", after="r1", limit=9, ascending=True, now=NOW) == []


async def test_sweeping_while_others_write(records: ResponsesStore) -> None:
    for number in range(10):
        await records.add(kept(f"old{number}", at=NOW - 200))
    new = (records.add(kept(f"new{number}")) for number in range(10))
    gone, *_ = await asyncio.gather(records.sweep(now=NOW, limit=7), *new)
    assert gone == 7
    assert await records.sweep(now=NOW, limit=7) == 3
    assert len(await records.page("a", after="", limit=99, ascending=True, now=NOW)) == 10
