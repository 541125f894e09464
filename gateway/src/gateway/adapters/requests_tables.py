"""The table that requests are kept in. `migrations/` makes it; this is how it is read."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Integer, MetaData, String, Table, Text

metadata = MetaData()

requests = Table(
    "requests",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("at", Double, nullable=False),
    Column("operation", String(32), nullable=False),
    Column("requested_model", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("engine", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("release_id", String(64), nullable=False),
    Column("answer_id", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("cache", String(16), nullable=False),
    Column("status", Integer, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("passages", Text, nullable=False),  # JSON, a list a passage; empty for none
)
