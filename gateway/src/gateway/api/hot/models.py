"""GET /v1/models and GET /v1/models/{model}."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import orjson

from gateway.api.exchange import JSON, Exchange
from gateway.api.hot.deps import HotDeps, identify
from gateway.routing.ports import Card
from gateway.routing.router import model_not_found

_PREFIX = "/v1/models/"


class ModelsEndpoint:
    """Lists what may be asked for: models, their aliases, and routes."""

    def __init__(self, deps: HotDeps) -> None:
        self._deps = deps

    async def list(self, exchange: Exchange) -> None:
        """Every name, each once."""
        principal = await identify(exchange, self._deps.authenticator, "models:read")
        data = list(self._names(principal.tenant).values())
        await exchange.respond(200, orjson.dumps({"object": "list", "data": data}), [JSON])

    async def get(self, exchange: Exchange) -> None:
        """One name."""
        principal = await identify(exchange, self._deps.authenticator, "models:read")
        name = unquote(exchange.scope["path"].removeprefix(_PREFIX))
        entry = self._names(principal.tenant).get(name)
        if entry is None and self._deps.catalogue.answers:
            await self._deps.catalogue.look_again()
            entry = self._names(principal.tenant).get(name)
        if entry is None:
            raise model_not_found(name)
        await exchange.respond(200, orjson.dumps(entry), [JSON])

    def _names(self, tenant: str) -> dict[str, dict[str, Any]]:
        names: dict[str, dict[str, Any]] = {}
        cards = self._deps.catalogue.cards(tenant)
        for card in cards.values():
            names[card.name] = _entry(card.name, card)
        for card in cards.values():
            for alias in card.aliases:
                names.setdefault(alias, _entry(alias, card))
        for name, route in self._deps.router.config.routes.items():
            found = self._deps.catalogue.find(route.targets[0].model, tenant)
            names[name] = {
                **_entry(name, found[0][1] if found else None),
                "targets": [target.model for target in route.targets],
            }
        for released in self._deps.router.releases.seen_by(tenant):
            found = self._deps.catalogue.find(released.champion, tenant)
            names[released.alias] = _entry(released.alias, found[0][1] if found else None)
        return names


def _entry(name: str, card: Card | None) -> dict[str, Any]:
    """OpenAI's model object, and beside it what people want to know."""
    entry: dict[str, Any] = {
        "id": name,
        "object": "model",
        "created": card.created_at if card else 0,
        "owned_by": (card and card.owner) or "sixfold",
    }
    if card is not None:
        entry.update(
            root=card.name,
            version=card.version,
            engine=card.engine,
            ready=card.ready,
            capabilities=sorted(card.capabilities),
            context_tokens=card.context_tokens,
        )
        if card.base:
            entry["base"] = card.base
    return entry
