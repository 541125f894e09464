"""The file: its tables, and connections to it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from servicekit.errors import Reason, SixfoldError
from servicekit.store.engines import create_sqlite_file

VERSION = 1

_TABLES = """
CREATE TABLE partitions (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    number INTEGER NOT NULL,
    first INTEGER NOT NULL DEFAULT 0,  -- offset of the oldest record that is still there
    next INTEGER NOT NULL DEFAULT 0,   -- offset of the record to come
    UNIQUE (topic, number)
);
CREATE TABLE records (
    partition INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    time REAL NOT NULL,
    key BLOB NOT NULL,
    headers TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (partition, "offset")
);
CREATE TABLE offsets (
    consumer TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY (consumer, partition)
) WITHOUT ROWID;
CREATE TABLE consumers (
    consumer TEXT NOT NULL,
    topic TEXT NOT NULL,
    seen_at REAL NOT NULL,
    PRIMARY KEY (consumer, topic)
) WITHOUT ROWID;
CREATE TABLE members (
    id TEXT PRIMARY KEY,
    consumer TEXT NOT NULL,
    topics TEXT NOT NULL,
    expires_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE claims (
    consumer TEXT NOT NULL,
    partition INTEGER NOT NULL,
    member TEXT NOT NULL,
    PRIMARY KEY (consumer, partition)
) WITHOUT ROWID;
"""


def connect(path: Path, *, timeout: float, durable: bool) -> sqlite3.Connection:
    """A connection for one thread at a time; the file is made if it is not there.

    `durable` commits survive a power cut. The others may be undone by one, never torn. Every commit
    survives the end of the process.
    """
    create_sqlite_file(path)
    connection = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        if _version(connection) != VERSION:
            with _one_at_a_time(path, timeout):
                _create(connection)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A transaction that has the file to itself for writing from its beginning."""
    with _transaction(connection, "BEGIN IMMEDIATE"):
        yield connection


@contextmanager
def reading(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A transaction that sees one state of the file, and waits for nobody."""
    with _transaction(connection, "BEGIN"):
        yield connection


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has rolled back by itself after some errors
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    with closing(connection.execute("PRAGMA user_version")) as answer:
        return int(answer.fetchone()[0])


def _create(connection: sqlite3.Connection) -> None:
    found = _version(connection)
    if found == VERSION:
        return
    if found:
        raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "The event log was written by another release.")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # gives space back without rewriting the file
    connection.execute("PRAGMA journal_mode = WAL")
    with writing(connection):
        for statement in _TABLES.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")


@contextmanager
def _one_at_a_time(path: Path, seconds: float) -> Iterator[None]:
    """Processes that start together create the file once. The kernel lets go when a process ends."""
    name = path.with_name(path.name + ".lock")
    with open(name, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as lock:
        until = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
        yield
