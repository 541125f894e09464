"""Feedback, and the outbox through which it is told on."""

import sqlalchemy as sa
from alembic import op

from servicekit.outbox.tables import create_tables, drop_tables

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feedback",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("value", sa.Double()),
        sa.Column("correction", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("subject", sa.String(300), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("attempt", sa.String(64), unique=True),
        sa.Column("fingerprint", sa.LargeBinary(32)),
    )
    op.create_index("feedback_by_tenant", "feedback", ["tenant", "created_at", "id"])
    op.create_index("feedback_by_request", "feedback", ["tenant", "request_id", "created_at"])
    op.create_index("feedback_by_age", "feedback", ["created_at"])
    create_tables(op)


def downgrade() -> None:
    drop_tables(op)
    op.drop_table("feedback")
