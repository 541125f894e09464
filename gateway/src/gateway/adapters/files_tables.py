"""The tables that files and uploads are kept in. `migrations/` makes them; this is how they are read."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, LargeBinary, MetaData, String, Table

metadata = MetaData()

files = Table(
    "files",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(63), nullable=False),
    Column("state", String(16), nullable=False),
    Column("changed_at", Double, nullable=False),  # when it came to this state
    Column("reserved", BigInteger, nullable=False),  # its share of file_usage.bytes
    Column("created_by", String(300), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("filename", String(255)),  # from here on: of stored files
    Column("purpose", String(32)),
    Column("bytes", BigInteger),
    Column("sha256", String(64)),
    Column("object_key", String(300)),
    Column("expires_at", Double),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(63), nullable=False),
    Column("state", String(16), nullable=False),
    Column("cleared", Boolean, nullable=False),  # whether its parts are gone
    Column("created_by", String(300), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("filename", String(255), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("mime_type", String(255), nullable=False),
    Column("file_expires_after", BigInteger),
    Column("file_id", String(40)),
)

upload_parts = Table(
    "upload_parts",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("upload_id", String(40), ForeignKey("uploads.id"), nullable=False),
    Column("token", String(100), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("object_key", String(300), nullable=False),
    Column("created_at", Double, nullable=False),
)

file_attempts = Table(
    "file_attempts",
    metadata,
    Column("token", String(100), primary_key=True),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("made", String(40), nullable=False),  # the file or upload that was made
    Column("expires_at", Double, nullable=False),
)

file_usage = Table(
    "file_usage",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("files", BigInteger, nullable=False),
)
