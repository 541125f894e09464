"""Brings a database to the newest revision, in a child process, under a lock.

A service keeps its migrations in its package: `gateway/migrations/versions/0001_first.py`, Alembic
version files whose revision is the number that begins the file name. The newest file is therefore
known without importing Alembic, and a service whose database is current never loads it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from pathlib import Path
from typing import NamedTuple

import structlog
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from servicekit.errors import Reason, SixfoldError
from servicekit.store.engines import READ_ONLY

MIGRATION_SECONDS = 300.0
"""How long one process waits for its turn and for the migration itself."""

_log = structlog.get_logger("servicekit.store")


class MigrationFailed(SixfoldError):
    """The database could not be brought to the newest revision. Why is in the log."""

    def __init__(self) -> None:
        super().__init__(Reason.SERVICE_UNAVAILABLE, "The database could not be migrated.")


class Migrations(NamedTuple):
    """Where a service's version files are, the newest of them, and the table that says how far one is."""

    versions: Path
    head: str
    table: str


def locate(where: str) -> Migrations:
    """`"gateway:migrations"` → the folder `migrations/versions` of the package `gateway`."""
    package, _, folder = where.partition(":")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"no package {package!r} for the migrations {where!r}")
    versions = Path(spec.submodule_search_locations[0]) / (folder or "migrations") / "versions"
    revisions = sorted(file.stem.split("_")[0] for file in versions.glob("[0-9]*.py"))
    if not revisions:
        raise ValueError(f"no version files in {versions}")
    return Migrations(versions, revisions[-1], f"{package.replace('.', '_')}_schema_version")


async def bring_up(engine: AsyncEngine, url: URL, migrations: Migrations) -> None:
    """Run what is pending. Raises `MigrationFailed`."""
    stored = await _stored_revision(engine, migrations.table)
    if stored == migrations.head:
        return
    if stored is not None and stored > migrations.head:
        # An older release beside a newer one, as in a rolling update: migrations only ever add.
        _log.warning("store_is_newer", stored=stored, known=migrations.head)
        return
    await _run_child(url, migrations)


async def _stored_revision(engine: AsyncEngine, table: str) -> str | None:
    async with engine.connect() as connection:
        connection = await connection.execution_options(**{READ_ONLY: True})
        try:
            row = (await connection.execute(text(f"SELECT version_num FROM {table}"))).first()  # noqa: S608
        except DBAPIError as error:
            if "no such table" in str(error.orig) or "does not exist" in str(error.orig):
                return None
            raise
    return str(row[0]) if row else None


async def _run_child(url: URL, migrations: Migrations) -> None:
    order = json.dumps(
        {
            "url": url.render_as_string(hide_password=False),
            "versions": str(migrations.versions),
            "table": migrations.table,
            "seconds": MIGRATION_SECONDS,
        }
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "servicekit.store.migrate",
        stdin=asyncio.subprocess.PIPE,  # the URL holds a password: not for the process list
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(MIGRATION_SECONDS + 10):
            _, errors = await child.communicate(order.encode())
    except TimeoutError:
        _log.error("migration_timed_out", seconds=MIGRATION_SECONDS)
        raise MigrationFailed from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        _log.error(
            "migration_failed", exit_code=child.returncode, detail=errors.decode(errors="replace")[-4000:]
        )
        raise MigrationFailed
    _log.info("store_migrated", revision=migrations.head)
