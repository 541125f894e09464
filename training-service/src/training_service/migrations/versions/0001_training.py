"""Data sets, trained models, kept requests, feedback; jobs, outbox and inbox."""

from alembic import op

from servicekit import jobs, outbox
from training_service.adapters import tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    tables.create_tables(op.get_bind())
    jobs.create_tables(op)
    outbox.create_tables(op)


def downgrade() -> None:
    outbox.drop_tables(op)
    jobs.drop_tables(op)
    tables.drop_tables(op.get_bind())
