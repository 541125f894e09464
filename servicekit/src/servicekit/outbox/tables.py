"""The three tables, as the code sees them and as a service's migration creates them."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    insert,
)

METADATA = MetaData()

OUTBOX = Table(
    "outbox",
    METADATA,
    # SQLite numbers only columns of the type INTEGER; PostgreSQL's would end after 2 billion events.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("topic", String(200), nullable=False),
    Column("event_id", String(200), nullable=False),
    Column("source", String(200), nullable=False),
    Column("type", String(200), nullable=False),
    Column("subject", String(500), nullable=False),
    Column("time", Double, nullable=False),
    Column("tenant", String(200), nullable=False),
    Column("traceparent", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    sqlite_autoincrement=True,  # a number is never given twice, or a new event could overtake
)

LEASE = Table(
    "outbox_lease",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("owner", String(64), nullable=False),
    Column("expires_at", Double, nullable=False),
)

INBOX = Table(
    "inbox",
    METADATA,
    Column("consumer", String(200), primary_key=True),
    Column("event_id", String(200), primary_key=True),
    Column("seen_at", Double, nullable=False),
    Index("inbox_by_age", "seen_at"),
)


class Op(Protocol):
    """What is needed of Alembic's `op`."""

    def get_bind(self) -> Connection:
        """The migration's connection."""


def create_tables(op: Op) -> None:
    """Call it in `upgrade()` with Alembic's `op`: creates `outbox`, `outbox_lease` and `inbox`."""
    connection = op.get_bind()
    METADATA.create_all(connection, checkfirst=False)
    connection.execute(insert(LEASE).values(id=1, owner="", expires_at=0.0))


def drop_tables(op: Op) -> None:
    """Call it in `downgrade()`."""
    METADATA.drop_all(op.get_bind(), checkfirst=False)
