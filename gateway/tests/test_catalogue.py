"""When the models are looked at: by the clock, and at once for a name that is not known."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.routing import catalogue as room
from gateway.routing.catalogue import Catalogue
from gateway.routing.ports import Card
from servicekit.errors import Reason, SixfoldError


class Client:
    """A model service that answers when it may."""

    def __init__(self) -> None:
        self.cards: list[Card] = []
        self.asked = 0
        self.called = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self.away = False

    async def list_models(self, *, deadline: float) -> list[Card]:
        self.asked += 1
        self.called.set()
        cards = list(self.cards)
        await self.open.wait()
        if self.away:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "away")
        return cards


def _card(name: str) -> Card:
    return Card(name, "v1", (), frozenset({"chat"}), 100, "fake", True, 0)


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def catalogue(client: Client, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    monkeypatch.setattr(room, "_REST", 0.01)
    made = Catalogue(60)
    service: Any = client
    made.use({"local": service})
    return made


async def test_many_who_miss_a_name_share_one_look(client: Client, catalogue: Catalogue) -> None:
    client.cards = [_card("new")]
    await asyncio.gather(*(catalogue.look_again() for _ in range(100)))
    assert client.asked == 1
    assert catalogue.find("new", "acme")


async def test_a_look_that_began_earlier_is_not_enough(client: Client, catalogue: Catalogue) -> None:
    client.open.clear()
    first = asyncio.create_task(catalogue.look_again())
    await client.called.wait()
    client.cards = [_card("new")]  # too late for the look that runs
    late = [asyncio.create_task(catalogue.look_again()) for _ in range(10)]
    await asyncio.sleep(0)
    client.open.set()
    await asyncio.gather(first, *late)
    assert client.asked == 2
    assert catalogue.find("new", "acme")


async def test_who_leaves_ends_nobody_elses_look(client: Client, catalogue: Catalogue) -> None:
    client.open.clear()
    leaves, stays = (asyncio.create_task(catalogue.look_again()) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    client.cards = [_card("new")]
    client.open.set()
    await stays
    assert catalogue.find("new", "acme")


async def test_a_service_that_is_away_is_known_as_such(client: Client, catalogue: Catalogue) -> None:
    assert not catalogue.answers
    await catalogue.look()
    assert catalogue.answers
    client.away = True
    await catalogue.look_again()
    assert not catalogue.answers
