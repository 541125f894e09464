"""The domain's words to responses of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from retrieval_service.documents.attributes import Attributes, Value
from retrieval_service.documents.errors import FileFault
from retrieval_service.documents.passage import Passage
from retrieval_service.stores.finder import Found, Hit
from retrieval_service.stores.records import Added
from retrieval_service.stores.types import Attachment, Batch, Counts, FileState, Store, StoreView
from sixfold.retrieval.v1 import retrieval_service_pb2 as pb
from sixfold.retrieval.v1 import search_pb2, store_pb2

_SECOND = 1_000_000
_STATES = {
    FileState.IN_PROGRESS: store_pb2.FILE_STATUS_IN_PROGRESS,
    FileState.COMPLETED: store_pb2.FILE_STATUS_COMPLETED,
    FileState.FAILED: store_pb2.FILE_STATUS_FAILED,
    FileState.CANCELLED: store_pb2.FILE_STATUS_CANCELLED,
}


def to_store(view: StoreView, now_us: int) -> store_pb2.Store:
    """As it stands at this time."""
    store = view.store
    if store.expired(now_us):
        status = store_pb2.STORE_STATUS_EXPIRED
    elif view.counts.in_progress:
        status = store_pb2.STORE_STATUS_IN_PROGRESS
    else:
        status = store_pb2.STORE_STATUS_COMPLETED
    return store_pb2.Store(
        id=store.id,
        name=store.name,
        description=store.description,
        created_at=store.created_us // _SECOND,
        last_active_at=store.last_active_us // _SECOND,
        usage_bytes=view.usage_bytes,
        counts=to_counts(view.counts),
        status=status,
        expires_after_days=store.expires_after_days,
        expires_at=store.expires_us // _SECOND,
        metadata=store.metadata,
        weights=to_weights(store),
    )


def to_weights(store: Store) -> list[store_pb2.FusionWeight]:
    """In the order of languages."""
    return [
        store_pb2.FusionWeight(language=language, vector_weight=weight)
        for language, weight in sorted(store.weights.items())
    ]


def to_counts(counts: Counts) -> store_pb2.FileCounts:
    """Files by state."""
    return store_pb2.FileCounts(
        in_progress=counts.in_progress,
        completed=counts.completed,
        failed=counts.failed,
        cancelled=counts.cancelled,
        total=counts.total,
    )


def to_file(attachment: Attachment) -> store_pb2.StoreFile:
    """A file in a store."""
    cut = attachment.chunking
    return store_pb2.StoreFile(
        file_id=attachment.file.id,
        store_id=attachment.store_id,
        created_at=attachment.created_us // _SECOND,
        usage_bytes=attachment.usage_bytes,
        status=_STATES[attachment.state],
        error=_to_error(attachment.fault),
        chunking=store_pb2.ChunkingStrategy(
            max_tokens=cut.max_tokens, overlap_tokens=cut.overlap_tokens, is_static=cut.is_static
        ),
        attributes=to_attributes(attachment.attributes),
        filename=attachment.file.filename,
        attachment_id=attachment.id,
        batch_id=attachment.batch_id,
        passages=attachment.passages,
        pages=attachment.pages,
        language=attachment.language,
        duplicate_of=attachment.duplicate_of,
        sha256=attachment.file.sha256,
    )


def to_batch(batch: Batch) -> store_pb2.Batch:
    """Files that were attached together."""
    return store_pb2.Batch(
        id=batch.id,
        store_id=batch.store_id,
        created_at=batch.created_us // _SECOND,
        counts=to_counts(batch.counts),
        status=_STATES[batch.state],
    )


def to_added(added: Added) -> pb.AddFilesResponse:
    """In the order given."""
    response = pb.AddFilesResponse(files=[to_file(each) for each in added.attachments])
    if added.batch is not None:
        response.batch.CopyFrom(to_batch(added.batch))
    return response


def to_attributes(attributes: Attributes) -> dict[str, store_pb2.AttributeValue]:
    """What searches filter by."""
    return {key: _to_value(value) for key, value in attributes.items()}


def to_passage(passage_id: str, passage: Passage) -> search_pb2.Passage:
    """A passage with its place."""
    return search_pb2.Passage(
        id=passage_id,
        index=passage.index,
        text=passage.text,
        page_first=passage.page_first,
        page_last=passage.page_last,
        headings=passage.headings,
        char_start=passage.char_start,
        char_end=passage.char_end,
        language=passage.language,
    )


def to_passages(
    passages: Iterable[tuple[str, Passage]], *, following: int, total: int
) -> pb.ListPassagesResponse:
    """A page; the token is the number of the first passage of the next."""
    return pb.ListPassagesResponse(
        passages=[to_passage(name, passage) for name, passage in passages],
        next_page_token=str(following) if following < total else "",
    )


def to_found(found: Found) -> pb.SearchResponse:
    """The best first."""
    return pb.SearchResponse(
        hits=to_hits(found.hits),
        has_more=found.has_more,
        relevant=found.relevant,
        vectors_used=found.vectors_used,
        embedding_model=found.embedding_model,
    )


def to_hits(hits: Sequence[Hit]) -> list[search_pb2.Hit]:
    """Passages with their sources."""
    return [
        search_pb2.Hit(
            file_id=hit.attachment.file.id,
            filename=hit.attachment.file.filename,
            store_id=hit.attachment.store_id,
            score=hit.ranked.score,
            attributes=to_attributes(hit.attachment.attributes),
            passage=to_passage(hit.ranked.passage_id, hit.ranked.passage),
            text_score=hit.ranked.text_score,
            vector_score=hit.ranked.vector_score,
        )
        for hit in hits
    ]


def _to_error(fault: FileFault | None) -> store_pb2.FileError | None:
    if fault is None:
        return None
    return store_pb2.FileError(code=fault.code, reason=fault.reason.value, message=fault.message)


def _to_value(value: Value) -> store_pb2.AttributeValue:
    if isinstance(value, bool):
        return store_pb2.AttributeValue(flag=value)
    if isinstance(value, str):
        return store_pb2.AttributeValue(text=value)
    return store_pb2.AttributeValue(number=value)
