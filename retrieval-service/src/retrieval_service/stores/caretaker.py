"""What is done behind the scenes: forget what was removed, end what has expired, mend what is lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from retrieval_service.stores.opened import OpenStores
from retrieval_service.stores.records import Records, Upkeep
from retrieval_service.stores.types import DAY_US, Store
from servicekit.errors import SixfoldError
from servicekit.logs import get_logger

_log = get_logger(__name__)
_SLICE = 500


@dataclass(frozen=True, slots=True)
class Rounds:
    """How often, in seconds, and how much."""

    sweep: float = 5.0
    """Between two looks for what an index may forget; a removal is swept at once."""
    flush: float = 10.0
    """Until a search is recorded as its store's last activity."""
    slow: float = 600.0
    """Between two looks for expired stores and old answers."""
    keep_expired_days: float = 7.0
    """An expired store can still be looked at for so long; then it is deleted."""
    pause: float = 0.02
    """Between two stores when all of them are looked through."""


@dataclass(frozen=True, slots=True)
class Watcher:
    """Whom the caretaker tells, for metrics."""

    swept: Callable[[int], None] = lambda files: None
    repaired: Callable[[str, int], None] = lambda kind, files: None
    waiting: Callable[[int], None] = lambda files: None


class Caretaker:
    """Started once. One round at a time; a round that fails is tried again."""

    def __init__(
        self,
        records: Records,
        upkeep: Upkeep,
        opened: OpenStores,
        rounds: Rounds,
        *,
        requeued: Callable[[], None] = lambda: None,
        watcher: Watcher = Watcher(),
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        """`requeued` is called when files are to be indexed again."""
        self._records = records
        self._upkeep = upkeep
        self._opened = opened
        self._rounds = rounds
        self._requeued = requeued
        self._watcher = watcher
        self._clock = clock
        self._woken = asyncio.Event()
        self._active: dict[tuple[str, str], int] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins to work, in tasks of the running loop."""
        self._tasks = [
            asyncio.create_task(self._each(self._sweep_round, self._rounds.sweep), name="sweep"),
            asyncio.create_task(self._each(self.flush, self._rounds.flush), name="flush"),
            asyncio.create_task(self._each(self._slow_round, self._rounds.slow), name="expiry"),
            asyncio.create_task(self._until_done(self.look_through), name="look through"),
        ]

    def wake(self) -> None:
        """Something was removed."""
        self._woken.set()

    def used(self, store: Store) -> None:
        """A store was searched. Costs nothing: it is written down later."""
        self._active[store.tenant, store.id] = store.last_active_us

    async def close(self) -> None:
        """Writes down what is known, and stops."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        with contextlib.suppress(SixfoldError):
            await self.flush()

    async def flush(self) -> None:
        """Records when stores were last searched."""
        active, self._active = self._active, {}
        for number, ((tenant, store_id), last) in enumerate(active.items()):
            try:
                await self._records.touch(tenant, store_id, last)
            except SixfoldError:
                rest = dict(list(active.items())[number:])
                self._active = rest | self._active
                raise

    async def sweep(self) -> None:
        """Takes out of the indexes what nobody answers from any more.

        What one store fails with is raised when the others had their turn; so in `purge` and `look_through`.
        """
        while found := await self._upkeep.garbage(_SLICE):
            by_store: dict[tuple[str, str], list[str]] = {}
            for tenant, store_id, index_id in found:
                by_store.setdefault((tenant, store_id), []).append(index_id)
            troubles = _Troubles()
            for (tenant, store_id), names in by_store.items():
                with troubles.kept():
                    async with self._opened.use(tenant, store_id) as opened:
                        await opened.call(opened.arms.index.remove, names)
                        opened.table.swept(names)
                    await self._upkeep.cleaned(tenant, store_id, names)
                    self._watcher.swept(len(names))
            troubles.tell()

    async def purge(self) -> None:
        """Ends deleted stores: files with their events, then the index, then the last row."""
        troubles = _Troubles()
        for tenant, store_id in await self._upkeep.deleted(_SLICE):
            with troubles.kept():
                while not await self._upkeep.purge(tenant, store_id, _SLICE):
                    pass
                await self._opened.drop(tenant, store_id)
                await self._upkeep.forget(tenant, store_id)
        troubles.tell()

    async def expire(self) -> None:
        """Deletes stores that expired long ago."""
        before = self._clock() - int(self._rounds.keep_expired_days * DAY_US)
        while len(found := await self._upkeep.expire(before, _SLICE)):
            for tenant, store_id in found:
                opened = self._opened.peek(tenant, store_id)
                if opened is not None:
                    opened.forget()
            self.wake()

    async def look_through(self) -> None:
        """Compares every index with the records once: orphans go, what is missing is indexed again."""
        after: tuple[str, str] | None = None
        troubles = _Troubles()
        while page := await self._upkeep.stores(after, _SLICE):
            for store in page:
                with troubles.kept():
                    try:
                        await self.mend(store.tenant, store.id)
                    except SixfoldError as error:
                        if error.status.retryable:
                            raise
                await asyncio.sleep(self._rounds.pause)
            after = (page[-1].tenant, page[-1].id)
        troubles.tell()

    async def mend(self, tenant: str, store_id: str) -> None:
        """One store."""
        async with self._opened.use(tenant, store_id) as opened:
            # The arms first: what is written to them later is not taken for an orphan.
            words = await opened.call(opened.arms.lexical.attachments)
            vectors = await opened.call(opened.arms.vectors.attachments)
            known = await self._upkeep.indexed(tenant, store_id)
            if known is None:
                return
            orphans = (words | vectors) - known.complete - known.pending
            if orphans:
                await opened.call(opened.arms.index.remove, orphans)
                self._watcher.repaired("orphan", len(orphans))
            if not known.complete - (words & vectors):
                return
            words = await opened.call(opened.arms.lexical.attachments)
            vectors = await opened.call(opened.arms.vectors.attachments)
            missing = known.complete - (words & vectors)
            if missing:
                async with self._opened.lock(tenant, store_id):
                    again = await self._upkeep.requeue(tenant, store_id, missing)
                    opened.table.swap((), again)
                _log.warning("files are missing in an index and are indexed again", files=len(again))
                self._watcher.repaired("missing", len(again))
                self._requeued()

    async def _sweep_round(self) -> None:
        troubles = _Troubles()
        for work in (self.purge, self.sweep, self._opened.close_idle):
            with troubles.kept():
                await work()
        troubles.tell()
        self._watcher.waiting(await self._upkeep.waiting())

    async def _slow_round(self) -> None:
        await self.expire()
        await self._upkeep.trim()

    async def _each(self, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        woken = work == self._sweep_round
        troubles = 0
        while True:
            if woken:
                self._woken.clear()
            troubles = 0 if await self._attempt(work, troubles) else troubles + 1
            pause = seconds * min(2 ** max(0, troubles - 1), 16)
            if not woken or troubles:
                await asyncio.sleep(pause)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    async def _until_done(self, work: Callable[[], Awaitable[None]]) -> None:
        troubles = 0
        while not await self._attempt(work, troubles):
            troubles += 1
            await asyncio.sleep(min(60.0, 2.0**troubles))

    async def _attempt(self, work: Callable[[], Awaitable[None]], troubles: int) -> bool:
        try:
            await work()
        except Exception as error:  # whatever it is, the next round tries again
            if not troubles:
                known = isinstance(error, SixfoldError)
                _log.warning(
                    "upkeep fails, and tries again",
                    work=getattr(work, "__name__", ""),
                    exc_info=None if known else error,
                )
            return False
        return True


class _Troubles:
    """What stores failed with, for when the others had their turn."""

    def __init__(self) -> None:
        self._first: SixfoldError | None = None

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Around the work on one."""
        try:
            yield
        except SixfoldError as error:
            self._first = self._first or error

    def tell(self) -> None:
        """Raises the first, if there was one: the round is to be tried again."""
        if self._first is not None:
            raise self._first
