"""A bounded number of requests at once, a bounded number waiting, and a truthful word to the rest."""

from __future__ import annotations

import asyncio
import math
from collections import deque

from model_service.engines.types import Load
from servicekit.errors import Reason, SixfoldError

_WEIGHT = 0.2  # of the latest request in the running mean of how long one takes
_UNKNOWN = 1.0  # seconds to come back in before any request has ended


class Slots:
    """First come, first served. Used on one event loop."""

    def __init__(self, running: int, waiting: int) -> None:
        self._capacity = running
        self._room = waiting
        self._running = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._mean = 0.0

    async def take(self, seconds: float) -> None:
        """Wait for a slot, `seconds` at most. Raises QUEUE_FULL at once, DEADLINE_EXCEEDED later."""
        if self._running < self._capacity:
            self._running += 1
            return
        if len(self._queue) >= self._room:
            raise SixfoldError(
                Reason.QUEUE_FULL, "The model's queue is full.", retry_after=self._until_free()
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout(seconds):  # wait_for loses a cancellation that meets its result
                await turn
        except TimeoutError:
            self._leave(turn)
            raise SixfoldError(
                Reason.DEADLINE_EXCEEDED, "The deadline passed while the request waited its turn."
            ) from None
        except asyncio.CancelledError:
            self._leave(turn)
            raise

    def give(self, seconds: float | None) -> None:
        """Free a slot that was held for `seconds`, or hand it on; None keeps it out of the mean."""
        if seconds is not None:
            self._mean = seconds if not self._mean else self._mean + _WEIGHT * (seconds - self._mean)
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._running -= 1

    def load(self) -> Load:
        return Load(running=self._running, waiting=len(self._queue), capacity=self._capacity)

    def _leave(self, turn: asyncio.Future[None]) -> None:
        if turn.done() and not turn.cancelled():
            self.give(None)  # the slot came at the moment of leaving
        elif turn in self._queue:
            self._queue.remove(turn)

    def _until_free(self) -> float:
        """Seconds until this request would have found room, rounded up to tenths."""
        turns = (len(self._queue) + 1) / self._capacity
        return math.ceil(10 * min(max(self._mean * turns, 0.1), 60)) / 10 if self._mean else _UNKNOWN
