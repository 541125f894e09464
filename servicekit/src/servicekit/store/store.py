"""The one way to a service's records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from servicekit.errors import Reason, SixfoldError
from servicekit.store import engines
from servicekit.store.outages import is_outage
from servicekit.store.revisions import bring_up, locate

_log = structlog.get_logger("servicekit.store")


class Store:
    """Transactions on one database. A database that is away, locked or too slow is SERVICE_UNAVAILABLE.

    `dialect` is `"sqlite"` or `"postgresql"`. What the caller's own statements get wrong
    (`sqlalchemy.exc.IntegrityError`, say) comes through as SQLAlchemy raises it.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.dialect = engine.dialect.name

    @classmethod
    async def open(cls, url: str, *, migrations: str, pool_size: int = 5, timeout: float = 5) -> Store:
        """Connect, and bring the database to the newest revision of `migrations` (`"gateway:migrations"`).

        `timeout` is in seconds, for each wait: a connection, a lock, one statement. Raises
        SixfoldError(SERVICE_UNAVAILABLE) when the database does not answer, `MigrationFailed` when a
        migration fails, ValueError for a URL that names no store.
        """
        parsed = engines.parse(url)
        found = locate(migrations)
        if parsed.get_backend_name() == "sqlite":
            with _outages():
                engines.create_sqlite_file(engines.sqlite_path(parsed))
        store = cls(engines.create(parsed, pool_size=pool_size, timeout=timeout))
        try:
            with _outages():
                await bring_up(store._engine, parsed, found)
        except BaseException:
            await store.close()
            raise
        return store

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write: committed at the end of the block, rolled back by any exception.

        Nothing but statements belongs into the block: a file or a network call that fails there would
        pass for an outage of the database, and holds its locks meanwhile.
        """
        with _outages():
            async with self._engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads: on SQLite it waits for no writer."""
        with _outages():
            async with self._engine.connect() as connection:
                yield await connection.execution_options(**{engines.READ_ONLY: True})

    async def ping(self) -> None:
        """Return when the database answers a statement."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Let go of connections. Calling it twice is fine."""
        await self._engine.dispose()


@contextmanager
def _outages() -> Iterator[None]:
    """Outages become SixfoldError(SERVICE_UNAVAILABLE); the caller's own mistakes stay what they are."""
    try:
        yield
    except (PoolTimeout, OSError, TimeoutError) as error:
        raise _unavailable(error) from error
    except DBAPIError as error:
        if is_outage(error):
            raise _unavailable(error) from error
        raise


def _unavailable(error: BaseException) -> SixfoldError:
    cause = getattr(error, "orig", None) or error
    _log.warning("store_unavailable", error=type(cause).__name__)
    return SixfoldError(Reason.SERVICE_UNAVAILABLE, "The records cannot be reached.")
