"""What the registry has yet to show of releases, and who shows it."""

from alembic import op

from training_service.adapters import tables

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    tables.create_registry_tables(op.get_bind())


def downgrade() -> None:
    tables.drop_registry_tables(op.get_bind())
