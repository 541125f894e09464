"""Lets a call in and keeps its ticket: what was reserved is settled when the real usage is known."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from gateway.config.limits import LimitsConfig
from gateway.identity.principal import Principal
from gateway.limits.headers import Headers, Standing, ratelimit_headers
from gateway.limits.policy import LimitPolicy, Scope
from servicekit.errors import Reason, SixfoldError
from servicekit.limits import (
    CONCURRENCY,
    Concurrency,
    Decision,
    Limiter,
    LimiterUnavailable,
    MemoryLimiter,
    Rate,
)

T = TypeVar("T")
_PLACE_RETRY_SECONDS = 1.0
"""A place frees itself when some call ends; nobody knows when, so the caller is asked to look soon."""


class LimitExceeded(SixfoldError):
    """A refusal, with the x-ratelimit headers that go on its answer."""

    def __init__(self, reason: Reason, message: str, *, retry_after: float | None, headers: Headers) -> None:
        super().__init__(reason, message, retry_after=retry_after)
        self.headers = headers


@dataclass(frozen=True, slots=True)
class _Held:
    """One reservation at the limiter."""

    key: str
    rates: tuple[Rate, ...]
    lease: str | None


class Ticket:
    """The right to make one call. `settle` exactly ends it; more calls do nothing."""

    __slots__ = ("_admission", "_held", "_tokens", "headers")

    def __init__(self, admission: Admission, held: Sequence[_Held], tokens: int, headers: Headers) -> None:
        self._admission = admission
        self._held = held
        self._tokens = tokens
        self.headers = headers
        """The x-ratelimit headers, as `(name, value)`."""

    async def settle(self, tokens: int) -> None:
        """Corrects the reserved tokens to `tokens`, really used, and frees the place.

        Finishes even when the caller is cancelled meanwhile; never raises for a limiter that is away.
        """
        held, self._held = self._held, ()
        if held:
            await self._admission._settle(held, tokens - self._tokens)


class Admission:
    """Admits calls under a tenant's, a model's and a key's limits, over one `Limiter`."""

    def __init__(self, limiter: Limiter, config: LimitsConfig) -> None:
        self._limiter = limiter
        self._instant = isinstance(limiter, MemoryLimiter)
        """It never waits, so no cancellation can fall between asking and hearing: no task is needed."""
        self._policy = LimitPolicy(config)
        self._background: set[asyncio.Task[Any]] = set()

    def update(self, config: LimitsConfig) -> None:
        """Puts a new configuration in force for calls from now on."""
        self._policy = LimitPolicy(config)

    async def admit(self, principal: Principal, model: str, tokens: int) -> Ticket:
        """Reserves one request, `tokens` tokens and a place.

        Raises RATE_LIMIT_REQUESTS, RATE_LIMIT_TOKENS or CONCURRENCY_LIMIT as `LimitExceeded`, and
        SERVICE_UNAVAILABLE when the limiter cannot be asked.
        """
        scopes = self._policy.scopes(principal, model)
        key, hold = principal.tenant, self._policy.config.hold_seconds
        rates = tuple(rate for scope in scopes for rate in _rates(scope, tokens))
        decision = await self._reserve(key, rates, _concurrency(scopes[0], hold))
        headers = ratelimit_headers(_standings(rates, decision))
        if not decision.allowed:
            _refuse(decision, rates, headers)
        held = [_Held(key, rates, decision.lease)]
        # Rates of every scope are one atomic decision; places within a model or key are asked for one by one.
        for scope in scopes[1:]:
            if scope.concurrency is None:
                continue
            inner = f"{key}/{scope.name}"
            try:
                decision = await self._reserve(inner, (), _concurrency(scope, hold))
            except BaseException:
                await self._settle(held, -tokens, requests=-1)
                raise
            if not decision.allowed:
                await self._settle(held, -tokens, requests=-1)
                _refuse(decision, (), headers)
            held.append(_Held(inner, (), decision.lease))
        return Ticket(self, held, tokens, headers)

    async def _reserve(self, key: str, rates: tuple[Rate, ...], places: Concurrency | None) -> Decision:
        if not rates and places is None:
            return Decision(True, None, 0.0, {}, {}, None)
        if self._instant:
            return await self._limiter.reserve(key, rates, places)
        task = self._spawn(self._limiter.reserve(key, rates, places))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # The caller left while the limiter was asked: what it grants goes back.
            self._spawn(self._undo(key, rates, task))
            raise

    async def _undo(self, key: str, rates: tuple[Rate, ...], task: asyncio.Task[Decision]) -> None:
        try:
            decision = await task
        except LimiterUnavailable:
            return
        if decision.allowed:
            back = tuple(_changed(rate, -rate.amount) for rate in rates)
            await self._settle_one(_Held(key, back, decision.lease))

    async def _settle(self, held: Sequence[_Held], tokens: int, *, requests: int = 0) -> None:
        amounts = {"tokens": tokens, "requests": requests}
        changes = [
            _Held(
                each.key,
                tuple(_changed(rate, amounts[_kind(rate)]) for rate in each.rates if amounts[_kind(rate)]),
                each.lease,
            )
            for each in held
        ]
        if self._instant:
            await self._settle_all(changes)
        else:
            await asyncio.shield(self._spawn(self._settle_all(changes)))

    async def _settle_all(self, changes: Sequence[_Held]) -> None:
        for each in changes:
            await self._settle_one(each)

    async def _settle_one(self, change: _Held) -> None:
        if change.rates or change.lease is not None:
            # Without the limiter, tokens drain by themselves and the lease ends after its hold.
            with contextlib.suppress(LimiterUnavailable):
                await self._limiter.settle(change.key, change.rates, change.lease)

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


def _rates(scope: Scope, tokens: int) -> list[Rate]:
    suffix = f"@{scope.name}" if scope.name else ""
    rates = []
    if scope.requests_per_minute is not None:
        rates.append(Rate(f"requests{suffix}", scope.requests_per_minute))
    if scope.tokens_per_minute is not None:
        rates.append(Rate(f"tokens{suffix}", scope.tokens_per_minute, amount=tokens))
    return rates


def _concurrency(scope: Scope, hold: float) -> Concurrency | None:
    return None if scope.concurrency is None else Concurrency(scope.concurrency, hold)


def _changed(rate: Rate, amount: int) -> Rate:
    return Rate(rate.name, rate.limit, rate.per, amount)


def _kind(rate: Rate) -> str:
    return rate.name.partition("@")[0]


def _standings(rates: Sequence[Rate], decision: Decision) -> list[Standing]:
    return [
        Standing(
            _kind(rate), rate.limit, decision.remaining.get(rate.name, 0), decision.reset.get(rate.name, 0)
        )
        for rate in rates
    ]


def _refuse(decision: Decision, rates: Sequence[Rate], headers: Headers) -> NoReturn:
    if decision.refused in (CONCURRENCY, None):
        raise LimitExceeded(
            Reason.CONCURRENCY_LIMIT,
            "Too many requests are running at once. Wait for one of them to end.",
            retry_after=min(decision.retry_after, _PLACE_RETRY_SECONDS),
            headers=headers,
        )
    rate = next(rate for rate in rates if rate.name == decision.refused)
    kind = _kind(rate)
    reason = Reason.RATE_LIMIT_TOKENS if kind == "tokens" else Reason.RATE_LIMIT_REQUESTS
    if math.isinf(decision.retry_after):
        text = f"The request needs up to {rate.amount} tokens; the limit is {rate.limit} tokens per minute."
        raise LimitExceeded(reason, text, retry_after=None, headers=headers)
    wait = f"{decision.retry_after:.3f}".rstrip("0").rstrip(".")
    text = f"The limit of {rate.limit} {kind} per minute is reached. Try again in {wait} s."
    raise LimitExceeded(reason, text, retry_after=decision.retry_after, headers=headers)
