"""The exact cache: the same question of the same tenant to the same model version.

Only complete answers are kept. A cache that cannot be reached is passed by: it never fails a request.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import orjson

from gateway import metrics
from gateway.config.file import CacheConfig
from gateway.routing.ports import Card
from servicekit.cache import Cache, CacheUnavailable

_SHAPE = "1"
"""Part of every key; raised when the kept form changes."""
_HOW_SENT = frozenset({"model", "stream", "stream_options"})
"""Fields that do not change the answer; the model is in the key by its own name and version."""

Use = Literal["bypass", "write", "both"]


def use_of(config: CacheConfig, *, deterministic: bool, cache_control: bytes | None) -> Use:
    """What the cache may do for a request: nothing, keep the new answer only, or also give a kept one."""
    if not config.enabled or not (deterministic or config.every):
        return "bypass"
    if cache_control:
        wishes = cache_control.lower()
        if b"no-store" in wishes:
            return "bypass"
        if b"no-cache" in wishes or b"max-age=0" in wishes:
            return "write"
    return "both"


def key_of(tenant: str, card: Card, operation: str, body: Mapping[str, Any], extra: bytes) -> str:
    """SHA-256 over tenant, model, version and the request, nulls left out.

    `extra`, the unknown fields byte for byte, is there because decoding may have rounded their numbers.
    """
    asked = {name: value for name, value in body.items() if value is not None and name not in _HOW_SENT}
    text = orjson.dumps(
        [_SHAPE, tenant, card.name, card.version, operation, asked, extra.decode()],
        option=orjson.OPT_SORT_KEYS,
    )
    return hashlib.sha256(text).hexdigest()


class ExactCache:
    """Kept answers, and the answers being made that others may wait for."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._running: dict[str, asyncio.Future[dict[str, Any] | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, key: str) -> dict[str, Any] | None:
        """A kept answer."""
        try:
            kept = await self._cache.get(key)
        except CacheUnavailable:
            metrics.CACHE_ERRORS.inc()
            return None
        if kept is None:
            return None
        try:
            record: dict[str, Any] = orjson.loads(kept)
        except orjson.JSONDecodeError:
            return None
        return record

    def keep(self, key: str, record: dict[str, Any], config: CacheConfig) -> None:
        """Keeps a complete answer, in the background; one that is too large is not kept."""
        value = orjson.dumps(record)
        if len(value) <= config.max_entry_bytes and len(self._tasks) < 1024:
            task = asyncio.get_running_loop().create_task(self._set(key, value, config.ttl))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _set(self, key: str, value: bytes, ttl: float) -> None:
        try:
            await self._cache.set(key, value, ttl)
        except CacheUnavailable:
            metrics.CACHE_ERRORS.inc()

    def lead(self, key: str) -> bool:
        """Whether the caller is the first in this worker to make this answer; it must then call `led`."""
        if key in self._running:
            return False
        self._running[key] = asyncio.get_running_loop().create_future()
        return True

    def led(self, key: str, record: dict[str, Any] | None) -> None:
        """Gives the answer to those who wait for it; None sends each its own way."""
        waiting = self._running.pop(key, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(record)

    async def join(self, key: str, seconds: float) -> dict[str, Any] | None:
        """Waits for an answer that another request is making; None if it does not come."""
        waiting = self._running.get(key)
        if waiting is None:
            return None
        done, _ = await asyncio.wait((waiting,), timeout=seconds)
        return waiting.result() if done else None

    async def close(self) -> None:
        """Lets pending writes end, briefly."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)
        await self._cache.close()
