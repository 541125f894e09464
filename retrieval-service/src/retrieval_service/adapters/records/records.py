"""All of it under one name."""

from __future__ import annotations

from retrieval_service.adapters.records.files import FileRecords
from retrieval_service.adapters.records.indexing import IndexingRecords
from retrieval_service.adapters.records.stores import StoreRecords


class SqlRecords(StoreRecords, FileRecords, IndexingRecords):
    """`retrieval_service.stores.records.Records` over SQLite or PostgreSQL."""
