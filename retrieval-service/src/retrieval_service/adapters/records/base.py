"""What every part of the records stands on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from retrieval_service.adapters.records.common import Clock, now_us
from retrieval_service.stores.types import DAY_US
from servicekit.store import Store as Database


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept."""

    files_a_store: int = 100_000
    stores_a_tenant: int = 10_000
    answers_us: int = DAY_US
    """How long a first answer is kept, in microseconds."""


class Part:
    """The database, the time, the bounds, and the bell of the outbox's relay."""

    def __init__(
        self,
        database: Database,
        *,
        bounds: Bounds = Bounds(),
        clock: Clock = now_us,
        announced: Callable[[], None] = lambda: None,
    ) -> None:
        """`announced` is called after a transaction that wrote an event."""
        self._database = database
        self._bounds = bounds
        self._clock = clock
        self._announced = announced
