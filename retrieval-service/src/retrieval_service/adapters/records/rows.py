"""Rows to the domain's words and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import RowMapping

from retrieval_service.documents.errors import FileFault, FileReason
from retrieval_service.stores.types import (
    Attachment,
    Batch,
    Chunking,
    Counts,
    FileRef,
    FileState,
    NewFile,
    Store,
)

Row = RowMapping | Mapping[str, Any]


def json(value: Mapping[str, Any]) -> str:
    """A mapping as text. Keys are sorted, so that equal mappings are equal texts."""
    return orjson.dumps(dict(value), option=orjson.OPT_SORT_KEYS).decode()


def store_row(store: Store) -> dict[str, Any]:
    """A new store's row."""
    return {
        "tenant": store.tenant,
        "id": store.id,
        "name": store.name,
        "description": store.description,
        "created_us": store.created_us,
        "last_active_us": store.last_active_us,
        "expires_after_days": store.expires_after_days,
        "metadata": json(store.metadata),
        "weights": json(store.weights),
        "threshold": store.threshold,
        "embedding_model": store.embedding_model,
        "embedding_version": store.embedding_version,
        "deleted": False,
    }


def to_store(row: Row) -> Store:
    """A store from its row."""
    return Store(
        tenant=row["tenant"],
        id=row["id"],
        name=row["name"],
        description=row["description"],
        created_us=row["created_us"],
        last_active_us=row["last_active_us"],
        expires_after_days=row["expires_after_days"],
        metadata=orjson.loads(row["metadata"]),
        weights=orjson.loads(row["weights"]),
        threshold=row["threshold"],
        embedding_model=row["embedding_model"],
        embedding_version=row["embedding_version"],
    )


def attachment_row(
    tenant: str, store_id: str, attachment_id: str, new: NewFile, *, created_us: int, batch_id: str
) -> dict[str, Any]:
    """The row of a file that was just attached."""
    return {
        "tenant": tenant,
        "store_id": store_id,
        "id": attachment_id,
        "file_id": new.file.id,
        "filename": new.file.filename,
        "bytes": new.file.bytes,
        "sha256": new.file.sha256,
        "object_key": new.file.object_key,
        "file_created_at": new.file.created_at,
        "created_us": created_us,
        "state": FileState.IN_PROGRESS.value,
        "is_current": True,
        "accepted": False,
        "retry_us": 0,
        "batch_id": batch_id,
        "attributes": json(new.attributes),
        "max_tokens": new.chunking.max_tokens,
        "overlap_tokens": new.chunking.overlap_tokens,
        "is_static": new.chunking.is_static,
        "reason": "",
        "message": "",
        "passages": 0,
        "pages": 0,
        "usage_bytes": 0,
        "language": "",
        "digest": "",
        "signature": b"",
        "duplicate_of": "",
        "near_duplicate_of": "",
        "index_id": "",
        "attempts": 0,
        "embedding": "",
        "event_id": "",
        "traceparent": "",
    }


def to_attachment(row: Row) -> Attachment:
    """An attachment from its row."""
    return Attachment(
        tenant=row["tenant"],
        store_id=row["store_id"],
        id=row["id"],
        file=FileRef(
            id=row["file_id"],
            filename=row["filename"],
            bytes=row["bytes"],
            sha256=row["sha256"],
            object_key=row["object_key"],
            created_at=row["file_created_at"],
        ),
        created_us=row["created_us"],
        state=FileState(row["state"]),
        current=bool(row["is_current"]),
        batch_id=row["batch_id"],
        attributes=orjson.loads(row["attributes"]),
        chunking=Chunking(row["max_tokens"], row["overlap_tokens"], bool(row["is_static"])),
        fault=FileFault(FileReason(row["reason"]), row["message"]) if row["reason"] else None,
        passages=row["passages"],
        pages=row["pages"],
        usage_bytes=row["usage_bytes"],
        language=row["language"],
        duplicate_of=row["duplicate_of"],
        near_duplicate_of=row["near_duplicate_of"],
        index_id=row["index_id"],
        attempts=row["attempts"],
        embedding=row["embedding"],
        traceparent=row["traceparent"],
    )


def to_batch(row: Row, counts: Counts) -> Batch:
    """A batch from its row."""
    return Batch(row["tenant"], row["id"], row["store_id"], row["created_us"], bool(row["cancelled"]), counts)


def to_counts(by_state: Mapping[str, int]) -> Counts:
    """Counts from numbers by state."""
    return Counts(**{state.value: int(by_state.get(state.value, 0)) for state in FileState})
