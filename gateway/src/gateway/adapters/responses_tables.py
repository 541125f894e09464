"""The table that responses are kept in. `migrations/` makes it; this is how it is read."""

from __future__ import annotations

from sqlalchemy import Column, Double, LargeBinary, MetaData, String, Table

metadata = MetaData()

responses = Table(
    "responses",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("items", LargeBinary, nullable=False),
)
