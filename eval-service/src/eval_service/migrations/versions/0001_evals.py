"""Evals, runs, batches, releases, routes, what canaries show, the audit; jobs, outbox and inbox."""

import sqlalchemy as sa
from alembic import op

from servicekit import jobs, outbox

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "evals",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("config", sa.LargeBinary(), nullable=False),
        sa.Column("criteria", sa.LargeBinary(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
    )
    op.create_index("evals_by_age", "evals", ["tenant", "created_us", "id"])
    op.create_table(
        "runs",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("eval_id", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("data_source", sa.LargeBinary(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
    )
    op.create_index("runs_by_age", "runs", ["tenant", "eval_id", "created_us", "id"])
    op.create_table(
        "batches",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("endpoint", sa.String(64), nullable=False),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("cancelling_us", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("partial", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
    )
    op.create_index("batches_by_age", "batches", ["tenant", "created_us", "id"])
    op.create_table(
        "releases",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("alias", sa.String(200), nullable=False),
        sa.Column("candidate", sa.String(200), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("changed_us", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
    )
    op.create_index("releases_by_age", "releases", ["tenant", "created_us", "id"])
    op.create_index(
        "releases_active",
        "releases",
        ["tenant", "alias"],
        unique=True,
        sqlite_where=sa.text("is_active"),
        postgresql_where=sa.text("is_active"),
    )
    op.create_table(
        "routes",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("alias", sa.String(200), primary_key=True),
        sa.Column("champion", sa.String(200), nullable=False),
        sa.Column("candidate", sa.String(200), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("salt", sa.String(64), nullable=False),
        sa.Column("release_id", sa.String(64), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
    )
    head = op.create_table(
        "route_head",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "revision": 0}])
    op.create_table(
        "canary_answers",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("request_id", sa.String(128), primary_key=True),
        sa.Column("release_id", sa.String(64), nullable=False),
        sa.Column("arm", sa.Integer(), nullable=False),
        sa.Column("value", sa.Double()),
        sa.Column("known_us", sa.BigInteger(), nullable=False),
    )
    op.create_index("canary_answers_by_release", "canary_answers", ["release_id", "known_us"])
    op.create_table(
        "canary_feedback",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("feedback_id", sa.String(128), primary_key=True),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("known_us", sa.BigInteger(), nullable=False),
    )
    op.create_index("canary_feedback_by_request", "canary_feedback", ["tenant", "request_id"])
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
    jobs.create_tables(op)


def downgrade() -> None:
    jobs.drop_tables(op)
    outbox.drop_tables(op)
    for table in (
        "answers",
        "audit",
        "canary_feedback",
        "canary_answers",
        "route_head",
        "routes",
        "releases",
        "batches",
        "runs",
        "evals",
    ):
        op.drop_table(table)
