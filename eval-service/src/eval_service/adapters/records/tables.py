"""The tables. `migrations/` makes them; this is how they are read. Every one names the tenant of its rows."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

evals = Table(
    "evals",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("config", LargeBinary, nullable=False),  # JSON, as it was given
    Column("criteria", LargeBinary, nullable=False),  # JSON, as it was given
    Column("metadata", Text, nullable=False),  # JSON
)

runs = Table(
    "runs",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("id", String(64), primary_key=True),  # the job's
    Column("eval_id", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("model", String(200), nullable=False),  # as it was asked for
    Column("created_us", BigInteger, nullable=False),
    Column("data_source", LargeBinary, nullable=False),
    Column("metadata", Text, nullable=False),
)

batches = Table(
    "batches",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("id", String(64), primary_key=True),  # the job's
    Column("endpoint", String(64), nullable=False),
    Column("input", Text, nullable=False),  # JSON
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("cancelling_us", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),  # requests, once they are counted
    Column("fence", BigInteger, nullable=False),  # of the attempt that wrote the two others
    Column("partial", Text, nullable=False),  # JSON: what is left of one that was called off
    Column("metadata", Text, nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("alias", String(200), nullable=False),
    Column("candidate", String(200), nullable=False),
    Column("state", String(24), nullable=False),
    Column("is_active", Boolean, nullable=False),  # one of an alias at most
    Column("revision", BigInteger, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("changed_us", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),  # JSON: all of it
)

routes = Table(
    "routes",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("alias", String(200), primary_key=True),
    Column("champion", String(200), nullable=False),
    Column("candidate", String(200), nullable=False),
    Column("share", Double, nullable=False),
    Column("salt", String(64), nullable=False),
    Column("release_id", String(64), nullable=False),
    Column("revision", BigInteger, nullable=False),
)

route_head = Table(
    "route_head",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False),
)

canary_answers = Table(
    "canary_answers",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("request_id", String(128), primary_key=True),
    Column("release_id", String(64), nullable=False),
    Column("arm", Integer, nullable=False),
    Column("value", Double),  # 1 for an answer, 0 for a failure, null for the caller's own fault
    Column("known_us", BigInteger, nullable=False),
)

canary_feedback = Table(
    "canary_feedback",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("feedback_id", String(128), primary_key=True),
    Column("request_id", String(128), nullable=False),
    Column("value", Double, nullable=False),
    Column("known_us", BigInteger, nullable=False),
)

audit_trail = Table(
    "audit_trail",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("id", String(64), primary_key=True),  # release, its revision, number within the step
    Column("created_us", BigInteger, nullable=False),
    Column("release_id", String(64), nullable=False),
    Column("alias", String(200), nullable=False),
    Column("candidate", String(200), nullable=False),
    Column("action", String(32), nullable=False),
    Column("subject", Text, nullable=False),  # empty: the service by itself
    Column("role", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("details", Text, nullable=False),  # JSON
)

answers = Table(
    "answers",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("request_id", String(128), primary_key=True),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
)
