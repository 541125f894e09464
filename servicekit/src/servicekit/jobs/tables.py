"""Jobs, diaries and checkpoints, as the code sees them and as a service's migration creates them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, MetaData, String, Table, Text

from servicekit.outbox.tables import Op

METADATA = MetaData()

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(63), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("idempotency_key", String(200), nullable=False),
    Column("digest", String(64), nullable=False),  # of the order, to tell the same one from another
    Column("status", String(16), nullable=False),
    Column("wanted", String(16), nullable=False),  # "", "cancel" or "pause": asked of a running job
    Column("priority", Integer, nullable=False),
    Column("spec", LargeBinary, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("traceparent", String(64), nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),  # one after the other, without a step forward
    Column("fence", BigInteger, nullable=False),
    Column("worker", String(200), nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("ready_at", Double, nullable=False),  # not claimed earlier
    Column("created_at", Double, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("began_at", Double, nullable=False),  # the attempt
    Column("began_progress", Double, nullable=False),
    Column("ran_seconds", Double, nullable=False),
    Column("finished_at", Double, nullable=False),
    Column("progress", Double, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("step", BigInteger, nullable=False),  # of the newest checkpoint; -1 for none
    Column("events", Integer, nullable=False),  # lines ever written to the diary
    Column("reason", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("result", LargeBinary, nullable=False),
    Index("jobs_by_key", "tenant", "kind", "idempotency_key", unique=True),
    Index("jobs_by_age", "tenant", "kind", "created_at", "id"),
    Index("jobs_by_status", "status", "kind", "ready_at"),
)

EVENTS = Table(
    "job_events",
    METADATA,
    Column("job_id", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("created_at", Double, nullable=False),
    Column("level", String(8), nullable=False),
    Column("type", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

CHECKPOINTS = Table(
    "job_checkpoints",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("job_id", String(64), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("object_key", Text, nullable=False),
    Index("job_checkpoints_by_step", "job_id", "step", unique=True),
)

SHARES = Table(
    "job_shares",
    METADATA,
    Column("tenant", String(63), primary_key=True),
    Column("served_at", Double, nullable=False),
)


def create_tables(op: Op) -> None:
    """Call it in `upgrade()` with Alembic's `op`, beside `outbox.create_tables(op)`."""
    METADATA.create_all(op.get_bind(), checkfirst=False)


def drop_tables(op: Op) -> None:
    """The way back."""
    METADATA.drop_all(op.get_bind(), checkfirst=False)
