"""The records of stores, files and batches, over SQLite or PostgreSQL."""

from retrieval_service.adapters.records.records import SqlRecords
from retrieval_service.adapters.records.upkeep import SqlUpkeep

__all__ = ["SqlRecords", "SqlUpkeep"]
