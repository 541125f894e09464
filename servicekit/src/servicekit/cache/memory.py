"""A cache in this process: least recently used entries go first, and the bytes never exceed the bound."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from servicekit.cache.base import check_key, check_ttl

ENTRY_BYTES = 300
"""What one entry costs beside its key and value: dictionary slot, links, tuple, object headers."""


class _Entry(NamedTuple):
    value: bytes
    expires: float
    size: int


class MemoryCache:
    """`max_bytes` counts keys, values and a fixed cost an entry, so that tiny entries are bounded too."""

    def __init__(
        self,
        *,
        max_bytes: int,
        max_value_bytes: int = 1024 * 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_bytes < 0:
            raise ValueError("max_bytes is 0 or more")
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._max_bytes = max_bytes
        self._max_value_bytes = max_value_bytes
        self._clock = clock
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: str) -> bytes | None:
        entry = self._entries.get(check_key(key))
        if entry is None:
            return None
        if entry.expires <= self._clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.value

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        expires = self._clock() + check_ttl(ttl)
        self._drop(check_key(key))
        size = len(value) + len(key.encode()) + ENTRY_BYTES
        if len(value) > self._max_value_bytes or size > self._max_bytes:
            return
        self._make_room(size)
        self._entries[key] = _Entry(bytes(value), expires, size)
        self.bytes += size

    async def delete(self, *keys: str) -> int:
        now = self._clock()
        return sum(1 for key in keys if (entry := self._drop(check_key(key))) and entry.expires > now)

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        self._entries.clear()
        self.bytes = 0

    def _make_room(self, size: int) -> None:
        """Drop the oldest until `size` fits, and expired ones at the old end even when there is room."""
        now = self._clock()
        while self._entries:
            key, oldest = next(iter(self._entries.items()))
            if self.bytes + size <= self._max_bytes and oldest.expires > now:
                return
            self._drop(key)

    def _drop(self, key: str) -> _Entry | None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry.size
        return entry
