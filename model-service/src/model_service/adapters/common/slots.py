"""Who may run, who waits, who is refused, and for how long: the bounded queue before an engine."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from model_service.engines.types import Load
from servicekit.errors import Reason, SixfoldError

_FIRST_GUESS = 1.0  # seconds a request holds its slot, before any was measured
_LONGEST_WAIT = 60.0
_SMOOTHING = 0.2


class Place:
    """A request's place: first in the queue, then in the engine."""

    __slots__ = ("since", "turn", "weight")

    def __init__(self, weight: int, turn: asyncio.Future[None]) -> None:
        self.weight = weight
        self.turn = turn
        self.since = 0.0


class Slots:
    """`capacity` answers at once, `max_waiting` requests in line, first come first served.

    Used on one event loop. No request may weigh more than `capacity`.
    """

    def __init__(self, capacity: int, max_waiting: int) -> None:
        self._capacity = capacity
        self._running = 0
        self._max_waiting = max_waiting
        self._line: deque[Place] = deque()
        self._held: float | None = None
        self._promised = 0

    @asynccontextmanager
    async def hold(self, seconds: float) -> AsyncIterator[None]:
        """A slot for the length of a block, waited for `seconds` at most.

        Raises QUEUE_FULL at once, DEADLINE_EXCEEDED later.
        """
        place, whole = self.enter(), False
        try:
            try:
                async with asyncio.timeout(seconds):  # wait_for loses a cancellation that meets its result
                    await place.turn
            except TimeoutError:
                raise SixfoldError(
                    Reason.DEADLINE_EXCEEDED, "The deadline passed while the request waited its turn."
                ) from None
            yield
            whole = True
        finally:
            self.leave(place, measure=whole)

    def enter(self, weight: int = 1) -> Place:
        """Take a place; its `turn` is done when the request may start.

        Raises SixfoldError(QUEUE_FULL) with the seconds after which a place should be free.
        """
        place = Place(weight, asyncio.get_running_loop().create_future())
        if not self._line and self._running + weight <= self._capacity:
            self._admit(place)
        elif len(self._line) < self._max_waiting:
            self._line.append(place)
        else:
            self._promised += 1
            raise SixfoldError(
                Reason.QUEUE_FULL,
                "The model's queue is full.",
                retry_after=self._retry_after(),
                metadata={"running": str(self._running), "waiting": str(len(self._line))},
            )
        return place

    def leave(self, place: Place, *, measure: bool = True) -> None:
        """Give the place up, wherever it is, and let the next in line start.

        A request that failed says little about how long one takes: `measure` keeps it out of the mean.
        """
        if place.since:
            held = time.monotonic() - place.since
            if measure:
                self._held = held if self._held is None else self._held + _SMOOTHING * (held - self._held)
            self._promised = max(0, self._promised - 1)
            self._running -= place.weight
        else:
            self._line.remove(place)
        while self._line and self._running + self._line[0].weight <= self._capacity:
            self._admit(self._line.popleft())
        if not self._running:
            self._promised = 0

    def load(self, kv_usage: float = 0.0) -> Load:
        """Counted in answers where they run, in requests where they wait."""
        return Load(self._running, len(self._line), self._capacity, kv_usage)

    def _retry_after(self) -> float:
        """Seconds until as many places have come free as callers were told to come back.

        `capacity` slots, each held for the measured time, free one every held / capacity seconds.
        """
        held = _FIRST_GUESS if self._held is None else self._held
        return min(_LONGEST_WAIT, max(0.05, held / self._capacity * self._promised))

    def _admit(self, place: Place) -> None:
        self._running += place.weight
        place.since = time.monotonic()
        if not place.turn.done():
            place.turn.set_result(None)
