"""The events that changes of records announce, as the contract has them."""

from __future__ import annotations

from dataclasses import replace

from retrieval_service.adapters.records.rows import Row
from servicekit.bus import Event
from sixfold.events.v1 import document_pb2

SOURCE = "retrieval-service"
ADDED = "document.added"
REMOVED = "document.removed"
INDEXED = "document.indexed"


def added(row: Row) -> Event:
    """A file was attached and waits."""
    message = document_pb2.DocumentAdded(
        store_id=row["store_id"],
        file_id=row["file_id"],
        attachment_id=row["id"],
        sha256=row["sha256"],
        bytes=row["bytes"],
    )
    return Event.new(ADDED, message, source=SOURCE, subject=row["file_id"], tenant=row["tenant"])


def added_again(row: Row) -> Event:
    """The event that announced this row, for the dead letters: its own id and trace."""
    return replace(
        added(row),
        id=row["event_id"] or f"evt_{row['id']}",
        traceparent=row["traceparent"],
    )


def removed(row: Row) -> Event:
    """A file left a store."""
    message = document_pb2.DocumentRemoved(
        store_id=row["store_id"], file_id=row["file_id"], attachment_id=row["id"]
    )
    return Event.new(REMOVED, message, source=SOURCE, subject=row["file_id"], tenant=row["tenant"])


def indexed(row: Row, *, seconds: float) -> Event:
    """A file's way ended."""
    message = document_pb2.DocumentIndexed(
        store_id=row["store_id"],
        file_id=row["file_id"],
        attachment_id=row["id"],
        status=row["state"],
        reason=row["reason"],
        passages=row["passages"],
        pages=row["pages"],
        seconds=seconds,
        embedding_model=row["embedding"],
    )
    return Event.new(INDEXED, message, source=SOURCE, subject=row["file_id"], tenant=row["tenant"])
