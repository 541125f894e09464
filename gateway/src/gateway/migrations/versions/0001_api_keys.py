"""API keys, the counter that orders their changes, and idempotent creations."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(12), primary_key=True),
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("scopes", sa.String(1000), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.String(300), nullable=False),
        sa.Column("created_revision", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.Double()),
        sa.Column("revoked_at", sa.Double()),
        sa.Column("requests_per_minute", sa.Integer()),
        sa.Column("tokens_per_minute", sa.BigInteger()),
        sa.Column("concurrency", sa.Integer()),
        sa.Column("revision", sa.BigInteger(), nullable=False),
    )
    op.create_index("api_keys_by_tenant", "api_keys", ["tenant", "created_revision"])
    op.create_index("api_keys_by_revision", "api_keys", ["revision"], unique=True)
    counter = op.create_table(
        "api_key_revision",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
    )
    op.bulk_insert(counter, [{"id": 1, "value": 0}])
    op.create_table(
        "api_key_attempts",
        sa.Column("token", sa.LargeBinary(32), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("key_id", sa.String(12), sa.ForeignKey("api_keys.id"), nullable=False),
        sa.Column("sealed", sa.LargeBinary(512), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
    )
    op.create_index("api_key_attempts_by_expiry", "api_key_attempts", ["expires_at"])


def downgrade() -> None:
    op.drop_table("api_key_attempts")
    op.drop_table("api_key_revision")
    op.drop_table("api_keys")
