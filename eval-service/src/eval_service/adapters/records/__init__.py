"""Evals, runs, batches, releases and routes, in SQLite or PostgreSQL."""

from eval_service.adapters.records.evals import EvalRecords
from eval_service.adapters.records.once import Attempt, Repeated
from eval_service.adapters.records.releases import ReleaseRecords, Route

__all__ = ["Attempt", "EvalRecords", "ReleaseRecords", "Repeated", "Route"]
