"""retrieval-service over gRPC: the gateway's own words to the contract's messages, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from gateway.adapters.h2.channel import Channel
from gateway.adapters.h2.unary import only_message
from gateway.retrieval import types as t
from gateway.retrieval.filters import Comparison, Filter, Value
from gateway.routing.ports import Asker
from servicekit.errors import Reason, SixfoldError
from servicekit.identity import ServiceIdentity
from servicekit.rpc import call_metadata
from sixfold.retrieval.v1 import retrieval_service_pb2 as pb
from sixfold.retrieval.v1 import search_pb2, store_pb2

AUDIENCE = "retrieval-service"
_HEALTH, _SERVING = b"/grpc.health.v1.Health/Check", b"\x08\x01"
"""Asked with an empty message; the answer's one field is `status`. Its own generated code would load gRPC."""
_SERVICE = "/sixfold.retrieval.v1.RetrievalService/"

_FILE_STATUS: dict[int, t.FileStatus] = {
    store_pb2.FILE_STATUS_IN_PROGRESS: "in_progress",
    store_pb2.FILE_STATUS_COMPLETED: "completed",
    store_pb2.FILE_STATUS_FAILED: "failed",
    store_pb2.FILE_STATUS_CANCELLED: "cancelled",
}
_FILE_NUMBER = {word: number for number, word in _FILE_STATUS.items()}
_STORE_STATUS: dict[int, t.StoreStatus] = {
    store_pb2.STORE_STATUS_IN_PROGRESS: "in_progress",
    store_pb2.STORE_STATUS_COMPLETED: "completed",
    store_pb2.STORE_STATUS_EXPIRED: "expired",
}
_OPERATORS = {
    name.removeprefix("OPERATOR_").lower(): number for name, number in search_pb2.Operator.items() if number
}


R = TypeVar("R", bound=Message)


class GrpcRetrievalClient:
    """`gateway.retrieval.ports.Retrieval` over one channel. Tokens name the gateway, tenant and subject."""

    def __init__(self, channel: Channel, identity: ServiceIdentity) -> None:
        self._channel = channel
        self._identity = identity

    async def _ask(self, asker: Asker, method: str, request: Message, answer: type[R], deadline: float) -> R:
        metadata = call_metadata(
            self._identity, AUDIENCE, asker.tenant, subject=asker.subject, request_id=asker.request_id
        )
        path = (_SERVICE + method).encode()
        call = self._channel.call(path, metadata, request.SerializeToString(), deadline)
        raw = await only_message(call)
        try:
            return answer.FromString(raw)
        except Exception:  # protobuf raises DecodeError
            raise SixfoldError(
                call.peer.broken, f"The {call.peer.name} sent a message that cannot be read.", retry_after=1
            ) from None

    async def create_store(
        self,
        asker: Asker,
        request_id: str,
        *,
        name: str,
        description: str = "",
        expires_after_days: int = 0,
        metadata: Mapping[str, str] | None = None,
        files: Sequence[t.FileToAdd] = (),
        deadline: float,
    ) -> t.Store:
        """See the port, here and below."""
        request = pb.CreateStoreRequest(
            request_id=request_id,
            name=name,
            description=description,
            expires_after_days=expires_after_days,
            metadata=metadata or {},
            files=[_file_to_add(file) for file in files],
        )
        answer = await self._ask(asker, "CreateStore", request, pb.CreateStoreResponse, deadline)
        return _store(answer.store)

    async def get_store(self, asker: Asker, store_id: str, *, deadline: float) -> t.Store:
        request = pb.GetStoreRequest(store_id=store_id)
        answer = await self._ask(asker, "GetStore", request, pb.GetStoreResponse, deadline)
        return _store(answer.store)

    async def list_stores(self, asker: Asker, page: t.Page, *, name: str = "", deadline: float) -> t.Stores:
        request = pb.ListStoresRequest(page=_page(page), name=name)
        answer = await self._ask(asker, "ListStores", request, pb.ListStoresResponse, deadline)
        return t.Stores(tuple(_store(store) for store in answer.stores), answer.has_more)

    async def update_store(
        self,
        asker: Asker,
        request_id: str,
        store_id: str,
        *,
        name: str | None = None,
        expires_after_days: int | None = None,
        metadata: Mapping[str, str] | None = None,
        deadline: float,
    ) -> t.Store:
        request = pb.UpdateStoreRequest(
            request_id=request_id,
            store_id=store_id,
            name=name,
            expires_after_days=expires_after_days,
            set_metadata=metadata is not None,
            metadata=metadata or {},
        )
        answer = await self._ask(asker, "UpdateStore", request, pb.UpdateStoreResponse, deadline)
        return _store(answer.store)

    async def delete_store(self, asker: Asker, request_id: str, store_id: str, *, deadline: float) -> None:
        request = pb.DeleteStoreRequest(request_id=request_id, store_id=store_id)
        await self._ask(asker, "DeleteStore", request, pb.DeleteStoreResponse, deadline)

    async def add_files(
        self,
        asker: Asker,
        request_id: str,
        store_id: str,
        files: Sequence[t.FileToAdd],
        *,
        batch: bool,
        deadline: float,
    ) -> t.Added:
        request = pb.AddFilesRequest(
            request_id=request_id,
            store_id=store_id,
            files=[_file_to_add(file) for file in files],
            batch=batch,
        )
        answer = await self._ask(asker, "AddFiles", request, pb.AddFilesResponse, deadline)
        return t.Added(
            tuple(_file(file) for file in answer.files),
            _batch(answer.batch) if answer.HasField("batch") else None,
        )

    async def get_file(self, asker: Asker, store_id: str, file_id: str, *, deadline: float) -> t.StoreFile:
        request = pb.GetFileRequest(store_id=store_id, file_id=file_id)
        answer = await self._ask(asker, "GetFile", request, pb.GetFileResponse, deadline)
        return _file(answer.file)

    async def list_files(
        self,
        asker: Asker,
        store_id: str,
        page: t.Page,
        *,
        batch_id: str = "",
        status: t.FileStatus | None = None,
        deadline: float,
    ) -> t.StoreFiles:
        request = pb.ListFilesRequest(
            store_id=store_id,
            batch_id=batch_id,
            status=None if status is None else _FILE_NUMBER[status],  # type: ignore[arg-type]
            page=_page(page),
        )
        answer = await self._ask(asker, "ListFiles", request, pb.ListFilesResponse, deadline)
        return t.StoreFiles(tuple(_file(file) for file in answer.files), answer.has_more)

    async def update_file(
        self,
        asker: Asker,
        request_id: str,
        store_id: str,
        file_id: str,
        attributes: t.Attributes,
        *,
        deadline: float,
    ) -> t.StoreFile:
        request = pb.UpdateFileRequest(
            request_id=request_id,
            store_id=store_id,
            file_id=file_id,
            attributes=_attributes_out(attributes),
        )
        answer = await self._ask(asker, "UpdateFile", request, pb.UpdateFileResponse, deadline)
        return _file(answer.file)

    async def remove_file(
        self, asker: Asker, request_id: str, store_id: str, file_id: str, *, deadline: float
    ) -> None:
        request = pb.RemoveFileRequest(request_id=request_id, store_id=store_id, file_id=file_id)
        await self._ask(asker, "RemoveFile", request, pb.RemoveFileResponse, deadline)

    async def remove_document(self, asker: Asker, request_id: str, file_id: str, *, deadline: float) -> int:
        request = pb.RemoveDocumentRequest(request_id=request_id, file_id=file_id)
        answer = await self._ask(asker, "RemoveDocument", request, pb.RemoveDocumentResponse, deadline)
        return answer.stores

    async def list_passages(
        self,
        asker: Asker,
        store_id: str,
        file_id: str,
        *,
        page_size: int = 0,
        page_token: str = "",
        deadline: float,
    ) -> t.Passages:
        request = pb.ListPassagesRequest(
            store_id=store_id, file_id=file_id, page_size=page_size, page_token=page_token
        )
        answer = await self._ask(asker, "ListPassages", request, pb.ListPassagesResponse, deadline)
        return t.Passages(tuple(_passage(passage) for passage in answer.passages), answer.next_page_token)

    async def get_batch(self, asker: Asker, store_id: str, batch_id: str, *, deadline: float) -> t.Batch:
        request = pb.GetBatchRequest(store_id=store_id, batch_id=batch_id)
        answer = await self._ask(asker, "GetBatch", request, pb.GetBatchResponse, deadline)
        return _batch(answer.batch)

    async def cancel_batch(
        self, asker: Asker, request_id: str, store_id: str, batch_id: str, *, deadline: float
    ) -> t.Batch:
        request = pb.CancelBatchRequest(request_id=request_id, store_id=store_id, batch_id=batch_id)
        answer = await self._ask(asker, "CancelBatch", request, pb.CancelBatchResponse, deadline)
        return _batch(answer.batch)

    async def search(
        self,
        asker: Asker,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        max_results: int = 10,
        filter: Filter | None = None,
        threshold: float = 0.0,
        weight: float | None = None,
        deadline: float,
    ) -> t.Found:
        request = pb.SearchRequest(
            request_id=asker.request_id,
            store_ids=store_ids,
            queries=queries,
            max_results=max_results,
            filter=None if filter is None else _filter(filter),
            score_threshold=threshold,
            vector_weight=weight,
        )
        answer = await self._ask(asker, "Search", request, pb.SearchResponse, deadline)
        return t.Found(
            hits=tuple(_hit(hit) for hit in answer.hits),
            relevant=answer.relevant,
            vectors_used=answer.vectors_used,
            has_more=answer.has_more,
            embedding_model=answer.embedding_model,
        )

    async def check(self) -> None:
        """Whether the service serves. Raises SixfoldError otherwise."""
        call = self._channel.call(_HEALTH, (), b"", 1.0)
        if await only_message(call) != _SERVING:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "The retrieval service is not ready.")

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close()


def _page(page: t.Page) -> pb.Page:
    return pb.Page(limit=page.limit, after=page.after, before=page.before, ascending=page.ascending)


def _value_out(value: Value) -> store_pb2.AttributeValue:
    if isinstance(value, bool):
        return store_pb2.AttributeValue(flag=value)
    if isinstance(value, str):
        return store_pb2.AttributeValue(text=value)
    return store_pb2.AttributeValue(number=value)


def _value(value: store_pb2.AttributeValue) -> Value:
    kind = value.WhichOneof("kind")
    if kind == "flag":
        return value.flag
    return value.number if kind == "number" else value.text


def _attributes_out(attributes: t.Attributes) -> dict[str, store_pb2.AttributeValue]:
    return {key: _value_out(value) for key, value in attributes.items()}


def _attributes(attributes: Mapping[str, store_pb2.AttributeValue]) -> dict[str, Value]:
    return {key: _value(value) for key, value in attributes.items()}


def _filter(given: Filter) -> search_pb2.Filter:
    if isinstance(given, Comparison):
        return search_pb2.Filter(
            comparison=search_pb2.Comparison(
                key=given.key,
                operator=_OPERATORS[given.operator],  # type: ignore[arg-type]
                values=[_value_out(value) for value in given.values],
            )
        )
    return search_pb2.Filter(
        compound=search_pb2.Compound(any=given.any, filters=[_filter(inner) for inner in given.filters])
    )


def _file_to_add(given: t.FileToAdd) -> pb.FileToAdd:
    file, chunking = given.file, given.chunking
    return pb.FileToAdd(
        file=store_pb2.FileRef(
            id=file.id,
            filename=file.filename,
            bytes=file.bytes,
            sha256=file.sha256,
            object_key=file.object_key,
            created_at=file.created_at,
        ),
        attributes=_attributes_out(given.attributes),
        chunking=store_pb2.ChunkingStrategy(
            max_tokens=chunking.max_tokens,
            overlap_tokens=chunking.overlap_tokens,
            is_static=chunking.is_static,
        ),
    )


def _counts(counts: store_pb2.FileCounts) -> t.Counts:
    return t.Counts(counts.in_progress, counts.completed, counts.failed, counts.cancelled, counts.total)


def _store(store: store_pb2.Store) -> t.Store:
    return t.Store(
        id=store.id,
        name=store.name,
        description=store.description,
        created_at=store.created_at,
        last_active_at=store.last_active_at,
        usage_bytes=store.usage_bytes,
        counts=_counts(store.counts),
        status=_STORE_STATUS.get(store.status, "in_progress"),
        expires_after_days=store.expires_after_days,
        expires_at=store.expires_at,
        metadata=dict(store.metadata),
    )


def _file(file: store_pb2.StoreFile) -> t.StoreFile:
    chunking, error = file.chunking, file.error
    return t.StoreFile(
        id=file.file_id,
        store_id=file.store_id,
        filename=file.filename,
        created_at=file.created_at,
        usage_bytes=file.usage_bytes,
        status=_FILE_STATUS.get(file.status, "in_progress"),
        error=t.FileError(error.code, error.reason, error.message) if file.HasField("error") else None,
        chunking=t.Chunking(chunking.max_tokens, chunking.overlap_tokens, chunking.is_static),
        attributes=_attributes(file.attributes),
        batch_id=file.batch_id,
        passages=file.passages,
        pages=file.pages,
        language=file.language,
        duplicate_of=file.duplicate_of,
        sha256=file.sha256,
    )


def _batch(batch: store_pb2.Batch) -> t.Batch:
    return t.Batch(
        id=batch.id,
        store_id=batch.store_id,
        created_at=batch.created_at,
        counts=_counts(batch.counts),
        status=_FILE_STATUS.get(batch.status, "in_progress"),
    )


def _passage(passage: search_pb2.Passage) -> t.Passage:
    return t.Passage(
        id=passage.id,
        index=passage.index,
        text=passage.text,
        page_first=passage.page_first,
        page_last=passage.page_last,
        headings=tuple(passage.headings),
        char_start=passage.char_start,
        char_end=passage.char_end,
        language=passage.language,
    )


def _hit(hit: search_pb2.Hit) -> t.Hit:
    return t.Hit(
        file_id=hit.file_id,
        filename=hit.filename,
        store_id=hit.store_id,
        score=hit.score,
        attributes=_attributes(hit.attributes),
        passage=_passage(hit.passage),
        text_score=hit.text_score,
        vector_score=hit.vector_score,
    )
