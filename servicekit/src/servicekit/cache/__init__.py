"""A cache by URL: `memory://` in this process, `redis://` or `rediss://` (TLS) between processes.

Every entry has a time to live and a size limit; a cache may forget anything at any time. Keys are
opaque and go in as they are: a caller that caches for a tenant puts the tenant into the key.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from servicekit.cache.base import Cache, CacheUnavailable
from servicekit.cache.memory import MemoryCache

__all__ = ["Cache", "CacheUnavailable", "MemoryCache", "open_cache"]


def open_cache(
    url: str,
    *,
    max_bytes: int = 64 * 1024 * 1024,
    timeout: float = 0.25,
    max_value_bytes: int = 1024 * 1024,
    prefix: str = "sixfold:cache:",
) -> Cache:
    """The cache that `url` names. Connects at the first use, so this neither waits nor fails.

    `max_bytes` bounds `memory://`; a Redis server is bounded by its own `maxmemory`. No call takes
    longer than `timeout` seconds. A value over `max_value_bytes` is not kept. `prefix` sets the
    entries of one application apart from what else lives in the same Redis.
    """
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        return MemoryCache(max_bytes=max_bytes, max_value_bytes=max_value_bytes)
    if scheme in ("redis", "rediss"):
        from servicekit.cache.redis import RedisCache  # the client's import costs memory: only when used

        return RedisCache(url, timeout=timeout, max_value_bytes=max_value_bytes, prefix=prefix)
    raise ValueError(f"no cache for the scheme {scheme!r}: use memory://, redis:// or rediss://")
