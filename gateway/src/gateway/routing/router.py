"""From the model that a caller names to the targets that may answer, in order."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gateway.config.file import (
    BreakerConfig,
    CacheConfig,
    GatewayConfig,
    RetryConfig,
    RouteConfig,
    TargetConfig,
)
from gateway.openai import fields
from gateway.releases.routes import Released, Releases
from gateway.routing.breaker import Breaker, RetryBudget
from gateway.routing.catalogue import Catalogue
from gateway.routing.ports import Card, ModelClient
from servicekit.errors import Reason, SixfoldError

_MAX_NAME = 256


class Target:
    """A model on a service, with how it has been doing. One object for the life of the process."""

    __slots__ = ("breaker", "in_flight", "model", "name", "service")

    def __init__(self, service: str, model: str, breaker: Breaker) -> None:
        self.service = service
        self.model = model
        self.name = f"{service}/{model}"
        self.breaker = breaker
        self.in_flight = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target as one plan sees it."""

    target: Target
    client: ModelClient
    card: Card


@dataclass(frozen=True, slots=True)
class Plan:
    """How one request will be answered."""

    name: str
    """What the caller asked for."""
    candidates: tuple[Candidate, ...]
    """At least one; the first is tried first."""
    deadline: float
    first_token: float
    retry: RetryConfig
    cache: CacheConfig
    budget: RetryBudget
    release_id: str = ""
    """The release that decided who answers; empty for none."""


class Router:
    """Holds routes, targets and budgets; replaced configuration keeps the targets' histories."""

    def __init__(
        self,
        config: GatewayConfig,
        catalogue: Catalogue,
        clock: Callable[[], float],
        releases: Releases | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.releases = releases if releases is not None else Releases()
        self.clock = clock
        self._targets: dict[tuple[str, str], Target] = {}
        self._budgets: dict[str, RetryBudget] = {}
        self._fixed: dict[tuple[str, str, str], Plan] = {}
        self.config = config
        catalogue.on_change(self._fixed.clear)

    def use(self, config: GatewayConfig) -> None:
        """Routes by this configuration from now on."""
        self.config = config
        self._fixed.clear()
        self._budgets = {name: budget for name, budget in self._budgets.items() if name in config.routes}
        for target in self._targets.values():
            target.breaker.config = config.defaults.breaker

    def targets(self) -> list[Target]:
        """Every target that was ever planned for and still exists."""
        return list(self._targets.values())

    def plan(self, model: str, capability: str, request_id: str, tenant: str, subject: str = "") -> Plan:
        """The plan for a model that a tenant asks for `capability`: "chat", "completion", "embeddings".

        Raises MODEL_NOT_FOUND, UNSUPPORTED_PARAMETER or ENGINE_UNAVAILABLE.
        """
        released = self.releases.find(model, tenant)
        if released is not None:
            return self._released(released, capability, tenant, subject)
        fixed = self._fixed.get((tenant, model, capability))
        if fixed is not None:
            return fixed
        route = self.config.routes.get(model)
        plan = (
            self._direct(model, capability, tenant)
            if route is None
            else self._routed(model, route, capability, request_id, tenant)
        )
        if len(plan.candidates) == 1 and len(self._fixed) < 10_000:
            self._fixed[(tenant, model, capability)] = plan
        return plan

    def _direct(self, model: str, capability: str, tenant: str) -> Plan:
        found = self._candidates(model, tenant, None)
        if not found:
            if all(service.trouble is not None for service in self.catalogue.services.values()):
                raise SixfoldError(
                    Reason.ENGINE_UNAVAILABLE, "No model service answers at the moment.", retry_after=1
                )
            raise model_not_found(model)
        return self._make(model, None, found, capability)

    def _routed(self, name: str, route: RouteConfig, capability: str, request_id: str, tenant: str) -> Plan:
        found: list[Candidate] = []
        for target in (*by_weight(route.targets, request_id), *route.fallback):
            found += self._candidates(target.model, tenant, target.service)
        if not found:
            raise SixfoldError(
                Reason.ENGINE_UNAVAILABLE,
                f"None of the models behind '{name}' is there at the moment.",
                retry_after=1,
            )
        return self._make(name, route, found, capability)

    def _released(self, route: Released, capability: str, tenant: str, subject: str) -> Plan:
        """The caller's own of the two models; a candidate that fails leaves the request to the champion."""
        chosen = "candidate" if route.has_candidate(subject) else "champion"
        names = (route.candidate, route.champion) if chosen == "candidate" else (route.champion,)
        found = [here for name in names for here in self._candidates(name, tenant, None)]
        if not found:
            raise SixfoldError(
                Reason.ENGINE_UNAVAILABLE,
                f"The model behind '{route.alias}' is not there at the moment.",
                retry_after=1,
            )
        return replace(
            self._make(route.alias, None, found, capability),
            name=f"{route.alias} ({chosen})",
            release_id=route.release_id,
        )

    def _make(self, name: str, route: RouteConfig | None, found: list[Candidate], capability: str) -> Plan:
        able = [c for c in found if capability in c.card.capabilities]
        if not able:
            if any(not c.card.ready and not c.card.capabilities for c in found):
                raise SixfoldError(  # it is being loaded: what it can do is known afterwards
                    Reason.ENGINE_UNAVAILABLE,
                    f"The model '{name}' is not there at the moment.",
                    retry_after=1,
                )
            raise fields.unsupported("model", f"The model '{name}' cannot be asked for {capability}.")
        able = [c for c in able if c.card.ready] or able
        unique = {c.target: c for c in able}  # a target named twice is tried once, at its first place
        defaults = self.config.defaults
        return Plan(
            name=name,
            candidates=tuple(c for c in able if unique.pop(c.target, None)),
            deadline=(route and route.deadline) or defaults.deadline,
            first_token=(route and route.first_token) or defaults.first_token,
            retry=(route and route.retry) or defaults.retry,
            cache=(route and route.cache) or self.config.cache,
            budget=self._budgets.setdefault(name, RetryBudget()),
        )

    def _candidates(self, model: str, tenant: str, service: str | None) -> list[Candidate]:
        """Where a model runs; of several places the first is the less busy of two that chance names."""
        places = [
            Candidate(self._target(here.name, card.name), here.client, card)
            for here, card in self.catalogue.find(model, tenant, service)
        ]
        if len(places) > 1:
            first, second = _two(len(places))
            if places[second].target.in_flight < places[first].target.in_flight:
                first = second
            places.insert(0, places.pop(first))
        return places

    def _target(self, service: str, model: str) -> Target:
        target = self._targets.get((service, model))
        if target is None:
            target = Target(service, model, Breaker(self._breaker_config()))
            self._targets[(service, model)] = target
        return target

    def _breaker_config(self) -> BreakerConfig:
        return self.config.defaults.breaker


def model_not_found(model: str) -> SixfoldError:
    """The model is not there, or not for this caller."""
    shown = model if len(model) <= _MAX_NAME and model.isprintable() else "given"
    return SixfoldError(
        Reason.MODEL_NOT_FOUND,
        f"The model '{shown}' does not exist or you do not have access to it.",
        param="model",
    )


def _two(count: int) -> tuple[int, int]:
    first, second = random.sample(range(count), 2)
    return first, second


def by_weight(targets: Sequence[TargetConfig], request_id: str) -> list[TargetConfig]:
    """The targets in the order in which this request tries them.

    The first is chosen by weight; the same request id always gives the same order. Weighted sampling
    without replacement (Efraimidis and Spirakis, 2006): the largest u^(1/w) goes first. Targets of
    weight 0 are for other routes' eyes only and are never tried.
    """
    live = [target for target in targets if target.weight > 0]
    if len(live) == 1:
        return live

    def rank(numbered: tuple[int, TargetConfig]) -> float:
        index, target = numbered
        digest = hashlib.blake2b(f"{request_id}/{index}".encode(), digest_size=8).digest()
        drawn = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)
        return float(drawn ** (1 / target.weight))

    return [target for _, target in sorted(enumerate(live), key=rank, reverse=True)]
