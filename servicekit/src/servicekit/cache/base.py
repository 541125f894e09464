"""What every cache promises."""

from __future__ import annotations

from typing import Protocol

from servicekit.errors import Reason, SixfoldError

MAX_KEY_BYTES = 1024


class CacheUnavailable(SixfoldError):
    """The cache cannot be asked now. Callers go on without it."""

    def __init__(self) -> None:
        super().__init__(Reason.SERVICE_UNAVAILABLE, "The cache cannot be reached.")


class Cache(Protocol):
    """Bytes by key, for a while. Every method may raise `CacheUnavailable`."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None when it was never set, has expired or was forgotten."""

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        """Keep `value` for `ttl` seconds (over 0). One that is too large
        is not kept, and neither is what was there."""

    async def delete(self, *keys: str) -> int:
        """Forget these keys; says how many were there."""

    async def ping(self) -> None:
        """Return when the cache answers."""

    async def close(self) -> None:
        """Let go of connections. Calling it twice is fine."""


def check_key(key: str) -> str:
    """The key itself, or ValueError: an empty or endless key is a mistake of the calling code."""
    if not key or len(key.encode()) > MAX_KEY_BYTES:
        raise ValueError(f"a cache key has 1 to {MAX_KEY_BYTES} bytes")
    return key


def check_ttl(ttl: float) -> float:
    """The time to live itself, or ValueError: an entry that never expires is a leak."""
    if not 0 < ttl <= 366 * 86400:
        raise ValueError("a cache entry lives more than 0 seconds and at most a year")
    return ttl
