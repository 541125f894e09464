"""Records that were fetched and not yet asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from itertools import islice
from threading import Lock

from servicekit.bus.wire import Partition, Record


class Fetched:
    """By partition, in order; only of partitions that are held. For the polling and the client's thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._queues: dict[Partition, deque[Record]] = {}

    def open(self, partitions: Collection[Partition]) -> None:
        """These are held from now on."""
        with self._lock:
            self._queues |= {partition: deque() for partition in partitions}

    def drop(self, partitions: Collection[Partition]) -> None:
        """These are held no longer."""
        with self._lock:
            for partition in partitions:
                self._queues.pop(partition, None)

    def add(self, partition: Partition, records: Sequence[Record]) -> None:
        with self._lock:
            if partition in self._queues:
                self._queues[partition].extend(records)

    def take(self, paused: Collection[Partition], limit: int) -> list[Record]:
        """At most `limit` of each partition that is not paused."""
        taken: list[Record] = []
        with self._lock:
            for partition, queue in self._queues.items():
                if partition not in paused:
                    some = list(islice(queue, limit))
                    for _ in some:
                        queue.popleft()
                    taken += some
        return taken

    def partitions(self) -> list[Partition]:
        """Those of which something is left."""
        with self._lock:
            return [partition for partition, queue in self._queues.items() if queue]
