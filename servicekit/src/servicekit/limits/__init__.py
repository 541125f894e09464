"""Limits by URL: `memory://` for one process, `redis://` or `rediss://` exact over many.

A rate is a bucket that holds `limit` and refills evenly, `limit` every `per` seconds: a quiet caller
may spend the whole limit at once, and over any stretch of `t` seconds nobody gets more than
`limit + t * limit / per`, not by one. A concurrency limit hands out leases.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from servicekit.limits.base import (
    CONCURRENCY,
    Concurrency,
    Decision,
    Limiter,
    LimiterUnavailable,
    Rate,
)
from servicekit.limits.memory import MemoryLimiter

__all__ = [
    "CONCURRENCY",
    "Concurrency",
    "Decision",
    "Limiter",
    "LimiterUnavailable",
    "MemoryLimiter",
    "Rate",
    "open_limiter",
]


def open_limiter(
    url: str, *, timeout: float = 0.25, processes: int = 1, prefix: str = "sixfold:limits:"
) -> Limiter:
    """The limiter that `url` names. Connects at the first use, so this neither waits nor fails.

    While Redis is away each process limits by itself, to its share of every limit: `processes` says
    how many share one. See `servicekit.limits.fallback`.
    """
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        return MemoryLimiter()
    if scheme in ("redis", "rediss"):
        from servicekit.limits.fallback import FallbackLimiter
        from servicekit.limits.redis import RedisLimiter  # the client's import costs memory: only when used

        return FallbackLimiter(RedisLimiter(url, timeout=timeout, prefix=prefix), processes=processes)
    raise ValueError(f"no limiter for the scheme {scheme!r}: use memory://, redis:// or rediss://")
