"""Writes files into one store's index, those that wait together in one go: each go waits for the disk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from retrieval_service.documents.passage import Passage
from retrieval_service.search.ports import Vectors
from servicekit.errors import SixfoldError

Files = Mapping[str, tuple[Sequence[Passage], Vectors]]
"""Passages and their vectors by attachment."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    attachment: str
    passages: Sequence[Passage]
    vectors: Vectors
    done: asyncio.Future[None]


class Writer:
    """One go at a time; what comes meanwhile is the next."""

    def __init__(self, write: Callable[[Files], Awaitable[None]], *, max_passages: int = 20_000) -> None:
        """A go takes files until they have `max_passages` together, and one at least."""
        self._write = write
        self._max_passages = max_passages
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def put(self, attachment: str, passages: Sequence[Passage], vectors: Vectors) -> None:
        """Durable when it returns. A caller that is cancelled waits for a go that has begun with its file."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        mine = _Waiting(attachment, passages, vectors, done)
        self._waiting.append(mine)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="index writer")
        try:
            await asyncio.shield(done)
        except asyncio.CancelledError:
            if mine in self._waiting:
                self._waiting.remove(mine)
                done.cancel()
            while not done.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait((done,))
            if not done.cancelled():
                done.exception()
            raise

    async def _run(self) -> None:
        while self._waiting:
            some = self._take()
            try:
                await self._write({each.attachment: (each.passages, each.vectors) for each in some})
            except SixfoldError as error:  # an outage, everybody's
                _fail(some, error)
            except Exception as error:
                if len(some) == 1:
                    _fail(some, error)
                else:  # one of them may be to blame: nobody else's tries are used up for it
                    await self._one_by_one(some)
            else:
                _succeed(some)

    async def _one_by_one(self, some: Sequence[_Waiting]) -> None:
        for each in some:
            try:
                await self._write({each.attachment: (each.passages, each.vectors)})
            except Exception as error:
                _fail([each], error)
            else:
                _succeed([each])

    def _take(self) -> list[_Waiting]:
        some = [self._waiting.pop(0)]
        passages = len(some[0].passages)
        while self._waiting and passages + len(self._waiting[0].passages) <= self._max_passages:
            some.append(self._waiting.pop(0))
            passages += len(some[-1].passages)
        return some


def _succeed(some: Sequence[_Waiting]) -> None:
    for each in some:
        if not each.done.done():
            each.done.set_result(None)


def _fail(some: Sequence[_Waiting], error: Exception) -> None:
    for each in some:
        if not each.done.done():
            each.done.set_exception(error)
