"""The log's reading end: one member of a consumer group, in a thread of its own.

Members share the partitions of their topics by a table of claims. Each writes down at every heartbeat
that it is there, and works out from the same rows who should have what: it gives back what is another's
share and takes what is free of its own. A member that is silent for a lease loses its claims, and an
offset is kept only for a partition whose claim still stands: one that was away too long cannot undo
what others did since.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from threading import Event as Flag
from uuid import uuid4

from servicekit.bus.log import Keeper
from servicekit.bus.sqlite.failures import translated
from servicekit.bus.sqlite.options import EmbeddedOptions
from servicekit.bus.sqlite.records import Topics, to_record
from servicekit.bus.sqlite.schema import connect, reading, writing
from servicekit.bus.sqlite.share import share
from servicekit.bus.wire import Partition, Record
from servicekit.errors import SixfoldError
from servicekit.logs import get_logger

_READ_AT_ONCE = 64
_log = get_logger("servicekit.bus")


class EmbeddedSource:
    """See `servicekit.bus.log.Source`. `closed` is called with it at its end."""

    def __init__(
        self,
        options: EmbeddedOptions,
        topics: Sequence[str],
        group: str,
        keeper: Keeper,
        closed: Callable[[EmbeddedSource], None],
    ) -> None:
        self._options = options
        self._names = tuple(dict.fromkeys(topics))
        self._group = group
        self._keeper = keeper
        self._closed = closed
        self._id = f"{os.getpid()}-{uuid4().hex}"
        self._topics = Topics(options.partitions)
        self._held: dict[int, Partition] = {}
        self._positions: dict[int, int] = {}
        self._woken = Flag()
        self._seen = -1
        self._beat_at = float("-inf")
        self._lease_until = float("-inf")
        with translated(options.path):
            self._connection = connect(options.path, timeout=min(2, options.timeout), durable=False)

    def held(self) -> int:
        return len(self._held)

    def wake(self) -> None:
        self._woken.set()

    def poll(self, seconds: float, paused: Collection[Partition], limit: int) -> Sequence[Record]:
        until = time.monotonic() + seconds
        look = True  # the first time always: what was paused may not be any more
        while True:
            look |= self._keep_place()
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
            if look or version != self._seen:  # somebody else wrote
                if records := self._read(paused, limit):
                    return records
                self._seen = version
            left = until - time.monotonic()
            if left <= 0:
                return ()
            look = self._woken.wait(min(left, self._options.poll_seconds))
            self._woken.clear()

    def commit(self, offsets: Mapping[Partition, int]) -> bool:
        ids = {partition: row for row, partition in self._held.items()}
        rows = [
            (self._group, ids[partition], offset, self._group, ids[partition], self._id)
            for partition, offset in offsets.items()
            if partition in ids
        ]
        try:
            self._commit(rows)
        except SixfoldError:
            return False
        return True

    def lag(self) -> Mapping[str, int]:
        lags = dict.fromkeys(self._names, 0)
        with reading(self._connection):
            for row, partition in self._held.items():
                found = self._connection.execute(
                    "SELECT p.next - max(p.first, coalesce(o.next, 0)) FROM partitions p "
                    "LEFT JOIN offsets o ON o.partition = p.id AND o.consumer = ? WHERE p.id = ?",
                    (self._group, row),
                ).fetchone()
                lags[partition.topic] += found[0] if found else 0
        return lags

    def close(self) -> None:
        self._closed(self)
        try:
            with writing(self._connection):
                self._connection.execute("DELETE FROM claims WHERE member = ?", (self._id,))
                self._connection.execute("DELETE FROM members WHERE id = ?", (self._id,))
        except sqlite3.Error:
            _log.info("left the group without a word", group=self._group)  # the lease runs out
        finally:
            self._connection.close()

    # Reading.

    def _read(self, paused: Collection[Partition], limit: int) -> list[Record]:
        records: list[Record] = []
        connection = self._connection
        with translated(self._options.path), reading(connection):
            for row, partition in self._held.items():
                if partition in paused:
                    continue
                position = self._positions[row]
                found = connection.execute("SELECT next FROM partitions WHERE id = ?", (row,)).fetchone()
                if found is None or found[0] <= position:
                    continue
                rows = connection.execute(
                    'SELECT "offset", key, headers, value FROM records '
                    'WHERE partition = ? AND "offset" >= ? ORDER BY "offset" LIMIT ?',
                    (row, position, min(limit, _READ_AT_ONCE)),
                ).fetchall()
                records += [to_record(partition, row) for row in rows]
                # Nothing there although more was written: trimmed before it was read.
                self._positions[row] = rows[-1][0] + 1 if rows else found[0]
        return records

    # Membership.

    def _keep_place(self) -> bool:
        """A heartbeat, when one is due. True when partitions came."""
        now = time.monotonic()
        if now < self._beat_at:
            return False
        if self._held and now > self._lease_until:
            self._drop(self._held)  # others may have them by now
        wanted, lost = self._beat()
        self._beat_at = now + self._options.lease_seconds / 6
        self._drop(lost)
        self._give_back([row for row in self._held if row not in wanted])
        return self._take(wanted)

    def _beat(self) -> tuple[dict[int, Partition], list[int]]:
        """Says "here"; finds this member's share, and what it holds no longer."""
        asked, now = time.monotonic(), time.time()
        connection, lease = self._connection, self._options.lease_seconds
        with translated(self._options.path), writing(connection):
            connection.execute(
                # A clock that was set back must not leave members for ever.
                "DELETE FROM members WHERE consumer = ? AND id <> ? AND (expires_at < ? OR expires_at > ?)",
                (self._group, self._id, now, now + 20 * lease),
            )
            connection.execute(
                "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?)",
                (self._id, self._group, json.dumps(self._names), now + lease),
            )
            connection.executemany(
                "INSERT OR REPLACE INTO consumers VALUES (?, ?, ?)",
                [(self._group, topic, now) for topic in self._names],
            )
            connection.execute(
                "DELETE FROM claims WHERE consumer = ? AND member NOT IN (SELECT id FROM members)",
                (self._group,),
            )
            wanted = self._share(connection)
            claimed = connection.execute(
                "SELECT partition FROM claims WHERE consumer = ? AND member = ?", (self._group, self._id)
            )
            mine = {row[0] for row in claimed}
        self._lease_until = asked + lease
        return wanted, [row for row in self._held if row not in mine]

    def _share(self, connection: sqlite3.Connection) -> dict[int, Partition]:
        members = connection.execute("SELECT id, topics FROM members WHERE consumer = ?", (self._group,))
        reads = {member: set(json.loads(topics)) for member, topics in members}
        rows = connection.execute("SELECT partition, member FROM claims WHERE consumer = ?", (self._group,))
        claims = dict(rows.fetchall())
        wanted = {}
        for topic in self._names:
            ids = self._topics.ids(connection, topic)
            readers = [member for member, topics in reads.items() if topic in topics]
            owners = share(ids, readers, claims)
            for number, row in enumerate(ids):
                if owners.get(row) == self._id:
                    wanted[row] = Partition(topic, number)
        return wanted

    def _take(self, wanted: Mapping[int, Partition]) -> bool:
        """Claims what is free of this member's share."""
        new = [row for row in wanted if row not in self._held]
        if not new:
            return False
        came = {}
        with translated(self._options.path), writing(self._connection) as connection:
            for row in new:
                claim = "INSERT OR IGNORE INTO claims VALUES (?, ?, ?)"
                if connection.execute(claim, (self._group, row, self._id)).rowcount:
                    came[row] = connection.execute(
                        "SELECT max(p.first, coalesce(o.next, 0)) FROM partitions p "
                        "LEFT JOIN offsets o ON o.partition = p.id AND o.consumer = ? WHERE p.id = ?",
                        (self._group, row),
                    ).fetchone()[0]
        self._positions |= came
        self._held |= {row: wanted[row] for row in came}
        self._keeper.take_up([wanted[row] for row in came])
        return bool(came)

    def _give_back(self, rows: Collection[int]) -> None:
        """What is another's share: first its handlers end and its offsets are kept."""
        if not rows:
            return
        offsets = self._let_go(rows)
        self.commit(offsets)
        with translated(self._options.path), writing(self._connection) as connection:
            connection.executemany(
                "DELETE FROM claims WHERE consumer = ? AND partition = ? AND member = ?",
                [(self._group, row, self._id) for row in rows],
            )
        self._forget(rows)

    def _drop(self, rows: Collection[int]) -> None:
        """What is lost already: there is nothing to keep."""
        if rows:
            _log.warning("partitions were taken over", group=self._group, partitions=len(rows))
            rows = list(rows)
            self._let_go(rows)
            self._forget(rows)

    def _let_go(self, rows: Collection[int]) -> Mapping[Partition, int]:
        ending: Future[Mapping[Partition, int]] = self._keeper.let_go([self._held[row] for row in rows])
        while wait_for([ending], timeout=self._options.lease_seconds / 6).not_done:
            with translated(self._options.path), writing(self._connection) as connection:
                connection.execute(
                    "UPDATE members SET expires_at = ? WHERE id = ?",
                    (time.time() + self._options.lease_seconds, self._id),
                )
            self._lease_until = time.monotonic() + self._options.lease_seconds
        return ending.result()

    def _forget(self, rows: Collection[int]) -> None:
        for row in rows:
            self._held.pop(row, None)
            self._positions.pop(row, None)

    def _commit(self, rows: Sequence[tuple[str, int, int, str, int, str]]) -> None:
        if not rows:
            return
        with translated(self._options.path), writing(self._connection) as connection:
            connection.executemany(
                "INSERT INTO offsets (consumer, partition, next) SELECT ?, ?, ? "
                "WHERE EXISTS (SELECT 1 FROM claims WHERE consumer = ? AND partition = ? AND member = ?) "
                "ON CONFLICT (consumer, partition) DO UPDATE SET next = excluded.next",
                rows,
            )
