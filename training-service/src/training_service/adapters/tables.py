"""The tables, beside those of jobs, outbox and inbox. Every one names the tenant of its rows."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
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
_REGISTRY = MetaData()

DATASETS = Table(
    "datasets",
    METADATA,
    Column("tenant", String(63), primary_key=True),
    Column("id", String(40), primary_key=True),
    Column("name", String(256), nullable=False),
    Column("job_id", String(64), nullable=False),
    Column("metadata", Text, nullable=False),  # JSON
    Column("created_at", Double, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("deleted_by", String(128), nullable=False),  # the request that did it
    Index("datasets_by_age", "tenant", "created_at", "id"),
)

MODELS = Table(
    "trained_models",
    METADATA,
    Column("tenant", String(63), primary_key=True),
    Column("name", String(256), primary_key=True),
    Column("job_id", String(64), nullable=False),
    Column("created_at", Double, nullable=False),
)

REQUESTS = Table(
    "kept_requests",
    METADATA,
    Column("tenant", String(63), primary_key=True),
    Column("request_id", String(128), primary_key=True),
    Column("at", Double, nullable=False),
    Column("requested_model", String(256), nullable=False),
    Column("model", String(256), nullable=False),
    Column("model_version", String(200), nullable=False),
    Column("content", LargeBinary, nullable=False),  # JSON
    Index("kept_requests_by_age", "at"),
)

FEEDBACK = Table(
    "feedback",
    METADATA,
    Column("tenant", String(63), primary_key=True),
    Column("feedback_id", String(128), primary_key=True),
    Column("request_id", String(128), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("value", Double, nullable=False),
    Column("correction", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("subject", String(256), nullable=False),
    Column("at", Double, nullable=False),
    Index("feedback_by_request", "tenant", "request_id"),
    Index("feedback_by_age", "tenant", "at", "feedback_id"),
)

MOVES = Table(
    "release_moves",
    _REGISTRY,
    Column("tenant", String(63), primary_key=True),
    Column("alias", String(256), primary_key=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("release_id", String(64), nullable=False),
    Column("status", String(32), nullable=False),
    Column("champion", String(256), nullable=False),
    Column("candidate", String(256), nullable=False),
    Column("policy", String(256), nullable=False),
    Column("policy_sha256", String(64), nullable=False),
    Column("approved_by", Text, nullable=False),  # JSON
    Column("at", Double, nullable=False),
    Column("shown", Boolean, nullable=False),
    Column("registered", Boolean, nullable=False),  # whether the registry knows the name
    Index("release_moves_waiting", "shown", "at"),
)

REGISTRAR = Table(
    "registrar_lease",
    _REGISTRY,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("owner", String(64), nullable=False),
    Column("expires_at", Double, nullable=False),
)


def create_tables(connection: Connection) -> None:
    """For the migration."""
    METADATA.create_all(connection, checkfirst=False)


def drop_tables(connection: Connection) -> None:
    """The way back."""
    METADATA.drop_all(connection, checkfirst=False)


def create_registry_tables(connection: Connection) -> None:
    """For the second migration."""
    _REGISTRY.create_all(connection, checkfirst=False)
    connection.execute(insert(REGISTRAR).values(id=1, owner="", expires_at=0.0))


def drop_registry_tables(connection: Connection) -> None:
    """The way back."""
    _REGISTRY.drop_all(connection, checkfirst=False)
