"""Keeping responses, beside the answers: nobody waits for a database to be answered."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway import metrics
from gateway.responses.ports import Kept, ResponseStore
from servicekit.errors import Reason, SixfoldError
from servicekit.logs import get_logger

_log = get_logger("gateway.responses")
_TRIES = 5
_PAUSE = 0.5
_FRESH = 5.0
"""Seconds for which an id is so new that another worker may just be writing its record."""
_FRESH_LOOK = 0.1
_SWEEP_SECONDS, _SWEEP_ROWS = 600.0, 500
_FORGOTTEN = 4096
_CHAIN_ROWS = 8
"""Read at a time, so that a conversation that is too large is never in memory whole."""


@dataclass(frozen=True, slots=True)
class ResponseRules:
    """Bounds of what is kept; seconds, bytes and numbers."""

    ttl: float = 30 * 86400
    max_bytes: int = 4 * 1024 * 1024
    """Of one response with its input."""
    max_turns: int = 100
    """Responses that follow one another."""
    max_conversation: int = 32 * 1024 * 1024
    """Bytes of responses, with their inputs, that follow one another."""
    max_pending: int = 64 * 1024 * 1024
    """Bytes that wait to be written."""
    fresh_wait: float = 1.0
    """Seconds for which a record is waited for that another worker may just be writing."""


class Responses:
    """The responses of every tenant. Every method raises NOT_FOUND for what is not the tenant's."""

    def __init__(
        self,
        store: ResponseStore,
        rules: ResponseRules | None = None,
        *,
        key: bytes = b"",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`key` hides how ids follow from Idempotency-Keys."""
        self._store = store
        self._rules = rules or ResponseRules()
        self._key = key or secrets.token_bytes(32)
        self._clock = clock
        self._pending: dict[tuple[str, str], tuple[Kept, asyncio.Task[None]]] = {}
        self._waiting = 0
        self._room = asyncio.Event()
        self._deleted: OrderedDict[tuple[str, str], None] = OrderedDict()

    def new_id(self, tenant: str, idempotency_key: bytes | None) -> str:
        """The id of a new response: its time and chance, or what an Idempotency-Key always gives."""
        if idempotency_key is None:
            return f"resp_{int(self._clock()):08x}{secrets.token_hex(20)}"
        told = b"\0".join((tenant.encode(), idempotency_key))
        return f"resp_{hmac.new(self._key, told, hashlib.sha256).hexdigest()[:48]}"

    async def keep(
        self,
        tenant: str,
        response: dict[str, Any],
        items: Sequence[dict[str, Any]],
        *,
        previous: str,
        fingerprint: bytes = b"",
    ) -> None:
        """Writes a response in the background; waits only while too much is waiting already."""
        now = self._clock()
        kept = Kept(
            response["id"],
            tenant,
            now,
            now + self._rules.ttl,
            previous,
            fingerprint,
            orjson.dumps(response),
            orjson.dumps(items),
        )
        if kept.size > self._rules.max_bytes:
            metrics.RESPONSES.labels("too_large").inc()
            _log.warning("response not kept: larger than is kept", bytes=kept.size)
            return
        place = (tenant, kept.id)
        task = asyncio.get_running_loop().create_task(self._write(kept))
        self._pending[place] = kept, task
        self._waiting += kept.size

        def written(_: asyncio.Task[None]) -> None:
            self._pending.pop(place, None)
            self._waiting -= kept.size
            self._room.set()

        task.add_done_callback(written)
        while self._waiting > self._rules.max_pending:
            self._room.clear()
            await self._room.wait()

    async def _write(self, kept: Kept) -> None:
        for left in reversed(range(_TRIES)):
            try:
                await self._store.add(kept)
            except SixfoldError as error:
                if not left:
                    metrics.RESPONSES.labels("failed").inc()
                    _log.error("response not kept: the store is away", reason=error.reason.value)
                    return
                await asyncio.sleep(_PAUSE * (_TRIES - left))
            else:
                metrics.RESPONSES.labels("kept").inc()
                return

    async def get(self, tenant: str, response_id: str) -> Kept:
        """One response."""
        found = await self.find(tenant, response_id)
        if found is None:
            raise not_found(response_id)
        return found

    async def find(self, tenant: str, response_id: str) -> Kept | None:
        """One response, or None. One that another worker has just given is waited for."""
        place = (tenant, response_id)
        until = time.monotonic() + (self._rules.fresh_wait if self._is_fresh(place) else 0.0)
        while True:
            if (pending := self._pending.get(place)) is not None:
                return pending[0]
            found = await self._store.get(tenant, response_id, now=self._clock())
            if found is not None or time.monotonic() >= until:
                return found
            await asyncio.sleep(_FRESH_LOOK)

    async def conversation(self, tenant: str, response_id: str) -> list[dict[str, Any]]:
        """All that was said up to and with this response, as items, oldest first.

        Raises NOT_FOUND when it, or one that it follows, is not there any more, and INVALID_REQUEST when more
        follow one another than are read, or have more bytes.
        """
        await self.get(tenant, response_id)
        chain, whole = await self._chain(tenant, response_id)
        if not whole:
            if len(chain) >= self._rules.max_turns:
                raise SixfoldError(
                    Reason.INVALID_REQUEST,
                    f"More than {self._rules.max_turns} responses follow one another; send turns as input.",
                    param="previous_response_id",
                )
            raise not_found(chain[-1].previous)
        items: list[dict[str, Any]] = []
        for kept in reversed(chain):
            items += [*orjson.loads(kept.items), *orjson.loads(kept.body)["output"]]
        return items

    async def input_items(self, tenant: str, response_id: str) -> list[dict[str, Any]]:
        """The items that this response was made from, oldest first, as far as they are still kept."""
        kept = await self.get(tenant, response_id)
        items: list[dict[str, Any]] = []
        if kept.previous and await self.find(tenant, kept.previous) is not None:
            chain, _ = await self._chain(tenant, kept.previous)
            for earlier in reversed(chain):
                items += [*orjson.loads(earlier.items), *orjson.loads(earlier.body)["output"]]
        return [*items, *orjson.loads(kept.items)]

    async def page(
        self, tenant: str, *, after: str, limit: int, ascending: bool
    ) -> tuple[Sequence[Kept], bool]:
        """A page of the tenant's responses, and whether there are more behind it."""
        await self._written(tenant)
        found = await self._store.page(
            tenant, after=after, limit=limit + 1, ascending=ascending, now=self._clock()
        )
        return found[:limit], len(found) > limit

    async def delete(self, tenant: str, response_id: str) -> None:
        """Gone when it returns."""
        place = (tenant, response_id)
        await self.get(tenant, response_id)
        if (pending := self._pending.get(place)) is not None:
            await asyncio.wait((pending[1],))
        await self._store.delete(tenant, response_id)
        self._deleted[place] = None
        while len(self._deleted) > _FORGOTTEN:
            self._deleted.popitem(last=False)

    async def sweep(self) -> None:
        """Deletes what has expired, again and again until cancelled."""
        while True:
            try:
                gone = _SWEEP_ROWS
                while gone == _SWEEP_ROWS:
                    gone = await self._store.sweep(now=self._clock(), limit=_SWEEP_ROWS)
            except SixfoldError as error:
                _log.warning("expired responses not deleted", reason=error.reason.value)
            await asyncio.sleep(_SWEEP_SECONDS)

    async def close(self) -> None:
        """Lets what waits be written, briefly."""
        if self._pending:
            await asyncio.wait([task for _, task in self._pending.values()], timeout=5)

    async def _chain(self, tenant: str, response_id: str) -> tuple[list[Kept], bool]:
        """Newest first, and whether it reaches back to the first one."""
        chain: list[Kept] = []
        size = 0
        wanted, limit = response_id, self._rules.max_turns
        while wanted and len(chain) < limit:
            if (pending := self._pending.get((tenant, wanted))) is not None:
                found: Sequence[Kept] = (pending[0],)
            else:
                rows = min(_CHAIN_ROWS, limit - len(chain))
                found = await self._store.chain(tenant, wanted, limit=rows, now=self._clock())
                if not found:
                    break
            chain += found
            size += sum(kept.size for kept in found)
            if size > self._rules.max_conversation:
                most = self._rules.max_conversation
                raise SixfoldError(
                    Reason.INVALID_REQUEST,
                    f"The conversation has more than {most} bytes; send turns as input.",
                    param="previous_response_id",
                )
            wanted = chain[-1].previous
        return chain, not wanted

    async def _written(self, tenant: str) -> None:
        """Waits for the tenant's records that are on their way."""
        tasks = [task for (owner, _), (_, task) in self._pending.items() if owner == tenant]
        if tasks:
            await asyncio.wait(tasks, timeout=self._rules.fresh_wait)

    def _is_fresh(self, place: tuple[str, str]) -> bool:
        """Whether the id says that it was made only now, and it was not deleted here."""
        stamp = place[1].removeprefix("resp_")
        if place in self._deleted or len(stamp) != 48:
            return False
        try:
            age = self._clock() - int(stamp[:8], 16)
        except ValueError:
            return False
        return -1.0 <= age <= _FRESH


def not_found(response_id: str, param: str | None = None) -> SixfoldError:
    """It is not there, or not for this caller."""
    shown = response_id if len(response_id) <= 64 and response_id.isprintable() else "given"
    return SixfoldError(Reason.NOT_FOUND, f"Response with id '{shown}' not found.", param=param)
