"""The tables. `migrations/` makes them; this is how they are read. Every one names the tenant of its rows."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

stores = Table(
    "stores",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("id", String(40), primary_key=True),
    Column("name", String(256), nullable=False),
    Column("description", String(1024), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("last_active_us", BigInteger, nullable=False),
    Column("expires_after_days", Integer, nullable=False),
    Column("metadata", Text, nullable=False),  # JSON
    Column("weights", Text, nullable=False),  # JSON
    Column("threshold", Double),
    Column("embedding_model", String(200), nullable=False),
    Column("embedding_version", String(200), nullable=False),
    Column("deleted", Boolean, nullable=False),  # gone for everybody; its rows and index go slice by slice
)

attachments = Table(
    "attachments",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("store_id", String(40), primary_key=True),
    Column("id", String(40), primary_key=True),
    Column("file_id", String(40), nullable=False),
    Column("filename", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("object_key", Text, nullable=False),
    Column("file_created_at", BigInteger, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("is_current", Boolean, nullable=False),
    Column("accepted", Boolean, nullable=False),  # its event has come back from the bus: it may be indexed
    Column("retry_us", BigInteger, nullable=False),  # not before this time
    Column("batch_id", String(40), nullable=False),
    Column("attributes", Text, nullable=False),  # JSON
    Column("max_tokens", Integer, nullable=False),
    Column("overlap_tokens", Integer, nullable=False),
    Column("is_static", Boolean, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("passages", Integer, nullable=False),
    Column("pages", Integer, nullable=False),
    Column("usage_bytes", BigInteger, nullable=False),
    Column("language", String(16), nullable=False),
    Column("digest", String(128), nullable=False),  # of the text and of the places of its passages
    Column("signature", LargeBinary(512), nullable=False),  # by which near duplicates are found
    Column("duplicate_of", String(40), nullable=False),
    Column("near_duplicate_of", String(40), nullable=False),
    Column("index_id", String(40), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("embedding", String(400), nullable=False),
    Column("event_id", String(64), nullable=False),  # of the event that announced it
    Column("traceparent", String(64), nullable=False),
)

near_bands = Table(
    "near_bands",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("store_id", String(40), primary_key=True),
    Column("band", String(64), primary_key=True),
    Column("attachment_id", String(40), primary_key=True),
)

batches = Table(
    "batches",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("store_id", String(40), primary_key=True),
    Column("id", String(40), primary_key=True),
    Column("created_us", BigInteger, nullable=False),
    Column("cancelled", Boolean, nullable=False),
)

batch_files = Table(
    "batch_files",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("store_id", String(40), primary_key=True),
    Column("batch_id", String(40), primary_key=True),
    Column("attachment_id", String(40), primary_key=True),
    Column("state", String(16), nullable=False),  # kept when the file leaves the store later
)

garbage = Table(
    "garbage",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("store_id", String(40), primary_key=True),
    Column("index_id", String(40), primary_key=True),  # passages of it may still lie in the arms
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("file_id", String(40), primary_key=True),
    Column("removed_us", BigInteger, nullable=False),
)

answers = Table(
    "answers",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("request_id", String(128), primary_key=True),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
)
