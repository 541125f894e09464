"""An audit whose lines say who did what to which name, and that nobody changes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_WHAT = """
    CASE WHEN action = 'created' THEN 'release.created'
         WHEN action = 'approval' AND after = 'refused' THEN 'rejected'
         WHEN action = 'approval' THEN 'approved'
         WHEN after = 'refused' THEN 'gate.refused'
         WHEN after = 'awaiting_approval' THEN 'gate.passed'
         WHEN after = 'canary' THEN 'canary.step'
         ELSE after END
"""
_TAKE_OVER = f"""
    INSERT INTO audit_trail
        (tenant, id, created_us, release_id, alias, candidate, action, subject, role, reason, details)
    SELECT old.tenant, old.release_id || '-' || old.revision || '-1', old.at_us, old.release_id,
           releases.alias, releases.candidate, {_WHAT}, old.subject, '', old.reason, '{{}}'
    FROM audit AS old
    JOIN releases ON releases.tenant = old.tenant AND releases.id = old.release_id
"""  # noqa: S608  nothing of it comes from outside
_REFUSE = """
    CREATE FUNCTION audit_trail_stays() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the audit is only added to'; END $$
"""


def upgrade() -> None:
    op.create_table(
        "audit_trail",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("release_id", sa.String(64), nullable=False),
        sa.Column("alias", sa.String(200), nullable=False),
        sa.Column("candidate", sa.String(200), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("role", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
    )
    op.create_index("audit_trail_by_age", "audit_trail", ["tenant", "created_us", "id"])
    op.create_index("audit_trail_by_alias", "audit_trail", ["tenant", "alias", "created_us"])
    op.create_index("audit_trail_by_release", "audit_trail", ["tenant", "release_id", "created_us"])
    op.execute(_TAKE_OVER)
    op.drop_table("audit")
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_REFUSE)
        op.execute(
            "CREATE TRIGGER audit_trail_stays BEFORE UPDATE OR DELETE ON audit_trail "
            "FOR EACH ROW EXECUTE FUNCTION audit_trail_stays()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_trail_no_{change.lower()} BEFORE {change} ON audit_trail "
            "BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER audit_trail_stays ON audit_trail")
        op.execute("DROP FUNCTION audit_trail_stays()")
    op.drop_table("audit_trail")
    op.create_table(
        "audit",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("release_id", sa.String(64), primary_key=True),
        sa.Column("revision", sa.BigInteger(), primary_key=True),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("before", sa.String(24), nullable=False),
        sa.Column("after", sa.String(24), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
    )
