"""A cache between processes, on Redis."""

from __future__ import annotations

from servicekit.cache.base import CacheUnavailable, check_key, check_ttl
from servicekit.redis_client import RedisAway, RedisLink


class RedisCache:
    """Entries under `prefix`. An unreachable server costs a caller next to nothing: see `RedisLink`."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        max_value_bytes: int = 1024 * 1024,
        prefix: str = "sixfold:cache:",
    ) -> None:
        self._link = RedisLink(url, timeout=timeout)
        self._max_value_bytes = max_value_bytes
        self._prefix = prefix

    async def get(self, key: str) -> bytes | None:
        name = self._prefix + check_key(key)
        try:
            value = await self._link.call(lambda client: client.get(name))
        except RedisAway:
            raise CacheUnavailable from None
        return value if isinstance(value, bytes) else None

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        name = self._prefix + check_key(key)
        milliseconds = max(1, round(check_ttl(ttl) * 1000))
        if len(value) > self._max_value_bytes:
            await self.delete(key)
            return
        try:
            await self._link.call(lambda client: client.set(name, value, px=milliseconds))
        except RedisAway:
            raise CacheUnavailable from None

    async def delete(self, *keys: str) -> int:
        if not keys:
            return 0
        names = [self._prefix + check_key(key) for key in keys]
        try:
            # UNLINK frees large values outside the server's main thread.
            return int(await self._link.call(lambda client: client.unlink(*names)))
        except RedisAway:
            raise CacheUnavailable from None

    async def ping(self) -> None:
        try:
            await self._link.call(lambda client: client.ping())
        except RedisAway:
            raise CacheUnavailable from None

    async def close(self) -> None:
        await self._link.close()
