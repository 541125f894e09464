"""Who may run, who waits, who is refused, and for how long: the bounded queue before the engine."""

from __future__ import annotations

import asyncio
import time
from collections import deque

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
    """`capacity` answers at once, `max_waiting` requests in line, first come first served."""

    def __init__(self, capacity: int, max_waiting: int) -> None:
        self.capacity = capacity
        self.running = 0
        self._max_waiting = max_waiting
        self._line: deque[Place] = deque()
        self._held = _FIRST_GUESS
        self._promised = 0

    @property
    def waiting(self) -> int:
        """Requests in line."""
        return len(self._line)

    def enter(self, weight: int = 1) -> Place:
        """Take a place; its `turn` is done when the request may start.

        Raises SixfoldError(QUEUE_FULL) with the seconds after which a place should be free.
        """
        place = Place(weight, asyncio.get_running_loop().create_future())
        if not self._line and self.running + weight <= self.capacity:
            self._admit(place)
        elif len(self._line) < self._max_waiting:
            self._line.append(place)
        else:
            self._promised += 1
            raise SixfoldError(
                Reason.QUEUE_FULL,
                "The engine's queue is full.",
                retry_after=self.retry_after(),
                metadata={"running": str(self.running), "waiting": str(self.waiting)},
            )
        return place

    def leave(self, place: Place) -> None:
        """Give the place up, wherever it is. Lets the next in line start."""
        if place.since:
            held = time.monotonic() - place.since
            self._held += _SMOOTHING * (held - self._held)
            self._promised = max(0, self._promised - 1)
            self.running -= place.weight
        else:
            self._line.remove(place)
        while self._line and self.running + self._line[0].weight <= self.capacity:
            self._admit(self._line.popleft())

    def retry_after(self) -> float:
        """Seconds until as many places have come free as callers were told to come back.

        `capacity` slots, each held for the measured time, free one every held / capacity seconds.
        """
        return min(_LONGEST_WAIT, max(0.05, self._held / self.capacity * max(1, self._promised)))

    def _admit(self, place: Place) -> None:
        self.running += place.weight
        place.since = time.monotonic()
        if not place.turn.done():
            place.turn.set_result(None)
