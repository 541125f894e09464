"""Which URLs name a store, where migrations are found, and which errors are outages."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError, InterfaceError

from servicekit.store import engines, revisions
from servicekit.store.outages import is_outage


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("sqlite:///records.db", "sqlite+aiosqlite:///records.db"),
        ("sqlite:////var/lib/records.db", "sqlite+aiosqlite:////var/lib/records.db"),
        ("postgresql://u:p@host/db", "postgresql+asyncpg://u:p@host/db"),
        ("postgresql://host/db?sslmode=verify-full", "postgresql+asyncpg://host/db?ssl=verify-full"),
    ],
)
def test_urls_that_name_a_store(url: str, parsed: str) -> None:
    assert engines.parse(url).render_as_string(hide_password=False) == parsed


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://host/db", "records.db", ""])
def test_urls_that_do_not(url: str) -> None:
    with pytest.raises(ValueError):
        engines.parse(url)


def test_the_newest_migration_is_known_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = tmp_path / "shop" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / "shop" / "__init__.py").touch()
    for name in ("0001_first.py", "0010_tenth.py", "0009_ninth.py", "helpers.py", "0011_notes.txt"):
        (versions / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert revisions.locate("shop:migrations") == (versions, "0010", "shop_schema_version")


def sqlite_error(code: int) -> DBAPIError:
    original = sqlite3.OperationalError("words")
    original.sqlite_errorcode = code
    return DBAPIError("statement", None, original)


class PostgresError(Exception):
    def __init__(self, sqlstate: str) -> None:
        super().__init__("words")
        self.sqlstate = sqlstate


@pytest.mark.parametrize("code", [5, 6, 13, 14, 26, 266, 517, 522, 778])
def test_sqlite_outages(code: int) -> None:
    assert is_outage(sqlite_error(code))


@pytest.mark.parametrize("code", [1, 19, 20, 25, 787, 2067])
def test_sqlite_mistakes(code: int) -> None:
    assert not is_outage(sqlite_error(code))


@pytest.mark.parametrize(
    "state", ["08006", "28P01", "3D000", "53300", "57P01", "57P03", "57014", "55P03", "40001"]
)
def test_postgres_outages(state: str) -> None:
    assert is_outage(DBAPIError("statement", None, PostgresError(state)))


@pytest.mark.parametrize("state", ["23505", "42P01", "42601", "22003"])
def test_postgres_mistakes(state: str) -> None:
    assert not is_outage(DBAPIError("statement", None, PostgresError(state)))


def test_a_closed_connection_is_an_outage_and_a_bad_parameter_is_not() -> None:
    closed = InterfaceError("statement", None, Exception("connection is closed"))
    wrong = Exception("invalid input for query argument")
    wrong.__cause__ = ValueError()
    assert is_outage(closed)
    assert not is_outage(InterfaceError("statement", None, wrong))
