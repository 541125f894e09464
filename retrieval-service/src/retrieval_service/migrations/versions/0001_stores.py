"""Stores, attachments, batches, what is to be cleaned up, first answers; the outbox and the inbox."""

import sqlalchemy as sa
from alembic import op

from servicekit import outbox

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stores",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("description", sa.String(1024), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("last_active_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_after_days", sa.Integer(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("weights", sa.Text(), nullable=False),
        sa.Column("threshold", sa.Double()),
        sa.Column("embedding_model", sa.String(200), nullable=False),
        sa.Column("embedding_version", sa.String(200), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
    )
    op.create_index("stores_by_age", "stores", ["tenant", "created_us", "id"])
    op.create_index("stores_deleted", "stores", ["deleted"])
    op.create_table(
        "attachments",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("store_id", sa.String(40), primary_key=True),
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("file_id", sa.String(40), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("file_created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("retry_us", sa.BigInteger(), nullable=False),
        sa.Column("batch_id", sa.String(40), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.Column("max_tokens", sa.Integer(), nullable=False),
        sa.Column("overlap_tokens", sa.Integer(), nullable=False),
        sa.Column("is_static", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("passages", sa.Integer(), nullable=False),
        sa.Column("pages", sa.Integer(), nullable=False),
        sa.Column("usage_bytes", sa.BigInteger(), nullable=False),
        sa.Column("language", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(128), nullable=False),
        sa.Column("signature", sa.LargeBinary(512), nullable=False),
        sa.Column("duplicate_of", sa.String(40), nullable=False),
        sa.Column("near_duplicate_of", sa.String(40), nullable=False),
        sa.Column("index_id", sa.String(40), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("embedding", sa.String(400), nullable=False),
        sa.Column("event_id", sa.String(64), nullable=False),
        sa.Column("traceparent", sa.String(64), nullable=False),
    )
    op.create_index(
        "attachments_current",
        "attachments",
        ["tenant", "store_id", "file_id"],
        unique=True,
        sqlite_where=sa.text("is_current"),
        postgresql_where=sa.text("is_current"),
    )
    op.create_index("attachments_by_age", "attachments", ["tenant", "store_id", "created_us", "id"])
    op.create_index("attachments_by_file", "attachments", ["tenant", "file_id"])
    op.create_index("attachments_by_digest", "attachments", ["tenant", "store_id", "digest"])
    op.create_index("attachments_by_index", "attachments", ["tenant", "store_id", "index_id"])
    op.create_index(
        "attachments_waiting",
        "attachments",
        ["tenant", "store_id", "bytes"],
        sqlite_where=sa.text("state = 'in_progress' AND accepted"),
        postgresql_where=sa.text("state = 'in_progress' AND accepted"),
    )
    op.create_table(
        "near_bands",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("store_id", sa.String(40), primary_key=True),
        sa.Column("band", sa.String(64), primary_key=True),
        sa.Column("attachment_id", sa.String(40), primary_key=True),
    )
    op.create_index("near_bands_by_attachment", "near_bands", ["tenant", "store_id", "attachment_id"])
    op.create_table(
        "batches",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("store_id", sa.String(40), primary_key=True),
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("cancelled", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "batch_files",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("store_id", sa.String(40), primary_key=True),
        sa.Column("batch_id", sa.String(40), primary_key=True),
        sa.Column("attachment_id", sa.String(40), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
    )
    op.create_index("batch_files_by_attachment", "batch_files", ["tenant", "store_id", "attachment_id"])
    op.create_table(
        "garbage",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("store_id", sa.String(40), primary_key=True),
        sa.Column("index_id", sa.String(40), primary_key=True),
    )
    op.create_table(
        "tombstones",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("file_id", sa.String(40), primary_key=True),
        sa.Column("removed_us", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "answers",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("request_id", sa.String(128), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
    )
    op.create_index("answers_by_expiry", "answers", ["expires_us"])
    outbox.create_tables(op)


def downgrade() -> None:
    outbox.drop_tables(op)
    op.drop_table("answers")
    op.drop_table("tombstones")
    op.drop_table("garbage")
    op.drop_table("batch_files")
    op.drop_table("batches")
    op.drop_table("near_bands")
    op.drop_table("attachments")
    op.drop_table("stores")
