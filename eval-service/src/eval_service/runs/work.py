"""Works off a list with bounded concurrency, keeps what is done, stands still when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
D = TypeVar("D")


async def work_off(
    todo: Iterable[T],
    do: Callable[[T], Awaitable[D]],
    keep: Callable[[D], Awaitable[None]],
    *,
    parallel: int,
    stopped: Callable[[], bool],
    poll_seconds: float = 0.2,
) -> bool:
    """True when everything is done, False when it was stopped: then what ran was called off, unkept.

    `keep` is called for one after the other. The first exception of `do` ends all; what had been done by
    then is kept.
    """
    waiting = iter(todo)
    running: set[asyncio.Task[D]] = set()
    failure: BaseException | None = None
    empty = False
    try:
        while True:
            while not empty and failure is None and not stopped() and len(running) < parallel:
                try:
                    one = next(waiting)
                except StopIteration:
                    empty = True
                    break
                running.add(asyncio.ensure_future(do(one)))
            if not running:
                break
            done, running = await asyncio.wait(
                running, timeout=poll_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                if (error := task.exception()) is not None:
                    failure = failure or error
                else:
                    await keep(task.result())
            if stopped() or failure is not None:
                break
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    if failure is not None:
        raise failure
    return empty and not running
