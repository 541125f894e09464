"""Files, uploads and their parts, idempotent creations, and what each tenant's files take."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(300), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("filename", sa.String(255)),
        sa.Column("purpose", sa.String(32)),
        sa.Column("bytes", sa.BigInteger()),
        sa.Column("sha256", sa.String(64)),
        sa.Column("object_key", sa.String(300)),
        sa.Column("expires_at", sa.Double()),
    )
    op.create_index("files_by_tenant", "files", ["tenant", "created_at", "id"])
    op.create_index("files_by_state", "files", ["state", "changed_at"])
    op.create_index("files_by_expiry", "files", ["expires_at"])
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("cleared", sa.Boolean(), nullable=False),
        sa.Column("created_by", sa.String(300), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("mime_type", sa.String(255), nullable=False),
        sa.Column("file_expires_after", sa.BigInteger()),
        sa.Column("file_id", sa.String(40)),
    )
    op.create_index("uploads_by_state", "uploads", ["state", "cleared", "expires_at"])
    op.create_table(
        "upload_parts",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("upload_id", sa.String(40), sa.ForeignKey("uploads.id"), nullable=False),
        sa.Column("token", sa.String(100), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("object_key", sa.String(300), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.UniqueConstraint("upload_id", "token", name="upload_parts_by_token"),
    )
    op.create_table(
        "file_attempts",
        sa.Column("token", sa.String(100), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("made", sa.String(40), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
    )
    op.create_index("file_attempts_by_expiry", "file_attempts", ["expires_at"])
    op.create_index("file_attempts_by_made", "file_attempts", ["made"])
    op.create_table(
        "file_usage",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    for table in ("file_usage", "file_attempts", "upload_parts", "uploads", "files"):
        op.drop_table(table)
