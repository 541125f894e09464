"""Records of requests keep the same promises over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.requests_store import SqlRequests
from gateway.lineage.sweep import Sweep
from gateway.lineage.types import Passage, Record
from servicekit.store import Store

FACTS = Record(
    tenant="acme",
    id="r1",
    at=1_000.5,
    operation="chat",
    requested_model="support",
    model="tiny",
    version="v1",
    engine="openvino",
    route="support (champion) -> local/tiny",
    release_id="rel_1",
    answer_id="chatcmpl-1",
    subject="ada",
    stream=True,
    cache="miss",
    status=200,
    reason="",
    prompt_tokens=7,
    completion_tokens=5,
    seconds=0.25,
    passages=(Passage("file-1", "Zürich.md", "a:0", "vs_1", 0.5, True),),
)


@pytest.fixture(params=["sqlite", "postgresql"])
async def workers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[SqlRequests]]:
    """Four processes' view of one database."""
    url = (
        f"sqlite:///{tmp_path / 'gateway.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    stores = [await Store.open(url, migrations="gateway:migrations", timeout=30) for _ in range(4)]
    yield [SqlRequests(store) for store in stores]
    for store in stores:
        await store.close()


async def test_what_is_kept_comes_back_whole_and_to_its_tenant_alone(workers: list[SqlRequests]) -> None:
    one, two = workers[:2]
    bare = replace(FACTS, id="r2", answer_id="", passages=(), model="", status=404, reason="MODEL_NOT_FOUND")
    await one.keep([FACTS, bare])
    assert await two.find("acme", "r1") == FACTS
    assert await two.find("acme", "chatcmpl-1") == FACTS
    assert await two.find("acme", "r2") == bare
    for tenant, name in (("umbrella", "r1"), ("umbrella", "chatcmpl-1"), ("acme", "r3")):
        assert await two.find(tenant, name) is None


async def test_the_same_again_changes_nothing_and_an_answer_stays(workers: list[SqlRequests]) -> None:
    store = workers[0]
    for _ in range(3):
        await store.keep([FACTS])
    await store.keep([replace(FACTS, at=2_000, model="forged")])
    assert await store.find("acme", "r1") == FACTS
    failed = replace(FACTS, id="r2", status=503, reason="ENGINE_UNAVAILABLE", model="", answer_id="x")
    answered = replace(FACTS, id="r2", at=1_001, answer_id="x")
    await store.keep([answered])
    await store.keep([failed])  # delivered late
    assert await store.find("acme", "r2") == answered
    await store.keep([replace(failed, id="r3"), replace(answered, id="r3")])
    assert await store.find("acme", "r3") == replace(answered, id="r3")


async def test_workers_that_write_the_same_at_once_wait_and_do_not_block(workers: list[SqlRequests]) -> None:
    """Batches with the same keys in other orders: no deadlock, no error, each row once."""
    records = [replace(FACTS, id=f"r{number}", answer_id=f"a{number}") for number in range(60)]

    async def write(store: SqlRequests, seed: int) -> None:
        mixed = random.Random(seed)
        for _ in range(8):
            await store.keep(mixed.sample(records, len(records)))

    async with asyncio.timeout(60):
        await asyncio.gather(*(write(store, seed) for seed, store in enumerate(workers)))
    for record in records:
        assert await workers[0].find("acme", record.id) == record


async def test_old_records_go_and_so_do_too_many(workers: list[SqlRequests]) -> None:
    one, two = workers[:2]
    await one.keep([replace(FACTS, id=f"r{number}", at=float(number)) for number in range(1_300)])
    sweep = Sweep(one, keep_seconds=1_000, most=10_000, clock=lambda: 1_600)
    assert await sweep.once() == 600  # over two rounds
    assert await one.find("acme", "r599") is None
    assert await one.find("acme", "r600") is not None
    assert await one.oldest_of(701) is None
    small = [Sweep(store, keep_seconds=1e9, most=100, clock=lambda: 1_600) for store in (one, two)]
    assert sum(await asyncio.gather(*(each.once() for each in small))) == 600
    assert await one.find("acme", "r1199") is None
    assert await one.find("acme", "r1200") is not None
    assert await small[0].once() == 0
