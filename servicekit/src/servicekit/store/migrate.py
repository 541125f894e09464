"""The child process that migrates: `python -m servicekit.store.migrate`, its order as JSON on stdin.

All pending revisions run in one transaction: afterwards the database is at the newest revision, or
exactly as it was. Processes that start together take turns, and the later ones find nothing to do.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, make_url, text

from servicekit.store.engines import create, sqlite_path


def main() -> int:
    order: dict[str, Any] = json.load(sys.stdin)
    url = make_url(order["url"])
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("version_locations", order["versions"].replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["version_table"] = order["table"]
    if url.get_backend_name() == "sqlite":
        with _file_lock(sqlite_path(url), order["seconds"]):
            asyncio.run(_migrate(url, config, order["seconds"]))
    else:
        asyncio.run(_migrate(url, config, order["seconds"]))
    return 0


async def _migrate(url: URL, config: Config, seconds: float) -> None:
    engine = create(url, pool_size=1, timeout=min(10.0, seconds), lock_timeout=seconds)
    try:
        if url.get_backend_name() == "sqlite":
            await _use_write_ahead_log(engine)
        async with engine.begin() as connection:
            if url.get_backend_name() == "postgresql":
                await connection.execute(
                    text("SELECT pg_advisory_xact_lock(hashtext(:table))"),
                    {"table": config.attributes["version_table"]},
                )
            await connection.run_sync(_upgrade, config)
    finally:
        await engine.dispose()


async def _use_write_ahead_log(engine: Any) -> None:
    """Readers and one writer at once. It is kept in the file, and cannot change within a transaction."""
    connection = await engine.raw_connection()
    try:
        await connection.driver_connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _upgrade(connection: Connection, config: Config) -> None:
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def _file_lock(database: Path, seconds: float) -> Iterator[None]:
    """One process at a time for this database file. The kernel lets go when the process ends."""
    path = database.with_name(database.name + ".lock")
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as lock:
        until = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
        yield


if __name__ == "__main__":
    sys.exit(main())
