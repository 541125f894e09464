"""A store that could not be opened to the end opens for the next one who asks."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from retrieval_service.search.ports import IndexDamaged
from retrieval_service.stores.opened import Arms, OpenStores
from retrieval_service.stores.records import Indexed
from retrieval_service.stores.types import Store, StoreView
from servicekit.errors import Reason, SixfoldError

STORE = Store("t", "vs_1", "", "", 0, 0, 0, {}, {}, None, "e5")


class Index:
    """One store's, which only one may have open, as the real one."""

    def __init__(self) -> None:
        self.held = False
        self.damaged = False
        self.drops = 0
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def open(self, store: Store) -> Arms:
        self.entered.set()
        assert self.gate.wait(30)
        if self.held:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "locked")
        if self.damaged:
            raise IndexDamaged
        self.held = True
        return Arms(cast(Any, self), cast(Any, None), cast(Any, None))

    def drop(self, tenant: str, store_id: str) -> None:
        self.damaged = False
        self.drops += 1

    def close(self) -> None:
        self.held = False


class Records:
    """Of one store; away once when `away` names the call."""

    def __init__(self) -> None:
        self.away = ""
        self.requeued: list[str] = []

    def _maybe(self, call: str) -> None:
        if self.away == call:
            self.away = ""
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "away")

    async def store(self, tenant: str, store_id: str) -> StoreView:
        return StoreView(STORE)

    async def live(self, tenant: str, store_id: str) -> list[Any]:
        self._maybe("live")
        return []

    async def garbage(self, limit: int, *, store_id: str = "") -> list[Any]:
        self._maybe("garbage")
        return []

    async def indexed(self, tenant: str, store_id: str) -> Indexed:
        return Indexed(frozenset({"a"}), frozenset())

    async def requeue(self, tenant: str, store_id: str, index_ids: frozenset[str]) -> list[str]:
        self._maybe("requeue")
        self.requeued += index_ids
        return list(index_ids)


def _stores(index: Index, records: Records, threads: ThreadPoolExecutor) -> OpenStores:
    known = cast(Any, records)
    return OpenStores(known, known, index, threads, max_open=4, idle_seconds=60)


@pytest.mark.parametrize("call", ["live", "garbage"])
async def test_records_that_were_away_while_a_store_opened_do_not_keep_it_shut(call: str) -> None:
    index, records = Index(), Records()
    records.away = call
    with ThreadPoolExecutor(2) as threads:
        stores = _stores(index, records, threads)
        with pytest.raises(SixfoldError, match="away"):
            async with stores.use("t", "vs_1"):
                pass
        async with stores.use("t", "vs_1") as opened:
            assert opened.store is STORE


async def test_a_caller_who_leaves_while_a_store_opens_does_not_keep_it_shut() -> None:
    index, records = Index(), Records()
    index.gate.clear()
    with ThreadPoolExecutor(2) as threads:
        stores = _stores(index, records, threads)

        async def ask() -> None:
            async with stores.use("t", "vs_1"):
                raise AssertionError("it was cancelled")

        task = asyncio.create_task(ask())
        assert await asyncio.to_thread(index.entered.wait, 30)
        task.cancel()
        await asyncio.sleep(0)
        index.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with stores.use("t", "vs_1") as opened:
            assert opened.store is STORE


async def test_a_damaged_index_whose_files_could_not_be_put_in_line_again_stays_damaged() -> None:
    index, records = Index(), Records()
    index.damaged = True
    records.away = "requeue"
    with ThreadPoolExecutor(2) as threads:
        stores = _stores(index, records, threads)
        with pytest.raises(SixfoldError, match="away"):
            async with stores.use("t", "vs_1"):
                pass
        async with stores.use("t", "vs_1"):
            assert records.requeued == ["a"]
