"""Evals, runs, batches, releases, routes and the audit, in SQLite or PostgreSQL."""

from eval_service.adapters.records.audit import Audit
from eval_service.adapters.records.evals import EvalRecords
from eval_service.adapters.records.once import Attempt, Repeated
from eval_service.adapters.records.releases import ReleaseRecords, Route

__all__ = ["Attempt", "Audit", "EvalRecords", "ReleaseRecords", "Repeated", "Route"]
