"""The table that feedback is kept in. `migrations/` makes it; this is how it is read."""

from __future__ import annotations

from sqlalchemy import Column, Double, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

feedback = Table(
    "feedback",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(63), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("value", Double),
    Column("correction", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("subject", String(300), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("attempt", String(64), unique=True),  # what an Idempotency-Key became
    Column("fingerprint", LargeBinary(32)),
)
