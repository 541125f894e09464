"""Rows of the log as records, and where a key goes."""

from __future__ import annotations

import sqlite3
import zlib
from typing import Any

import orjson

from servicekit.bus.wire import Entry, Headers, Partition, Record


class Topics:
    """Partitions of topics by their row ids, as one connection knows them; those that lack are made."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._ids: dict[str, list[int]] = {}

    def ids(self, connection: sqlite3.Connection, topic: str) -> list[int]:
        """Row ids by partition number. Within a writing transaction."""
        if known := self._ids.get(topic):
            return known
        found = existing(connection, topic)
        if not found:
            connection.executemany(
                "INSERT INTO partitions (topic, number) VALUES (?, ?)",
                [(topic, number) for number in range(self._partitions)],
            )
            return existing(connection, topic)  # not remembered: the transaction may yet fail
        self._ids[topic] = found
        return found


def existing(connection: sqlite3.Connection, topic: str) -> list[int]:
    """Row ids of a topic's partitions, in order; empty when nobody has named it yet."""
    rows = connection.execute("SELECT id FROM partitions WHERE topic = ? ORDER BY number", (topic,))
    return [row[0] for row in rows]


def partition_of(key: bytes, ids: list[int]) -> int:
    """The row id of the partition that holds this key."""
    return ids[zlib.crc32(key) % len(ids)]


def to_row(partition: int, offset: int, time: float, entry: Entry) -> tuple[Any, ...]:
    headers = {name: value.decode("utf-8", "replace") for name, value in entry.headers}
    return partition, offset, time, entry.key, orjson.dumps(headers).decode(), entry.value


def to_record(partition: Partition, row: tuple[Any, ...]) -> Record:
    """From offset, key, headers and value, whatever they hold: what is no event becomes a dead letter."""
    offset, key, headers, value = row
    return Record(partition, offset, _bytes(key), _headers(headers), _bytes(value))


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


def _headers(text: Any) -> Headers:
    try:
        found = orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError):
        return ()
    if not isinstance(found, dict):
        return ()
    return tuple((name, value.encode()) for name, value in found.items() if isinstance(value, str))
