"""Engines: the two databases a store can be, with their limits set on every connection."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

READ_ONLY = "sixfold_read_only"
"""Execution option of a connection whose transaction only reads."""


def parse(url: str) -> URL:
    """The URL with its async driver named. ValueError for anything but SQLite files and PostgreSQL."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("not the URL of a store: use sqlite:///… or postgresql://…") from None
    match parsed.get_backend_name():
        case "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise ValueError("a SQLite store needs a file: sqlite:///path/to/records.db")
            return parsed.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres":
            return _postgres_url(parsed)
        case other:
            raise ValueError(f"no store for {other!r}: use sqlite:///… or postgresql://…")


def sqlite_path(url: URL) -> Path:
    return Path(str(url.database))


def create(url: URL, *, pool_size: int, timeout: float, lock_timeout: float | None = None) -> AsyncEngine:
    """An engine that waits at most `timeout` seconds: for a connection, a lock or a statement.

    `lock_timeout` waits longer for locks and statements: a migration has to.
    """
    patience = timeout if lock_timeout is None else lock_timeout
    pool: dict[str, Any] = {"pool_size": pool_size, "max_overflow": 0, "pool_timeout": timeout}
    if url.get_backend_name() == "sqlite":
        engine = create_async_engine(url, connect_args={"timeout": patience}, **pool)
        _prepare_sqlite(engine, patience)
        return engine
    milliseconds = str(max(1, round(patience * 1000)))
    return create_async_engine(
        url,
        connect_args={
            "timeout": timeout,
            # The server gives up first, with its own error; this one is for a server that is silent.
            "command_timeout": patience + 1,
            "server_settings": {
                "application_name": "sixfold",
                "lock_timeout": milliseconds,
                "statement_timeout": milliseconds,
                "idle_in_transaction_session_timeout": str(max(60_000, int(milliseconds))),
            },
        },
        pool_pre_ping=True,  # finds connections that a restart of the server has cut
        pool_recycle=1800,
        **pool,
    )


def _postgres_url(url: URL) -> URL:
    """asyncpg says `ssl` where everybody else says `sslmode`."""
    query = dict(url.query)
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    return url.set(drivername="postgresql+asyncpg", query=query)


def _prepare_sqlite(engine: AsyncEngine, patience: float) -> None:
    """Real transactions, waiting writers, foreign keys, and commits that survive a power cut."""

    @event.listens_for(engine.sync_engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; `begin` below does
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {max(1, round(patience * 1000))}",
            "foreign_keys = ON",
            "synchronous = FULL",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        # A transaction that reads first and writes later fails at once when somebody wrote between:
        # one that may write asks for the lock at its start, and waits for it.
        read_only = connection.get_execution_options().get(READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def create_sqlite_file(path: Path) -> None:
    """Make the file with mode 0600 before SQLite does with whatever the umask allows.

    One that is there is not opened: closing it again would drop the locks that this process's connections
    hold on it, and another process would take itself for the last and remove the log from under them.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
