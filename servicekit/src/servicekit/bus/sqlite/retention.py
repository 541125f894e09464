"""Keeps the file from growing for ever, and never drops what a group that is there has yet to read."""

from __future__ import annotations

import sqlite3
import time

from servicekit.bus.sqlite.options import EmbeddedOptions
from servicekit.bus.sqlite.schema import writing

_ROWS = 500
_PAGES = 1000


def size(connection: sqlite3.Connection) -> int:
    """Bytes that the records take: the file without its free pages."""
    pages, free, page = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page)


def trim(connection: sqlite3.Connection, options: EmbeddedOptions) -> int:
    """Deletes what is too old, then the oldest while there is too much; says how many records.

    In small transactions, so that publishers hardly wait.
    """
    now = time.time()
    _forget_groups(connection, now - options.retention_seconds)
    dropped = 0
    for partition, bound in _droppable(connection):
        dropped += _drop(connection, partition, bound, before=now - options.retention_seconds)
    # Down to nine tenths: not one record at a time at the edge.
    while size(connection) > 0.9 * options.retention_bytes:
        oldest = [
            (row[0], partition, bound)
            for partition, bound in _droppable(connection)
            if (row := _first(connection, partition)) and row[1] < bound
        ]
        if not oldest:
            break
        _, partition, bound = min(oldest)
        dropped += _drop(connection, partition, bound, once=True)
    if dropped:
        _give_back(connection)
    return dropped


def _forget_groups(connection: sqlite3.Connection, before: float) -> None:
    """A group that has not been there for as long as events are kept holds nothing back any more."""
    old = "SELECT 1 FROM consumers WHERE seen_at < ? LIMIT 1"
    if connection.execute(old, (before,)).fetchone():
        with writing(connection):
            connection.execute("DELETE FROM consumers WHERE seen_at < ?", (before,))


def _droppable(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """Partition and the offset below which every group has read."""
    return connection.execute(
        """
        SELECT p.id, min(CASE WHEN c.consumer IS NULL THEN p.next ELSE coalesce(o.next, p.first) END)
        FROM partitions p
        LEFT JOIN consumers c ON c.topic = p.topic
        LEFT JOIN offsets o ON o.consumer = c.consumer AND o.partition = p.id
        WHERE p.next > p.first
        GROUP BY p.id
        """
    ).fetchall()


def _first(connection: sqlite3.Connection, partition: int) -> tuple[float, int] | None:
    """Time and offset of a partition's oldest record."""
    row = connection.execute(
        'SELECT time, "offset" FROM records WHERE partition = ? ORDER BY "offset" LIMIT 1', (partition,)
    ).fetchone()
    return (float(row[0]), int(row[1])) if row else None


def _drop(
    connection: sqlite3.Connection,
    partition: int,
    bound: int,
    *,
    before: float = float("inf"),
    once: bool = False,
) -> int:
    dropped = 0
    while True:
        rows = connection.execute(
            'SELECT "offset", time FROM records WHERE partition = ? AND "offset" < ? '
            'ORDER BY "offset" LIMIT ?',
            (partition, bound, _ROWS),
        ).fetchall()
        end = None
        for offset, written in rows:  # times rise with offsets, but for a clock that was set back
            if written >= before:
                break
            end = offset + 1
        if end is None:
            return dropped
        with writing(connection):
            gone = connection.execute(
                'DELETE FROM records WHERE partition = ? AND "offset" < ?', (partition, end)
            ).rowcount
            connection.execute("UPDATE partitions SET first = max(first, ?) WHERE id = ?", (end, partition))
        dropped += gone
        if once or end != rows[-1][0] + 1 or len(rows) < _ROWS:
            return dropped


def _give_back(connection: sqlite3.Connection) -> None:
    """Returns free pages to the file system, a few at a time."""
    for _ in range(50):
        connection.executescript(f"PRAGMA incremental_vacuum({_PAGES})")  # `execute` would free one page
        if connection.execute("PRAGMA freelist_count").fetchone()[0] == 0:
            return
