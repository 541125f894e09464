"""Which limits apply to whom. Pure: configuration and a principal in, scopes out."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config.limits import LimitsConfig, LimitSet
from gateway.identity.principal import Principal

_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Scope:
    """One thing that is counted: a tenant, a tenant's use of a model, or an API key."""

    name: str
    """Empty for the tenant itself; otherwise what keeps its counters apart, without a colon."""
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrency: int | None


class LimitPolicy:
    """Finds the scopes of a call under one configuration."""

    def __init__(self, config: LimitsConfig) -> None:
        self.config = config
        self._kept: dict[tuple[object, ...], tuple[Scope, ...]] = {}

    def scopes(self, principal: Principal, model: str) -> tuple[Scope, ...]:
        """Everything that a call is counted in, the tenant first."""
        on_model = self.config.models.get(model)
        place = (principal.tenant, model if on_model else None, principal.key_id, principal.limits)
        found = self._kept.get(place)
        if found is None:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            found = self._kept[place] = self._find(principal, model, on_model)
        return found

    def _find(self, principal: Principal, model: str, on_model: LimitSet | None) -> tuple[Scope, ...]:
        scopes = [_scope("", self._tenant(principal.tenant))]
        if on_model is not None:
            scopes.append(_scope(f"model={model.replace(':', '%3A')}", on_model))
        own = principal.limits
        if own is not None:
            name = f"key={principal.key_id}"
            scopes.append(Scope(name, own.requests_per_minute, own.tokens_per_minute, own.concurrency))
        return tuple(scopes)

    def _tenant(self, tenant: str) -> LimitSet:
        own = self.config.tenants.get(tenant)
        if own is None:
            return self.config.default
        return self.config.default.model_copy(update=own.model_dump(exclude_unset=True))


def _scope(name: str, limits: LimitSet) -> Scope:
    return Scope(name, limits.requests_per_minute, limits.tokens_per_minute, limits.concurrency)
