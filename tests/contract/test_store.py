"""What every store promises, on SQLite and on a real PostgreSQL; then what each alone can get wrong."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from parts.postgres import Postgres
from parts.process import free_port
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from structlog.testing import capture_logs

from servicekit.errors import Reason, SixfoldError
from servicekit.store import MigrationFailed, Store

FIRST = """
import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "shelves",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
    )
    op.create_table(
        "books",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("shelf", sa.Integer, sa.ForeignKey("shelves.id"), nullable=False),
    )
"""

SECOND = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("books", sa.Column("title", sa.Text, nullable=False, server_default=""))
"""

BROKEN = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("books", sa.Column("title", sa.Text))
    op.execute("INSERT INTO nowhere VALUES (1)")
"""


class Service:
    """A package with migrations, as a service has, that a test can give more of."""

    where = "bookshop:migrations"

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self._versions = folder / "bookshop" / "migrations" / "versions"
        self._versions.mkdir(parents=True)
        (folder / "bookshop" / "__init__.py").touch()
        self.add("0001_books.py", FIRST)

    def add(self, name: str, text: str) -> None:
        (self._versions / name).write_text(text)

    def remove(self, name: str) -> None:
        (self._versions / name).unlink()


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.syspath_prepend(tmp_path / "src")
    return Service(tmp_path / "src")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/data/records.db"


@pytest.fixture(scope="module")
def templates() -> dict[str, str]:
    """Dialect → a migrated database to copy: migrating takes a process, and most tests are about the rest."""
    return {}


@pytest.fixture(params=["sqlite", "postgresql"])
async def migrated_url(
    request: pytest.FixtureRequest,
    service: Service,
    templates: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[str]:
    """A database of its own, already at the first revision."""
    if request.param == "sqlite":
        if "sqlite" not in templates:
            templates["sqlite"] = str(tmp_path_factory.mktemp("template") / "records.db")
            await (await Store.open(f"sqlite:///{templates['sqlite']}", migrations=service.where)).close()
        path = tmp_path_factory.mktemp("copy") / "records.db"
        shutil.copy(templates["sqlite"], path)
        yield f"sqlite:///{path}"
        return
    postgres: Postgres = request.getfixturevalue("postgres_server")
    if "postgresql" not in templates:
        templates["postgresql"] = postgres.new_database()
        await (await Store.open(templates["postgresql"], migrations=service.where)).close()
    url = postgres.new_database(templates["postgresql"])
    yield url
    postgres.drop_database(url)


@pytest.fixture
async def store(migrated_url: str, service: Service) -> AsyncIterator[Store]:
    store = await Store.open(migrated_url, migrations=service.where, timeout=10)
    yield store
    await store.close()


async def count(store: Store, table: str = "shelves") -> int:
    async with store.read() as connection:
        return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


async def put(store: Store, name: str) -> None:
    async with store.begin() as connection:
        await connection.execute(text("INSERT INTO shelves (name) VALUES (:name)"), {"name": name})


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 - it asks a server
            await asyncio.sleep(0.05)


async def answers(store: Store) -> bool:
    try:
        await store.ping()
    except SixfoldError:
        return False
    return True


async def unavailable(call: Awaitable[object]) -> None:
    with pytest.raises(SixfoldError) as caught:
        await call
    assert caught.value.reason is Reason.SERVICE_UNAVAILABLE
    assert "shelves" not in caught.value.message


async def test_what_is_committed_is_there(store: Store) -> None:
    assert store.dialect in ("sqlite", "postgresql")
    await store.ping()
    await put(store, "poetry")
    assert await count(store) == 1


async def test_an_exception_rolls_everything_back(store: Store) -> None:
    class Oops(Exception):
        pass

    with pytest.raises(Oops):
        async with store.begin() as connection:
            await connection.execute(text("INSERT INTO shelves (name) VALUES ('a')"))
            await connection.execute(text("CREATE TABLE half_done (id INTEGER)"))
            raise Oops
    assert await count(store) == 0
    with pytest.raises(DBAPIError, match="half_done"):
        await count(store, "half_done")


async def test_a_caller_that_leaves_rolls_everything_back(store: Store) -> None:
    inside = asyncio.Event()

    async def write() -> None:
        async with store.begin() as connection:
            await connection.execute(text("INSERT INTO shelves (name) VALUES ('a')"))
            inside.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(write())
    await inside.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await count(store) == 0
    await put(store, "a")  # and holds no lock


async def test_the_callers_own_mistakes_come_through(store: Store) -> None:
    await put(store, "poetry")
    with pytest.raises(IntegrityError):
        await put(store, "poetry")
    with pytest.raises(IntegrityError):  # foreign keys hold, on SQLite too
        async with store.begin() as connection:
            await connection.execute(text("INSERT INTO books (shelf) VALUES (99)"))
    with pytest.raises(DBAPIError, match="nowhere"):
        await count(store, "nowhere")
    with pytest.raises(DBAPIError):
        async with store.begin() as connection:
            await connection.execute(text("INSERT INTO shelves (id, name) VALUES (:id, 'a')"), {"id": "x"})


async def test_a_read_sees_one_state(store: Store) -> None:
    """And waits for no writer, nor lets a writer wait."""
    await put(store, "a")
    async with AsyncExitStack() as stack:
        writing = await stack.enter_async_context(store.begin())
        await writing.execute(text("INSERT INTO shelves (name) VALUES ('b')"))
        assert await count(store) == 1
    assert await count(store) == 2


async def test_writers_take_turns(store: Store) -> None:
    """Each reads before it writes, which is where upgraded locks deadlock."""

    async def add_one() -> None:
        async with store.begin() as connection:
            if store.dialect == "postgresql":
                await connection.execute(text("LOCK TABLE shelves"))
            number = (await connection.execute(text("SELECT count(*) FROM shelves"))).scalar_one()
            await connection.execute(text("INSERT INTO shelves (name) VALUES (:n)"), {"n": f"n{number}"})

    await asyncio.gather(*(add_one() for _ in range(20)))
    assert await count(store) == 20


async def test_a_locked_database_is_unavailable_in_time(
    migrated_url: str, store: Store, service: Service
) -> None:
    await put(store, "a")
    hasty = await Store.open(migrated_url, migrations=service.where, timeout=0.3)
    async with store.begin() as connection:
        await connection.execute(text("UPDATE shelves SET name = 'b'"))
        async with asyncio.timeout(30):
            await unavailable(update(hasty))
    await update(hasty)
    await hasty.close()


async def update(store: Store) -> None:
    async with store.begin() as connection:
        await connection.execute(text("UPDATE shelves SET name = 'c'"))


async def test_more_callers_than_connections_wait_or_are_told(migrated_url: str, service: Service) -> None:
    store = await Store.open(migrated_url, migrations=service.where, pool_size=1, timeout=0.3)
    async with store.read() as connection:
        await connection.execute(text("SELECT 1"))
        await unavailable(store.ping())
    await store.ping()
    await store.close()


async def test_migrations_run_once_and_alembic_stays_out(url: str, service: Service) -> None:
    with capture_logs() as logs:
        for _ in range(2):
            store = await Store.open(url, migrations=service.where)
            await put(store, f"shelf {len(logs)}{id(store)}")
            await store.close()
    assert [line["event"] for line in logs] == ["store_migrated"]
    program = f"""
import asyncio, sys
from servicekit.store import Store
sys.path.insert(0, {service.folder!r})
async def main():
    store = await Store.open({url!r}, migrations={service.where!r})
    await store.ping()
    await store.close()
    print(any(name.split(".")[0] in ("alembic", "mako") for name in sys.modules))
asyncio.run(main())
"""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    assert (child.returncode, out) == (0, b"False\n")


async def test_a_newer_release_brings_the_database_along(migrated_url: str, service: Service) -> None:
    store = await Store.open(migrated_url, migrations=service.where)
    await put(store, "poetry")
    await store.close()
    service.add("0002_titles.py", SECOND)
    store = await Store.open(migrated_url, migrations=service.where)
    async with store.begin() as connection:
        await connection.execute(text("INSERT INTO books (shelf, title) VALUES (1, 'Faust')"))
    await store.close()


async def test_an_older_release_beside_a_newer_one_still_opens(url: str, service: Service) -> None:
    service.add("0002_titles.py", SECOND)
    await (await Store.open(url, migrations=service.where)).close()
    service.remove("0002_titles.py")
    with capture_logs() as logs:
        store = await Store.open(url, migrations=service.where)
    assert [line["event"] for line in logs] == ["store_is_newer"]
    await put(store, "poetry")
    await store.close()


async def test_a_migration_that_fails_leaves_nothing_behind(migrated_url: str, service: Service) -> None:
    store = await Store.open(migrated_url, migrations=service.where)
    await put(store, "poetry")
    service.add("0002_broken.py", BROKEN)
    with capture_logs() as logs, pytest.raises(MigrationFailed) as caught:
        await Store.open(migrated_url, migrations=service.where)
    assert "nowhere" in logs[-1]["detail"]
    assert "nowhere" not in str(caught.value)
    assert "password" not in str(logs)
    async with store.read() as connection:
        with pytest.raises(DBAPIError, match="title"):
            await connection.execute(text("SELECT title FROM books"))
    service.remove("0002_broken.py")
    service.add("0002_titles.py", SECOND)
    await (await Store.open(migrated_url, migrations=service.where)).close()
    assert await count(store) == 1
    await store.close()


async def test_processes_that_start_together_migrate_once(url: str, service: Service) -> None:
    service.add("0002_titles.py", SECOND)
    stores = await asyncio.gather(*(Store.open(url, migrations=service.where, timeout=30) for _ in range(3)))
    for number, store in enumerate(stores):
        await put(store, f"shelf {number}")
    assert await count(stores[0]) == 3
    for store in stores:
        await store.close()


async def test_two_services_in_one_database_keep_their_own_count(
    migrated_url: str, service: Service, tmp_path: Path
) -> None:
    versions = tmp_path / "src" / "florist" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions.parents[1] / "__init__.py").touch()
    (versions / "0001_flowers.py").write_text(FIRST.replace("shelves", "beds").replace("books", "flowers"))
    store = await Store.open(migrated_url, migrations="florist:migrations")
    assert await count(store, "flowers") == 0
    assert await count(store) == 0
    await store.close()


@pytest.mark.parametrize("where", ["no_such_package:migrations", "json:migrations", "bookshop:elsewhere"])
async def test_migrations_that_are_not_there_are_a_mistake(url: str, service: Service, where: str) -> None:
    with pytest.raises(ValueError, match="no "):
        await Store.open(url, migrations=where)


@pytest.mark.parametrize("wrong", ["mysql://host/db", "sqlite://", "sqlite:///:memory:"])
async def test_a_url_that_names_no_store_is_a_mistake(service: Service, wrong: str) -> None:
    with pytest.raises(ValueError, match="store"):
        await Store.open(wrong, migrations=service.where)


async def test_sqlite_belongs_to_its_owner_and_survives_a_power_cut(tmp_path: Path, service: Service) -> None:
    path = tmp_path / "home" / "records.db"
    store = await Store.open(f"sqlite:///{path}", migrations=service.where)
    await put(store, "a")
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    async with store.begin() as connection:
        pragmas = {
            name: (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}
    await store.close()


@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
async def test_sqlite_that_another_program_locks(migrated_url: str, service: Service) -> None:
    store = await Store.open(migrated_url, migrations=service.where, timeout=0.3)
    other = sqlite3.connect(migrated_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    await unavailable(put(store, "a"))
    other.execute("ROLLBACK")
    other.close()
    await put(store, "a")
    await store.close()


async def test_sqlite_in_a_folder_that_cannot_be(tmp_path: Path, service: Service) -> None:
    (tmp_path / "file").touch()
    await unavailable(Store.open(f"sqlite:///{tmp_path}/file/records.db", migrations=service.where))


async def test_a_file_that_is_no_database(tmp_path: Path, service: Service) -> None:
    (tmp_path / "records.db").write_bytes(b"not a database at all" * 100)
    await unavailable(Store.open(f"sqlite:///{tmp_path}/records.db", migrations=service.where))


on_postgres = pytest.mark.parametrize("migrated_url", ["postgresql"], indirect=True)


@on_postgres
async def test_postgres_is_used_again_after_a_restart(
    postgres_server: Postgres, migrated_url: str, service: Service
) -> None:
    store = await Store.open(migrated_url, migrations=service.where, timeout=10)
    await put(store, "before")
    await asyncio.to_thread(postgres_server.stop)
    await unavailable(store.ping())
    await unavailable(put(store, "lost"))
    await asyncio.to_thread(postgres_server.start)
    await eventually(lambda: answers(store))
    await put(store, "after")
    assert await count(store) == 2
    await store.close()


@on_postgres
async def test_postgres_restarted_between_two_calls_goes_unnoticed(
    postgres_server: Postgres, migrated_url: str, service: Service
) -> None:
    store = await Store.open(migrated_url, migrations=service.where, timeout=10)
    await asyncio.gather(*(store.ping() for _ in range(5)))
    await asyncio.to_thread(postgres_server.stop)
    await asyncio.to_thread(postgres_server.start)
    await put(store, "after")
    await store.close()


@on_postgres
async def test_postgres_cut_in_the_middle_of_a_transaction(
    postgres_server: Postgres, migrated_url: str, service: Service
) -> None:
    store = await Store.open(migrated_url, migrations=service.where, timeout=10)

    async def write() -> None:
        async with store.begin() as connection:
            await connection.execute(text("INSERT INTO shelves (name) VALUES ('half')"))
            await asyncio.to_thread(postgres_server.stop)
            await connection.execute(text("INSERT INTO shelves (name) VALUES ('other half')"))

    await unavailable(write())
    await asyncio.to_thread(postgres_server.start)
    await eventually(lambda: answers(store))
    assert await count(store) == 0
    await store.close()


@on_postgres
async def test_postgres_that_hangs_is_unavailable_in_time(
    postgres_server: Postgres, migrated_url: str, service: Service
) -> None:
    await (await Store.open(migrated_url, migrations=service.where)).close()
    postgres_server.pause()
    async with asyncio.timeout(60):
        await unavailable(Store.open(migrated_url, migrations=service.where, timeout=0.5))
    postgres_server.resume()
    await (await Store.open(migrated_url, migrations=service.where)).close()


@on_postgres
async def test_a_slow_statement_is_stopped(migrated_url: str, service: Service) -> None:
    store = await Store.open(migrated_url, migrations=service.where, timeout=0.3)

    async def sleep() -> None:
        async with store.begin() as connection:
            await connection.execute(text("SELECT pg_sleep(100)"))

    async with asyncio.timeout(60):
        await unavailable(sleep())
    await store.ping()
    await store.close()


async def test_a_postgres_that_was_never_there(service: Service) -> None:
    url = f"postgresql://sixfold:a-password@127.0.0.1:{free_port()}/records?sslmode=disable"
    with capture_logs() as logs:
        await unavailable(Store.open(url, migrations=service.where, timeout=2))
    assert logs
    assert "a-password" not in json.dumps(logs, default=repr)
