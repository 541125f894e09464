"""The models that the services have, looked at again and again in the background."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from gateway.routing.ports import Card, ModelClient
from servicekit.errors import Reason, SixfoldError
from servicekit.logs import get_logger

_REST = 0.1
"""Seconds between two looks for names that are not known, however many ask."""
_log = get_logger("gateway.routing")


class Service:
    """One model service: its client, and what it was last seen to have."""

    __slots__ = ("cards", "client", "name", "names", "trouble")

    def __init__(self, name: str, client: ModelClient) -> None:
        self.name = name
        self.client = client
        self.cards: list[Card] = []
        self.names: dict[str, Card] = {}
        """By name and by alias; a name wins over another model's alias."""
        self.trouble: str | None = "not_asked"
        """Why it did not answer the last time; None when it did."""

    def take(self, cards: list[Card]) -> bool:
        """Keeps what it has now; whether that is news."""
        self.trouble = None
        if cards == self.cards:
            return False
        self.cards = cards
        self.names = {alias: card for card in cards for alias in card.aliases}
        self.names.update({card.name: card for card in cards})
        return True


class Catalogue:
    """Every service's models. Reading it never waits."""

    def __init__(self, period: float) -> None:
        self.services: dict[str, Service] = {}
        self._period = period
        self._listeners: list[Callable[[], None]] = []
        self._again: asyncio.Task[None] | None = None
        self._began = float("-inf")

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls `listener` after the models or services changed."""
        self._listeners.append(listener)

    def use(self, clients: Mapping[str, ModelClient]) -> None:
        """Looks at these services from now on; what is known of those that stay is kept."""
        kept = self.services
        self.services = {
            name: kept[name] if name in kept and kept[name].client is client else Service(name, client)
            for name, client in clients.items()
        }
        self._changed()

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()

    def find(self, model: str, tenant: str, service: str | None = None) -> list[tuple[Service, Card]]:
        """Where a model runs, by its name or an alias. Another tenant's own model runs nowhere."""
        services = self.services
        if service is not None:
            here = services.get(service)
            card = here.names.get(model) if here else None
            return [(here, card)] if here and card and card.seen_by(tenant) else []
        return [
            (here, card)
            for here in services.values()
            if (card := here.names.get(model)) and card.seen_by(tenant)
        ]

    def cards(self, tenant: str) -> dict[str, Card]:
        """Every model that this tenant may see once, by its own name."""
        found: dict[str, Card] = {}
        for service in self.services.values():
            for card in service.cards:
                if not card.seen_by(tenant):
                    continue
                held = found.get(card.name)
                if held is None or (card.ready and not held.ready):
                    found[card.name] = card
        return found

    @property
    def answers(self) -> bool:
        """Whether some service answered the last time."""
        return any(service.trouble is None for service in self.services.values())

    async def look_again(self) -> None:
        """Returns after a look that began after the call, shared by all who wait for one.

        What was there before the call is then known, unless a service does not answer.
        """
        if self._again is None:
            self._again = asyncio.create_task(self._look_rested())
        await asyncio.shield(self._again)

    async def _look_rested(self) -> None:
        await asyncio.sleep(max(0.0, self._began + _REST - time.monotonic()))
        self._again = None  # who comes now wants a look of its own
        await self.look()

    async def look(self) -> None:
        """Asks every service once."""
        self._began = time.monotonic()
        await asyncio.gather(*(self._look_at(service) for service in self.services.values()))

    async def _look_at(self, service: Service) -> None:
        try:
            cards = await service.client.list_models(deadline=max(1.0, self._period))
        except SixfoldError as error:
            if service.trouble is None or service.trouble == "not_asked":
                _log.warning(
                    "model service does not answer", service_name=service.name, reason=error.reason.value
                )
            service.trouble = error.reason.value.lower()
            return
        if service.trouble not in (None, "not_asked"):
            _log.info("model service answers again", name=service.name)
        if service.take(cards):
            self._changed()

    async def run(self) -> None:
        """Looks again and again until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:
                _log.exception("looking at the models failed")
            await asyncio.sleep(self._period)

    async def check(self) -> None:
        """Readiness: some service answers and has a model that is ready. Raises SixfoldError otherwise."""
        if any(s.trouble is None and any(card.ready for card in s.cards) for s in self.services.values()):
            return
        if any(s.trouble is None for s in self.services.values()):
            raise SixfoldError(Reason.MODEL_NOT_FOUND, "No model is ready.")
        raise SixfoldError(Reason.ENGINE_UNAVAILABLE, "No model service answers.")
