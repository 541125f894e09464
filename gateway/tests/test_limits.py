"""Admission: which limits count, that reservations are settled, and what a refusal says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config.limits import LimitsConfig
from gateway.identity.principal import KeyLimits, Principal
from gateway.identity.roles import ROLES
from gateway.limits.admission import Admission, LimitExceeded
from gateway.limits.headers import Standing, duration, ratelimit_headers
from gateway.limits.policy import LimitPolicy
from servicekit.errors import Reason, SixfoldError
from servicekit.limits import LimiterUnavailable, MemoryLimiter


def of(tenant: str = "acme", limits: KeyLimits | None = None, key: str | None = None) -> Principal:
    return Principal(tenant, "ada", "member", ROLES["member"], "key" if key else "jwt", key, None, limits)


def admission(**config: Any) -> Admission:
    return Admission(MemoryLimiter(), LimitsConfig.model_validate(config))


async def refusal(call: Any) -> LimitExceeded:
    with pytest.raises(LimitExceeded) as caught:
        await call
    return caught.value


def shown(headers: list[tuple[bytes, bytes]], name: str) -> str:
    return dict(headers)[f"x-ratelimit-{name}".encode()].decode()


async def test_requests_per_minute() -> None:
    gate = admission(default={"requests_per_minute": 2})
    for left in (1, 0):
        ticket = await gate.admit(of(), "m", 10)
        assert shown(ticket.headers, "limit-requests") == "2"
        assert shown(ticket.headers, "remaining-requests") == str(left)
        await ticket.settle(0)
    error = await refusal(gate.admit(of(), "m", 10))
    assert error.reason is Reason.RATE_LIMIT_REQUESTS
    assert error.retry_after is not None
    assert 0 < error.retry_after <= 30.01
    assert shown(error.headers, "remaining-requests") == "0"
    await gate.admit(of("umbrella"), "m", 10)  # another tenant's own


async def test_tokens_are_reserved_and_settled() -> None:
    gate = admission(default={"tokens_per_minute": 100})
    ticket = await gate.admit(of(), "m", 90)
    assert (await refusal(gate.admit(of(), "m", 20))).reason is Reason.RATE_LIMIT_TOKENS
    await ticket.settle(10)
    await ticket.settle(10)  # once is enough
    ticket = await gate.admit(of(), "m", 80)
    assert int(shown(ticket.headers, "remaining-tokens")) in (10, 11)
    await ticket.settle(200)  # used more than reserved: charged past the limit
    error = await refusal(gate.admit(of(), "m", 1))
    assert error.retry_after is not None
    assert error.retry_after > 60


async def test_a_request_larger_than_the_limit_is_told_so() -> None:
    gate = admission(default={"tokens_per_minute": 100})
    error = await refusal(gate.admit(of(), "m", 101))
    assert error.reason is Reason.RATE_LIMIT_TOKENS
    assert error.retry_after is None
    assert "101" in error.message
    assert "100 tokens" in error.message
    await gate.admit(of(), "m", 100)


async def test_concurrency() -> None:
    gate = admission(default={"concurrency": 1})
    ticket = await gate.admit(of(), "m", 10)
    error = await refusal(gate.admit(of(), "m", 10))
    assert error.reason is Reason.CONCURRENCY_LIMIT
    assert error.retry_after == 1.0
    await ticket.settle(0)
    await gate.admit(of(), "m", 10)


async def test_a_model_and_a_key_have_limits_of_their_own() -> None:
    gate = admission(
        default={"requests_per_minute": 10},
        models={"small:1b": {"requests_per_minute": 1, "concurrency": 1}},
    )
    first = await gate.admit(of(), "small:1b", 1)
    assert shown(first.headers, "limit-requests") == "1"  # the tightest is shown
    assert (await refusal(gate.admit(of(), "small:1b", 1))).reason is Reason.RATE_LIMIT_REQUESTS
    await first.settle(0)
    await gate.admit(of(), "large", 1)
    mine = of(limits=KeyLimits(requests_per_minute=1), key="0" * 12)
    await gate.admit(mine, "large", 1)
    assert (await refusal(gate.admit(mine, "large", 1))).reason is Reason.RATE_LIMIT_REQUESTS
    await gate.admit(of(limits=KeyLimits(requests_per_minute=1), key="1" * 12), "large", 1)


async def test_a_refusal_takes_nothing() -> None:
    gate = admission(
        default={"requests_per_minute": 10, "tokens_per_minute": 100, "concurrency": 5},
        models={"m": {"concurrency": 1}},
    )
    held = await gate.admit(of(), "m", 10)
    for _ in range(20):
        assert (await refusal(gate.admit(of(), "m", 50))).reason is Reason.CONCURRENCY_LIMIT
    await held.settle(10)
    ticket = await gate.admit(of(), "m", 90)
    assert shown(ticket.headers, "remaining-requests") == "8"
    await ticket.settle(0)
    for _ in range(5):
        await gate.admit(of(), "other", 1)  # no place of the tenant was lost either


def test_what_a_tenant_sets_differs_from_the_default_and_the_rest_stays() -> None:
    config = LimitsConfig.model_validate(
        {
            "default": {"requests_per_minute": 600, "tokens_per_minute": 1000, "concurrency": 3},
            "tenants": {"acme": {"requests_per_minute": 60, "concurrency": None}},
        }
    )
    scope = LimitPolicy(config).scopes(of(), "m")[0]
    assert (scope.requests_per_minute, scope.tokens_per_minute, scope.concurrency) == (60, 1000, None)
    scope = LimitPolicy(config).scopes(of("umbrella"), "m")[0]
    assert (scope.requests_per_minute, scope.tokens_per_minute, scope.concurrency) == (600, 1000, 3)


async def test_no_limits_at_all() -> None:
    gate = admission(default={})
    ticket = await gate.admit(of(), "m", 10**9)
    assert ticket.headers == []
    await ticket.settle(1)


async def test_a_new_configuration_is_in_force_at_once() -> None:
    gate = admission(default={"requests_per_minute": 1})
    await gate.admit(of(), "m", 1)
    await refusal(gate.admit(of(), "m", 1))
    gate.update(LimitsConfig.model_validate({"default": {"requests_per_minute": 100}}))
    await gate.admit(of(), "m", 1)


@pytest.mark.parametrize(
    "bad",
    [
        {"default": {"requests_per_minute": 0}},
        {"default": {"requests_per_second": 1}},
        {"default": {"concurrency": -1}},
        {"tenant": {}},
        {"hold_seconds": 0},
    ],
    ids=repr,
)
def test_a_wrong_configuration_is_refused(bad) -> None:
    with pytest.raises(ValidationError):
        LimitsConfig.model_validate(bad)


class Slow(MemoryLimiter):
    """Answers when told to, as a limiter behind a network does."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.answer, self.settled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def reserve(self, *args: Any) -> Any:
        decision = await super().reserve(*args)
        self.asked.set()
        await self.answer.wait()
        return decision

    async def settle(self, *args: Any) -> None:
        await self.answer.wait()
        await super().settle(*args)
        self.settled.set()


class Behind:
    """The same, and no MemoryLimiter by type."""

    def __init__(self, inner: Any) -> None:
        self.reserve, self.settle = inner.reserve, inner.settle


async def test_a_caller_that_leaves_while_it_is_admitted_keeps_nothing() -> None:
    slow = Slow()
    gate = Admission(
        Behind(slow), LimitsConfig.model_validate({"default": {"concurrency": 1, "tokens_per_minute": 10}})
    )
    task = asyncio.create_task(gate.admit(of(), "m", 10))
    await slow.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    slow.answer.set()
    await slow.settled.wait()
    assert int(shown((await gate.admit(of(), "m", 10)).headers, "remaining-tokens")) == 0


async def test_a_caller_that_leaves_while_it_settles_still_settles() -> None:
    slow = Slow()
    slow.answer.set()
    gate = Admission(Behind(slow), LimitsConfig.model_validate({"default": {"concurrency": 1}}))
    ticket = await gate.admit(of(), "m", 10)
    slow.answer.clear()
    task = asyncio.create_task(ticket.settle(0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    slow.answer.set()
    await slow.settled.wait()
    await gate.admit(of(), "m", 10)


class Away:
    """A limiter that cannot be reached."""

    async def reserve(self, *_: Any) -> Any:
        raise LimiterUnavailable

    async def settle(self, *_: Any) -> None:
        raise LimiterUnavailable


async def test_a_limiter_that_is_away() -> None:
    limiter: Any = Away()
    gate = Admission(limiter, LimitsConfig())
    with pytest.raises(SixfoldError) as caught:
        await gate.admit(of(), "m", 1)
    assert caught.value.reason is Reason.SERVICE_UNAVAILABLE
    memory = MemoryLimiter()
    limiter.reserve = memory.reserve
    await (await gate.admit(of(), "m", 1)).settle(1)  # the answer is out: nothing to tell the caller


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (0.0001, "1ms"), (0.12, "120ms"), (0.9999, "1s"), (1, "1s"), (1.5, "1.5s"),
        (59.999, "59.999s"),
        (60, "1m0s"), (360, "6m0s"), (61.25, "1m1.25s"), (3600, "1h0m0s"), (86461, "24h1m1s"),
    ],
)  # fmt: skip
def test_durations_are_written_as_openai_writes_them(seconds, text) -> None:
    assert duration(seconds).decode() == text


def test_the_tightest_limit_is_shown() -> None:
    headers = dict(
        ratelimit_headers(
            [Standing("requests", 100, 50, 1), Standing("requests", 10, 4, 2), Standing("tokens", 9, 9, 0)]
        )
    )
    assert headers[b"x-ratelimit-limit-requests"] == b"10"
    assert headers[b"x-ratelimit-remaining-requests"] == b"4"
    assert headers[b"x-ratelimit-reset-tokens"] == b"0s"
