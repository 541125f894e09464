"""The limiter that many processes share: each call is one script on the server, by the server's clock."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.commands.core import AsyncScript

from servicekit.limits.base import (
    Concurrency,
    Decision,
    LimiterUnavailable,
    Rate,
    check_key,
    check_reserve,
)
from servicekit.limits.bucket import decide
from servicekit.redis_client import RedisAway, RedisLink

_FOLDER = Path(__file__).parent


class RedisLimiter:
    """One hash and one sorted set a key, in one slot of a cluster (`{key}`), gone when nothing is owed."""

    def __init__(self, url: str, *, timeout: float, prefix: str = "sixfold:limits:") -> None:
        if "{" in prefix:
            raise ValueError("the prefix decides no slot: it has no {")
        self._link = RedisLink(url, timeout=timeout)
        self._prefix = prefix
        self._reserve = (_FOLDER / "reserve.lua").read_bytes()
        self._settle = (_FOLDER / "settle.lua").read_bytes()
        self._scripts: dict[bytes, AsyncScript] = {}

    async def reserve(self, key: str, rates: Sequence[Rate], concurrency: Concurrency | None) -> Decision:
        check_reserve(key, rates)
        lease = secrets.token_hex(12) if concurrency is not None else ""
        limit, hold = (concurrency.limit, concurrency.hold_ms) if concurrency is not None else (-1, 0)
        reply = await self._run(self._reserve, key, [*_arguments(rates), limit, hold, lease])
        *pairs, lease_wait, active = (int(number) for number in reply)
        return decide(rates, pairs[1::2], pairs[0::2], concurrency, active, lease_wait, lease or None)

    async def settle(self, key: str, rates: Sequence[Rate], lease: str | None) -> None:
        check_key(key)
        await self._run(self._settle, key, [*_arguments(rates), lease or ""])

    async def ping(self) -> None:
        try:
            await self._link.call(lambda client: client.ping())
        except RedisAway:
            raise LimiterUnavailable from None

    async def close(self) -> None:
        await self._link.close()

    async def _run(self, source: bytes, key: str, arguments: list[Any]) -> list[int]:
        keys = [f"{self._prefix}{{{key}}}:{part}" for part in ("rates", "leases")]

        async def command(client: Any) -> Any:
            script = self._scripts.get(source)
            if script is None:
                script = self._scripts[source] = client.register_script(source)
            return await script(
                keys=keys, args=arguments
            )  # by its hash; sent whole to a server that forgot it

        try:
            reply = await self._link.call(command)
        except RedisAway:
            raise LimiterUnavailable from None
        return reply if isinstance(reply, list) else []


def _arguments(rates: Sequence[Rate]) -> list[str | int]:
    arguments: list[str | int] = [len(rates)]
    for rate in rates:
        arguments += [f"{rate.name}:{rate.per_ms}", rate.limit, rate.per_ms, rate.amount]
    return arguments
