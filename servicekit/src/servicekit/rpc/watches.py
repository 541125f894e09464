"""Streams that never end by themselves: they end when the service begins to drain."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from servicekit.lifecycle import Lifecycle


class Watches:
    """The open ones of a server. A caller whose stream ended asks again, and finds the next process."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._open: set[asyncio.Timeout] = set()
        lifecycle.listen(self._changed)

    @contextlib.asynccontextmanager
    async def until_drain(self) -> AsyncIterator[None]:
        """Ends its body, wherever it waits, once the service drains; the stream then ends well."""
        timer = asyncio.timeout(0 if self._lifecycle.draining else None)
        try:
            async with timer:
                self._open.add(timer)
                yield
        except TimeoutError:
            if not timer.expired():  # the body's own
                raise
        finally:
            self._open.discard(timer)

    def _changed(self) -> None:
        if self._lifecycle.draining:
            now = asyncio.get_running_loop().time()
            for timer in self._open:
                timer.reschedule(now)
