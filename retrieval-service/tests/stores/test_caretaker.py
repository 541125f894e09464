"""One store that cannot be cared for keeps no other from it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from retrieval_service.stores.caretaker import Caretaker, Rounds
from retrieval_service.stores.records import Indexed
from servicekit.errors import Reason, SixfoldError


class House:
    """Two stores of two tenants, the first of which is broken: its records, and the stores that are open."""

    def __init__(self) -> None:
        self.unswept = [("a", "broken", "x"), ("b", "good", "y")]
        self.gone = [("a", "broken"), ("b", "good")]
        self.dropped: list[str] = []
        self.removed: list[str] = []
        self.closed_idle = 0
        self.reason = Reason.SERVICE_UNAVAILABLE

    async def garbage(self, limit: int) -> list[tuple[str, str, str]]:
        return list(self.unswept)

    async def cleaned(self, tenant: str, store_id: str, names: list[str]) -> None:
        self.unswept = [row for row in self.unswept if row[1] != store_id]

    async def deleted(self, limit: int) -> list[tuple[str, str]]:
        return list(self.gone)

    async def purge(self, tenant: str, store_id: str, limit: int) -> bool:
        return True

    async def forget(self, tenant: str, store_id: str) -> None:
        self.gone.remove((tenant, store_id))

    async def stores(self, after: Any, limit: int) -> list[Any]:
        return [] if after else [SimpleNamespace(tenant=tenant, id=name) for tenant, name in self.gone]

    async def indexed(self, tenant: str, store_id: str) -> Indexed:
        return Indexed(frozenset(), frozenset())

    async def drop(self, tenant: str, store_id: str) -> None:
        self._fail_if_broken(store_id)
        self.dropped.append(store_id)

    async def close_idle(self) -> None:
        self.closed_idle += 1

    @asynccontextmanager
    async def use(self, tenant: str, store_id: str) -> AsyncIterator[Any]:
        self._fail_if_broken(store_id)

        async def call(work: Any, *args: Any) -> Any:
            return work(*args)

        arm = SimpleNamespace(attachments=lambda: {f"orphan of {store_id}"})
        index = SimpleNamespace(remove=self.removed.extend)
        table = SimpleNamespace(swept=lambda names: None)
        yield SimpleNamespace(
            call=call, table=table, arms=SimpleNamespace(index=index, lexical=arm, vectors=arm)
        )

    def _fail_if_broken(self, store_id: str) -> None:
        if store_id == "broken":
            raise SixfoldError(self.reason, "away")


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def caretaker(house: House) -> Caretaker:
    every = cast(Any, house)
    return Caretaker(every, every, every, Rounds(pause=0))


@pytest.mark.parametrize("reason", [Reason.SERVICE_UNAVAILABLE, Reason.NOT_FOUND])
async def test_what_was_removed_is_swept_in_every_other_store(
    house: House, caretaker: Caretaker, reason: Reason
) -> None:
    house.reason = reason
    with pytest.raises(SixfoldError, match="away"):
        await caretaker.sweep()
    assert house.removed == ["y"]
    assert house.unswept == [("a", "broken", "x")]


async def test_every_other_deleted_store_ends(house: House, caretaker: Caretaker) -> None:
    with pytest.raises(SixfoldError, match="away"):
        await caretaker.purge()
    assert (house.dropped, house.gone) == (["good"], [("a", "broken")])


async def test_every_other_store_is_looked_through(house: House, caretaker: Caretaker) -> None:
    with pytest.raises(SixfoldError, match="away"):
        await caretaker.look_through()
    assert house.removed == ["orphan of good"]


async def test_a_deleted_store_that_is_in_use_holds_up_no_sweeping(
    house: House, caretaker: Caretaker
) -> None:
    with pytest.raises(SixfoldError, match="away"):
        await caretaker._sweep_round()
    assert house.removed == ["y"]
    assert house.closed_idle == 1
