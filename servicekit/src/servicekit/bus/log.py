"""What a log must be able to do, so that it becomes a bus."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Literal, Protocol

from servicekit.bus.wire import Entry, Partition, Record


class Keeper(Protocol):
    """Who handles what a source reads. From any thread."""

    def take_up(self, partitions: Collection[Partition]) -> None:
        """Records of these partitions will come."""

    def let_go(self, partitions: Collection[Partition]) -> Future[Mapping[Partition, int]]:
        """Ends all work on these partitions. What comes back are the offsets to keep for them."""


class Source(Protocol):
    """One member of a consumer group. All calls but `wake` come from one thread, and may block it.

    Errors of any kind mean that the source is broken; the consumer then makes a new one.
    """

    def poll(self, seconds: float, paused: Collection[Partition], limit: int) -> Sequence[Record]:
        """The next records, at most `limit` of each partition, none of a paused one.

        Waits up to `seconds` for the first. Whatever the group's membership needs is done here.
        """

    def commit(self, offsets: Mapping[Partition, int]) -> bool:
        """Keeps the offsets to go on from. False when that could not be done now and should be repeated."""

    def lag(self) -> Mapping[str, int]:
        """By topic: how many records follow the kept offsets, in the partitions held. Quick."""

    def held(self) -> int:
        """How many partitions this member holds."""

    def wake(self) -> None:
        """Makes a waiting `poll` return soon. From any thread."""

    def close(self) -> None:
        """Leaves the group."""


class Log(Protocol):
    """Topics of partitions of records."""

    async def append(self, topic: str, entries: Sequence[Entry], timeout: float) -> None:
        """Returns when the entries are durable. SixfoldError(SERVICE_UNAVAILABLE) otherwise."""

    def open_source(self, topics: Sequence[str], group: str, keeper: Keeper) -> Source:
        """Joins the group; called in the thread that will use the source. Any exception means: not now."""

    async def reset(self, group: str, topics: Sequence[str], to: Literal["beginning"] | datetime) -> None:
        """Moves the group's offsets. SixfoldError(CONFLICT) while it has members."""

    async def lag(self, group: str, topics: Sequence[str]) -> Mapping[str, int]:
        """By topic: how many records follow the group's kept offsets."""

    async def tail(self, topic: str, limit: int) -> Sequence[Record]:
        """The newest records of a topic, oldest first."""

    async def check(self) -> None:
        """Returns when the log answers."""

    async def close(self) -> None:
        """Lets go of everything."""
