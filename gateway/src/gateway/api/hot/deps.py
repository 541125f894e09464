"""What the hot routes stand on, and the steps that all of them share."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from gateway.api.authorization import authorization_of
from gateway.api.exchange import Exchange, Header
from gateway.caching.exact import ExactCache
from gateway.grounding.ground import Grounder
from gateway.identity.authenticator import Authenticator
from gateway.identity.principal import Principal, require
from gateway.limits.admission import Admission
from gateway.openai import fields
from gateway.openai.pieces import ServedBy
from gateway.routing.catalogue import Catalogue
from gateway.routing.flight import Flight
from gateway.routing.ports import Asker
from gateway.routing.router import Plan, Router
from servicekit.errors import Reason, SixfoldError

_NOT_THERE = (Reason.MODEL_NOT_FOUND, Reason.ENGINE_UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class HotLimits:
    """Bounds of one request; seconds and bytes."""

    max_body: int
    body_seconds: float
    max_deadline: float
    max_answer: int
    heartbeat: float
    slow_reader: float


@dataclass(frozen=True, slots=True)
class HotDeps:
    """Everything a hot route may use."""

    authenticator: Authenticator
    admission: Admission
    router: Router
    catalogue: Catalogue
    cache: ExactCache
    grounder: Grounder
    limits: HotLimits


async def identify(exchange: Exchange, authenticator: Authenticator, scope: str) -> Principal:
    """Who calls. Raises 401 and 403 errors."""
    credential = authorization_of(exchange.scope["headers"])
    principal = authenticator.cached(credential) if credential is not None else None
    if principal is None:
        principal = await authenticator.authenticate(credential)
    exchange.facts["tenant"] = principal.tenant
    if (completion := exchange.completion) is not None:
        completion.tenant, completion.subject = principal.tenant, principal.subject
    require(principal, scope)
    return principal


async def plan_of(
    deps: HotDeps, model: str, capability: str, exchange: Exchange, principal: Principal
) -> Plan:
    """How a request will be answered. Who is told that a model is not there was told by a look just now.

    Raises MODEL_NOT_FOUND, UNSUPPORTED_PARAMETER or ENGINE_UNAVAILABLE.
    """
    asked = (model, capability, exchange.request_id, principal.tenant, principal.subject)
    try:
        return deps.router.plan(*asked)
    except SixfoldError as error:
        if error.reason not in _NOT_THERE or not deps.catalogue.answers:
            raise
    await deps.catalogue.look_again()
    return deps.router.plan(*asked)


def asker_of(principal: Principal, exchange: Exchange) -> Asker:
    """On whose behalf model services are called."""
    return Asker(principal.tenant, principal.subject, exchange.request_id)


def ends_at(exchange: Exchange, plan: Plan, limits: HotLimits) -> float:
    """When the request must be over (perf_counter): at the route's deadline, or the caller's earlier one."""
    seconds = min(plan.deadline, limits.max_deadline)
    asked = exchange.headers.get(b"x-sixfold-timeout")
    if asked is not None:
        try:
            wish = float(asked)
        except ValueError:
            wish = 0.0
        if not 0 < wish < 1e9:
            raise fields.invalid("x-sixfold-timeout", "a number of seconds above 0.")
        seconds = min(seconds, wish)
    return exchange.began + seconds


def left_until(end: float) -> float:
    """Seconds until `end`, never below a millisecond."""
    return max(0.001, end - time.perf_counter())


def served_headers(plan: Plan, flight: Flight[Any] | None, by: ServedBy, cache: str) -> list[Header]:
    """Who answered, on which way."""
    attempts = flight.attempts if flight is not None else 0
    where = flight.candidate.target.name if flight is not None else by.model
    return [
        (b"x-sixfold-model", _plain(f"{by.model}@{by.version}" if by.version else by.model)),
        (b"x-sixfold-engine", _plain(by.engine)),
        (b"x-sixfold-route", _plain(f"{plan.name} -> {where}; attempts={attempts}")),
        (b"x-sixfold-cache", cache.encode()),
    ]


def route_of(plan: Plan, flight: Flight[Any] | None) -> str:
    """The way that a request took, as events tell it."""
    return f"{plan.name} -> {flight.candidate.target.name}" if flight is not None else plan.name


def _plain(value: str) -> bytes:
    """A header value: printable ASCII, nothing else."""
    return value.encode("ascii", "replace") if value.isprintable() else b"?"
