"""The tables that API keys are kept in. `migrations/` makes them; this is how they are read."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

metadata = MetaData()

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("tenant", String(63), nullable=False),
    Column("name", String(200), nullable=False),
    Column("role", String(32), nullable=False),
    Column("scopes", String(1000), nullable=False),  # separated by spaces
    Column("digest", LargeBinary(32), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("created_by", String(300), nullable=False),
    Column("created_revision", BigInteger, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("requests_per_minute", Integer),
    Column("tokens_per_minute", BigInteger),
    Column("concurrency", Integer),
    Column("revision", BigInteger, nullable=False),
)

api_key_revision = Table(
    "api_key_revision",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

api_key_attempts = Table(
    "api_key_attempts",
    metadata,
    Column("token", LargeBinary(32), primary_key=True),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("key_id", String(12), ForeignKey("api_keys.id"), nullable=False),
    Column("sealed", LargeBinary(512), nullable=False),
    Column("expires_at", Double, nullable=False),
)
