"""The log's writing end, and what can be asked of it."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any, Literal, TypeVar

from servicekit.bus.log import Keeper, Source
from servicekit.bus.sqlite.failures import translated
from servicekit.bus.sqlite.options import EmbeddedOptions
from servicekit.bus.sqlite.records import Topics, existing, partition_of, to_record, to_row
from servicekit.bus.sqlite.retention import size, trim
from servicekit.bus.sqlite.schema import connect, reading, writing
from servicekit.bus.sqlite.source import EmbeddedSource
from servicekit.bus.wire import Entry, Partition, Record
from servicekit.errors import Reason, SixfoldError
from servicekit.logs import get_logger

_MAX_WAITING = 20_000
"""Entries that wait to be written, all callers together."""
_TRIM_SECONDS = 30.0

T = TypeVar("T")
_log = get_logger("servicekit.bus")


class _Batch(Future[None]):
    """Entries of one caller, done when they are durable."""

    def __init__(self, topic: str, entries: Sequence[Entry]) -> None:
        super().__init__()
        self.topic = topic
        self.entries = entries


class EmbeddedLog:
    """Connects at the first use. Callers that append at the same time share one commit."""

    def __init__(self, options: EmbeddedOptions) -> None:
        self._options = options
        self._waiting: deque[_Batch] = deque()
        self._held = 0
        self._writer = _Thread(options, durable=True)
        self._reader = _Thread(options, durable=False)
        self._topics = Topics(options.partitions)
        self._trim_at = time.monotonic() + _TRIM_SECONDS
        self._sources: set[EmbeddedSource] = set()

    async def append(self, topic: str, entries: Sequence[Entry], timeout: float) -> None:
        if self._held + len(entries) > _MAX_WAITING:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "Too many events wait for the event log.")
        batch = _Batch(topic, entries)
        self._held += len(entries)
        self._waiting.append(batch)
        try:
            self._writer.submit(self._flush)
            async with asyncio.timeout(timeout):
                await asyncio.wrap_future(batch)
        except TimeoutError:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "The event log did not answer in time.") from None
        finally:
            self._held -= len(entries)

    def open_source(self, topics: Sequence[str], group: str, keeper: Keeper) -> Source:
        source = EmbeddedSource(self._options, topics, group, keeper, self._sources.discard)
        self._sources.add(source)
        return source

    async def reset(self, group: str, topics: Sequence[str], to: Literal["beginning"] | datetime) -> None:
        def work(connection: sqlite3.Connection) -> None:
            with writing(connection):
                members = connection.execute(
                    "SELECT 1 FROM members WHERE consumer = ? AND expires_at > ?", (group, time.time())
                )
                if members.fetchone():
                    raise SixfoldError(Reason.CONFLICT, "The group has members: end them first.")
                for topic in topics:
                    for partition in existing(connection, topic):
                        offset = _offset_at(connection, partition, to)
                        connection.execute(
                            "INSERT OR REPLACE INTO offsets VALUES (?, ?, ?)", (group, partition, offset)
                        )

        await self._writer.call(work, self._options.timeout)

    async def lag(self, group: str, topics: Sequence[str]) -> Mapping[str, int]:
        def work(connection: sqlite3.Connection) -> dict[str, int]:
            return {topic: _lag(connection, group, topic) for topic in topics}

        return await self._reader.call(work, self._options.timeout)

    async def tail(self, topic: str, limit: int) -> Sequence[Record]:
        def work(connection: sqlite3.Connection) -> list[Record]:
            found: list[tuple[float, Record]] = []
            with reading(connection):
                for number, partition in enumerate(existing(connection, topic)):
                    rows = connection.execute(
                        'SELECT time, "offset", key, headers, value FROM records WHERE partition = ? '
                        'ORDER BY "offset" DESC LIMIT ?',
                        (partition, limit),
                    )
                    found += [(row[0], to_record(Partition(topic, number), row[1:])) for row in rows]
            found.sort(key=lambda pair: (pair[0], pair[1].offset))
            return [record for _, record in found][-limit:]

        return await self._reader.call(work, self._options.timeout)

    async def check(self) -> None:
        await self._reader.call(lambda connection: connection.execute("SELECT 1").fetchone(), 2)

    async def close(self) -> None:
        await self._writer.close()
        await self._reader.close()

    # In the writer's thread.

    def _flush(self) -> None:
        batches = []
        while self._waiting:
            batch = self._waiting.popleft()
            if batch.set_running_or_notify_cancel():  # else its caller has left: never written
                batches.append(batch)
        if not batches:
            return
        try:
            self._writer.run(lambda connection: self._write(connection, batches))
        except BaseException as error:
            for batch in batches:
                batch.set_exception(error)
            return
        for batch in batches:
            batch.set_result(None)
        for source in list(self._sources):
            source.wake()

    def _write(self, connection: sqlite3.Connection, batches: Iterable[_Batch]) -> None:
        self._make_room(connection)
        rows: list[tuple[Any, ...]] = []
        following: dict[int, int] = {}
        now = time.time()
        with writing(connection):
            for batch in batches:
                ids = self._topics.ids(connection, batch.topic)
                for entry in batch.entries:
                    partition = partition_of(entry.key, ids)
                    if partition not in following:
                        found = connection.execute("SELECT next FROM partitions WHERE id = ?", (partition,))
                        following[partition] = found.fetchone()[0]
                    rows.append(to_row(partition, following[partition], now, entry))
                    following[partition] += 1
            connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", rows)
            connection.executemany(
                "UPDATE partitions SET next = ? WHERE id = ?",
                [(offset, partition) for partition, offset in following.items()],
            )

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """Trims now and then. Refuses when the file is full of what groups have yet to read."""
        full = size(connection) > self._options.retention_bytes
        if not full and time.monotonic() < self._trim_at:
            return
        self._trim_at = time.monotonic() + _TRIM_SECONDS
        try:
            if dropped := trim(connection, self._options):
                _log.info("event log trimmed", records=dropped)
        except sqlite3.Error as error:  # tried again later; nobody needs to wait for it
            _log.warning("event log not trimmed", error=getattr(error, "sqlite_errorname", ""))
        if size(connection) > self._options.retention_bytes:
            raise SixfoldError(
                Reason.SERVICE_UNAVAILABLE, "The event log is full of events that wait to be handled."
            )


class _Thread:
    """A thread with a connection, opened when first needed, and anew after a failure."""

    def __init__(self, options: EmbeddedOptions, *, durable: bool) -> None:
        self._options = options
        self._durable = durable
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="bus-log")
        self._connection: sqlite3.Connection | None = None

    async def call(self, work: Callable[[sqlite3.Connection], T], timeout: float) -> T:
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.wrap_future(self.submit(lambda: self.run(work)))
        except TimeoutError:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "The event log did not answer in time.") from None

    def submit(self, job: Callable[[], T]) -> Future[T]:
        return self._pool.submit(job)

    async def close(self) -> None:
        await asyncio.wrap_future(self._pool.submit(self._disconnect))
        self._pool.shutdown(wait=False)

    # In the thread.

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with translated(self._options.path):
                if self._connection is None:
                    options = self._options
                    self._connection = connect(options.path, timeout=options.timeout, durable=self._durable)
                return work(self._connection)
        except SixfoldError as error:
            if error.reason is Reason.SERVICE_UNAVAILABLE:
                self._disconnect()
            raise

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _offset_at(connection: sqlite3.Connection, partition: int, to: Literal["beginning"] | datetime) -> int:
    """The offset of the first record that is not older; the one to come when all are."""
    if isinstance(to, datetime):
        row = connection.execute(
            'SELECT "offset" FROM records WHERE partition = ? AND time >= ? ORDER BY "offset" LIMIT 1',
            (partition, to.timestamp()),
        ).fetchone()
        if row:
            return int(row[0])
    end = "next" if isinstance(to, datetime) else "first"
    return int(connection.execute(f"SELECT {end} FROM partitions WHERE id = ?", (partition,)).fetchone()[0])  # noqa: S608


def _lag(connection: sqlite3.Connection, group: str, topic: str) -> int:
    row = connection.execute(
        """
        SELECT coalesce(sum(p.next - max(p.first, coalesce(o.next, 0))), 0)
        FROM partitions p LEFT JOIN offsets o ON o.partition = p.id AND o.consumer = ?
        WHERE p.topic = ?
        """,
        (group, topic),
    ).fetchone()
    return int(row[0])
