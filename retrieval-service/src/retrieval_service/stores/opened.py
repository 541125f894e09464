"""Stores that are open: their index, their live table. Opened when used, closed when idle.

A store's lock makes a change of the records and the change of its table one step for those who open it or
add to it. Who only takes something out applies that under the lock after the records have it: whatever
was added before is then taken out, and nothing is added later that the records no longer know.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

from retrieval_service.search.fusion import DEFAULT_WEIGHT, Weights
from retrieval_service.search.index import StoreIndex
from retrieval_service.search.ports import IndexDamaged, LexicalArm, VectorArm
from retrieval_service.stores.live import LiveTable
from retrieval_service.stores.records import Indexed, Records, Upkeep
from retrieval_service.stores.types import Store
from retrieval_service.stores.writer import Writer
from servicekit.errors import Reason, SixfoldError
from servicekit.logs import get_logger

_GARBAGE = 10_000
_log = get_logger(__name__)
T = TypeVar("T")
Key = tuple[str, str]
"""Tenant and store."""


@dataclass(frozen=True, slots=True)
class Arms:
    """One store's index, and the two arms that it is made of."""

    index: StoreIndex
    lexical: LexicalArm
    vectors: VectorArm


class Indexes(Protocol):
    """Where the indexes of stores are. Methods block."""

    def open(self, store: Store) -> Arms:
        """Makes what is not there. Raises IndexDamaged for one that cannot be read."""
        ...

    def drop(self, tenant: str, store_id: str) -> None:
        """Deletes a store's index, folder and all. One that is not there is fine."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one call of an index may take, and what happens to one that does not come back."""

    seconds: float = 600.0
    stuck: Callable[[str], object] = lambda what: None


class OpenStore:
    """A store in use."""

    def __init__(
        self, store: Store, arms: Arms, table: LiveTable, executor: Executor, patience: Patience
    ) -> None:
        self._patience = patience
        self.store = store
        self.arms = arms
        self.table = table
        self.deleted = False
        self.damaged = False
        """Closed as soon as nobody uses it, and then made anew."""
        self.users = 0
        self.used_at = time.monotonic()
        self._executor = executor
        self.writer = Writer(lambda files: self.call(self.arms.index.put_many, files))

    def renew(self, store: Store) -> None:
        """The store was changed."""
        self.store = store
        self.arms.index.weights = weights_of(store)

    def forget(self) -> None:
        """It was deleted: whoever still searches it finds nothing, and nobody begins to."""
        self.deleted = True
        self.table = LiveTable()

    async def call(self, work: Callable[..., T], *args: object) -> T:
        """Runs a blocking method of the index in a thread.

        The thread cannot be stopped: a caller that is cancelled still waits for its end, because the store
        must not be closed under it.
        """
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._executor, partial(work, *args))
        overdue = loop.call_later(
            self._patience.seconds, self._patience.stuck, getattr(work, "__name__", "index")
        )
        future.add_done_callback(lambda _: overdue.cancel())
        try:
            return await asyncio.shield(future)
        except IndexDamaged as error:
            self.damaged = True
            raise _being_mended() from error
        except asyncio.CancelledError:
            await _ended(future)
            raise


class OpenStores:
    """At most `max_open` at a time; one that nobody used for `idle_seconds` is closed."""

    def __init__(
        self,
        records: Records,
        upkeep: Upkeep,
        indexes: Indexes,
        executor: Executor,
        *,
        max_open: int,
        idle_seconds: float,
        requeued: Callable[[], None] = lambda: None,
        patience: Patience = Patience(),
    ) -> None:
        """`requeued` is called when files are to be indexed again."""
        self._requeued = requeued
        self._patience = patience
        self._records = records
        self._upkeep = upkeep
        self._indexes = indexes
        self._executor = executor
        self._max_open = max_open
        self._idle_seconds = idle_seconds
        self._open: OrderedDict[Key, OpenStore] = OrderedDict()
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._damaged: set[Key] = set()
        """Stores that turned out to be damaged while they were open."""
        self._closed = False

    def __len__(self) -> int:
        return len(self._open)

    def lock(self, tenant: str, store_id: str) -> asyncio.Lock:
        """See the module."""
        key = (tenant, store_id)
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock

    def peek(self, tenant: str, store_id: str) -> OpenStore | None:
        """The store, if it is open."""
        return self._open.get((tenant, store_id))

    @contextlib.asynccontextmanager
    async def use(self, tenant: str, store_id: str) -> AsyncIterator[OpenStore]:
        """Keeps the store open while the block runs.

        Raises NOT_FOUND, QUEUE_FULL when too many stores are in use, SERVICE_UNAVAILABLE.
        """
        opened = self._open.get((tenant, store_id))
        if opened is None:
            opened = await self._enter(tenant, store_id)
        elif opened.deleted:
            raise no_store()
        elif opened.damaged:
            raise _being_mended()
        else:
            opened.users += 1
        self._open.move_to_end((tenant, store_id))
        try:
            yield opened
        finally:
            opened.users -= 1
            opened.used_at = time.monotonic()
            if opened.damaged and not opened.users:
                async with self.lock(tenant, store_id):
                    if not opened.users:
                        await self._close(tenant, store_id)

    async def drop(self, tenant: str, store_id: str) -> None:
        """Closes a deleted store for good and deletes its index."""
        async with self.lock(tenant, store_id):
            opened = self._open.get((tenant, store_id))
            if opened is not None:
                opened.forget()
                if opened.users:
                    raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "The store is still in use.")
                await self._close(tenant, store_id)
            await self._in_thread(self._indexes.drop, tenant, store_id)

    async def close_idle(self) -> None:
        """Called now and then."""
        now = time.monotonic()
        for (tenant, store_id), opened in list(self._open.items()):
            if not opened.users and now - opened.used_at > self._idle_seconds:
                async with self.lock(tenant, store_id):
                    if not opened.users:
                        await self._close(tenant, store_id)

    async def close(self) -> None:
        """All of them; none opens afterwards."""
        self._closed = True
        for tenant, store_id in list(self._open):
            async with self.lock(tenant, store_id):
                await self._close(tenant, store_id)

    async def _enter(self, tenant: str, store_id: str) -> OpenStore:
        async with self.lock(tenant, store_id):
            opened = self._open.get((tenant, store_id))
            if opened is None:
                view = await self._records.store(tenant, store_id)
                if view is None:
                    raise no_store()
                await self._make_room()
                opened = await self._load(view.store)
                self._open[tenant, store_id] = opened
            opened.users += 1
            return opened

    async def _load(self, store: Store) -> OpenStore:
        if self._closed:
            raise SixfoldError(Reason.DRAINING, "The service is about to stop; another one answers.")
        key = (store.tenant, store.id)
        known: Indexed | None = None
        try:
            if key in self._damaged:
                raise IndexDamaged
            arms = await self._open_index(store)
        except IndexDamaged:
            self._damaged.add(key)  # until its files wait again, whatever happens on the way
            _log.error("the index of a store is damaged and is made anew", store=store.id)
            known = await self._upkeep.indexed(store.tenant, store.id)
            await self._in_thread(self._indexes.drop, store.tenant, store.id)
            arms = await self._open_index(store)
        try:
            if known is not None and known.complete:
                await self._upkeep.requeue(store.tenant, store.id, known.complete)
                self._requeued()
            self._damaged.discard(key)
            live = await self._records.live(store.tenant, store.id)
            hidden = await self._upkeep.garbage(_GARBAGE, store_id=store.id)
        except BaseException:  # what stays open is locked, and opens for nobody else
            await self._in_thread(arms.index.close)
            raise
        return OpenStore(
            store, arms, LiveTable(live, [row[2] for row in hidden]), self._executor, self._patience
        )

    async def _open_index(self, store: Store) -> Arms:
        """A caller that is cancelled leaves nothing open."""
        opening = asyncio.ensure_future(self._in_thread(self._indexes.open, store))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            await _ended(opening)
            if not opening.cancelled() and opening.exception() is None:
                await self._in_thread(opening.result().index.close)
            raise

    async def _make_room(self) -> None:
        for (tenant, store_id), opened in list(self._open.items()):
            if len(self._open) < self._max_open:
                return
            lock = self.lock(tenant, store_id)
            if opened.users or lock.locked():
                continue
            async with lock:
                if not opened.users:
                    await self._close(tenant, store_id)
        if len(self._open) >= self._max_open:
            raise SixfoldError(Reason.QUEUE_FULL, "Too many stores are in use at once.", retry_after=1.0)

    async def _close(self, tenant: str, store_id: str) -> None:
        """Under its lock, when nobody uses it."""
        opened = self._open.pop((tenant, store_id), None)
        if opened is None:
            return
        if opened.damaged:
            self._damaged.add((tenant, store_id))
        try:
            await self._in_thread(opened.arms.index.close)
        except Exception as error:  # it is put aside anyway
            _log.warning("a store did not close well", error=type(error).__name__)

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._executor, partial(work, *args))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await _ended(future)
            raise


async def _ended(future: asyncio.Future[T]) -> None:
    """Waits for the end of what cannot be stopped, even in a caller that is cancelled again."""
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait((future,))
    if not future.cancelled():
        future.exception()


def weights_of(store: Store) -> Weights:
    """Those that it was tuned to, or the platform's."""
    if not store.weights:
        return Weights()
    named = {language: weight for language, weight in store.weights.items() if language}
    return Weights(store.weights.get("", DEFAULT_WEIGHT), named)


def _being_mended() -> SixfoldError:
    return SixfoldError(
        Reason.SERVICE_UNAVAILABLE, "The store's index is damaged and is made anew.", retry_after=1.0
    )


def no_store() -> SixfoldError:
    """It does not exist, or is another tenant's: nobody learns which."""
    return SixfoldError(Reason.NOT_FOUND, "There is no such store.", param="store_id")
