"""The RetrievalService servicer."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc.aio
from google.protobuf.message import Message

from retrieval_service import metrics
from retrieval_service.api import requests
from retrieval_service.api.responses import (
    to_added,
    to_batch,
    to_file,
    to_found,
    to_passages,
    to_store,
    to_weights,
)
from retrieval_service.stores.finder import Finder
from retrieval_service.stores.records import Attempt, Removed, Repeated
from retrieval_service.stores.service import Stores
from retrieval_service.stores.tuning import Tuned, Tuner
from retrieval_service.stores.types import Attachment, Batch, StoreView
from servicekit.errors import Reason, SixfoldError
from servicekit.identity import NO_TENANT, current_caller
from sixfold.retrieval.v1 import retrieval_service_pb2 as pb
from sixfold.retrieval.v1 import retrieval_service_pb2_grpc

_Context = grpc.aio.ServicerContext[Any, Any]
R = TypeVar("R", bound=Message)


class RetrievalService(retrieval_service_pb2_grpc.RetrievalServiceServicer):
    """Every method takes the tenant from the verified token, checks, asks the domain, and translates."""

    def __init__(self, stores: Stores, finder: Finder, tuner: Tuner, bounds: requests.Bounds) -> None:
        self._stores = stores
        self._finder = finder
        self._tuner = tuner
        self._bounds = bounds

    async def CreateStore(  # noqa: N802
        self, request: pb.CreateStoreRequest, context: _Context
    ) -> pb.CreateStoreResponse:
        """With its first files."""
        tenant = _tenant()

        async def work(attempt: Attempt) -> StoreView:
            return await self._stores.create(
                tenant,
                attempt,
                name=requests.name(request.name),
                description=requests.description(request.description),
                expires_after_days=requests.expiry(request.expires_after_days),
                metadata=requests.metadata(request.metadata),
                files=requests.new_files(tenant, request.files, self._bounds, least=0),
            )

        def tell(view: StoreView) -> pb.CreateStoreResponse:
            return pb.CreateStoreResponse(store=to_store(view, _now()))

        return await _once(request, pb.CreateStoreResponse, work, tell)

    async def GetStore(  # noqa: N802
        self, request: pb.GetStoreRequest, context: _Context
    ) -> pb.GetStoreResponse:
        """As it stands."""
        view = await self._stores.get(_tenant(), requests.named(request.store_id, "store_id"))
        return pb.GetStoreResponse(store=to_store(view, _now()))

    async def ListStores(  # noqa: N802
        self, request: pb.ListStoresRequest, context: _Context
    ) -> pb.ListStoresResponse:
        """A page of the tenant's."""
        views, more = await self._stores.list_stores(
            _tenant(), requests.page(request.page), requests.name(request.name)
        )
        now = _now()
        return pb.ListStoresResponse(stores=[to_store(view, now) for view in views], has_more=more)

    async def UpdateStore(  # noqa: N802
        self, request: pb.UpdateStoreRequest, context: _Context
    ) -> pb.UpdateStoreResponse:
        """What is set."""
        tenant, store_id = _tenant(), requests.named(request.store_id, "store_id")
        changes = requests.store_changes(request)

        async def work(attempt: Attempt) -> StoreView:
            return await self._stores.update(tenant, store_id, attempt, changes)

        def tell(view: StoreView) -> pb.UpdateStoreResponse:
            return pb.UpdateStoreResponse(store=to_store(view, _now()))

        return await _once(request, pb.UpdateStoreResponse, work, tell)

    async def DeleteStore(  # noqa: N802
        self, request: pb.DeleteStoreRequest, context: _Context
    ) -> pb.DeleteStoreResponse:
        """Nobody finds it when this returns."""
        tenant, store_id = _tenant(), requests.named(request.store_id, "store_id")

        async def work(attempt: Attempt) -> None:
            await self._stores.delete(tenant, store_id, attempt)

        return await _once(request, pb.DeleteStoreResponse, work, lambda _: pb.DeleteStoreResponse())

    async def AddFiles(  # noqa: N802
        self, request: pb.AddFilesRequest, context: _Context
    ) -> pb.AddFilesResponse:
        """Durable when this returns."""
        tenant, store_id = _tenant(), requests.named(request.store_id, "store_id")
        files = requests.new_files(tenant, request.files, self._bounds)

        async def work(attempt: Attempt) -> Any:
            return await self._stores.add_files(tenant, store_id, attempt, files, batch=request.batch)

        return await _once(request, pb.AddFilesResponse, work, to_added)

    async def GetFile(  # noqa: N802
        self, request: pb.GetFileRequest, context: _Context
    ) -> pb.GetFileResponse:
        """As it stands."""
        found = await self._stores.file(
            _tenant(),
            requests.named(request.store_id, "store_id"),
            requests.named(request.file_id, "file_id"),
        )
        return pb.GetFileResponse(file=to_file(found))

    async def ListFiles(  # noqa: N802
        self, request: pb.ListFilesRequest, context: _Context
    ) -> pb.ListFilesResponse:
        """A page of a store's or a batch's."""
        found, more = await self._stores.list_files(
            _tenant(),
            requests.named(request.store_id, "store_id"),
            requests.page(request.page),
            batch_id=requests.named(request.batch_id, "batch_id") if request.batch_id else "",
            state=requests.state(request.status),
        )
        return pb.ListFilesResponse(files=[to_file(each) for each in found], has_more=more)

    async def UpdateFile(  # noqa: N802
        self, request: pb.UpdateFileRequest, context: _Context
    ) -> pb.UpdateFileResponse:
        """Searches see it when this returns."""
        tenant, store_id = _tenant(), requests.named(request.store_id, "store_id")
        file_id = requests.named(request.file_id, "file_id")
        attributes = requests.attributes(request.attributes, "attributes")

        async def work(attempt: Attempt) -> Attachment:
            return await self._stores.update_file(tenant, store_id, file_id, attempt, attributes)

        def tell(changed: Attachment) -> pb.UpdateFileResponse:
            return pb.UpdateFileResponse(file=to_file(changed))

        return await _once(request, pb.UpdateFileResponse, work, tell)

    async def RemoveFile(  # noqa: N802
        self, request: pb.RemoveFileRequest, context: _Context
    ) -> pb.RemoveFileResponse:
        """No search finds it when this returns."""
        tenant, store_id = _tenant(), requests.named(request.store_id, "store_id")
        file_id = requests.named(request.file_id, "file_id")

        async def work(attempt: Attempt) -> None:
            await self._stores.remove_file(tenant, store_id, file_id, attempt)

        return await _once(request, pb.RemoveFileResponse, work, lambda _: pb.RemoveFileResponse())

    async def RemoveDocument(  # noqa: N802
        self, request: pb.RemoveDocumentRequest, context: _Context
    ) -> pb.RemoveDocumentResponse:
        """No search finds it when this returns, in any store."""
        tenant, file_id = _tenant(), requests.named(request.file_id, "file_id")

        async def work(attempt: Attempt) -> Removed:
            return await self._stores.remove_document(tenant, file_id, attempt)

        def tell(removed: Removed) -> pb.RemoveDocumentResponse:
            return pb.RemoveDocumentResponse(stores=removed.stores)

        return await _once(request, pb.RemoveDocumentResponse, work, tell)

    async def ListPassages(  # noqa: N802
        self, request: pb.ListPassagesRequest, context: _Context
    ) -> pb.ListPassagesResponse:
        """In the order of the document."""
        start, limit = requests.passage_page(request.page_size, request.page_token)
        found, total = await self._stores.passages(
            _tenant(),
            requests.named(request.store_id, "store_id"),
            requests.named(request.file_id, "file_id"),
            start=start,
            limit=limit,
        )
        return to_passages(found, following=start + limit, total=total)

    async def GetBatch(  # noqa: N802
        self, request: pb.GetBatchRequest, context: _Context
    ) -> pb.GetBatchResponse:
        """As it stands."""
        found = await self._stores.batch(
            _tenant(),
            requests.named(request.store_id, "store_id"),
            requests.named(request.batch_id, "batch_id"),
        )
        return pb.GetBatchResponse(batch=to_batch(found))

    async def CancelBatch(  # noqa: N802
        self, request: pb.CancelBatchRequest, context: _Context
    ) -> pb.CancelBatchResponse:
        """What is indexed already stays."""
        tenant, store_id = _tenant(), requests.named(request.store_id, "store_id")
        batch_id = requests.named(request.batch_id, "batch_id")

        async def work(attempt: Attempt) -> Batch:
            return await self._stores.cancel_batch(tenant, store_id, batch_id, attempt)

        def tell(batch: Batch) -> pb.CancelBatchResponse:
            return pb.CancelBatchResponse(batch=to_batch(batch))

        return await _once(request, pb.CancelBatchResponse, work, tell)

    async def Search(  # noqa: N802
        self, request: pb.SearchRequest, context: _Context
    ) -> pb.SearchResponse:
        """The best passages first."""
        query = requests.search_query(request, self._bounds)
        began = time.perf_counter()
        found = await self._finder.search(_tenant(), query)
        metrics.SEARCH.observe(time.perf_counter() - began)
        metrics.SEARCHES.labels("both" if found.vectors_used else "text").inc()
        metrics.HITS.inc(len(found.hits))
        return to_found(found)

    async def TuneStore(  # noqa: N802
        self, request: pb.TuneStoreRequest, context: _Context
    ) -> pb.TuneStoreResponse:
        """Keeps the weights that it finds."""
        tenant, store_id = _tenant(), requests.named(request.store_id, "store_id")
        judged = requests.judged_queries(request.queries, self._bounds)

        async def work(attempt: Attempt) -> Tuned:
            return await self._tuner.tune(tenant, store_id, judged, attempt)

        def tell(tuned: Tuned) -> pb.TuneStoreResponse:
            return pb.TuneStoreResponse(
                weights=to_weights(tuned.store),
                text_ndcg=tuned.text_ndcg,
                vector_ndcg=tuned.vector_ndcg,
                fused_ndcg=tuned.fused_ndcg,
            )

        return await _once(request, pb.TuneStoreResponse, work, tell)


async def _once(
    request: Any,
    response: type[R],
    work: Callable[[Attempt], Awaitable[Any]],
    tell: Callable[[Any], R],
) -> R:
    """Does the work, or gives the answer that the same request id got before."""
    told: list[R] = []

    def seal(result: Any) -> bytes:
        told.append(tell(result))
        return told[0].SerializeToString()

    fingerprint = hashlib.sha256(
        response.DESCRIPTOR.full_name.encode() + b"\0" + request.SerializeToString(deterministic=True)
    ).digest()
    attempt = Attempt(requests.request_id(request.request_id), fingerprint, seal)
    try:
        result = await work(attempt)
    except Repeated as repeated:
        answer = response()
        answer.ParseFromString(repeated.answer)
        return answer
    return told[0] if told else tell(result)


def _tenant() -> str:
    """Of the verified token, and of nobody else's word."""
    tenant = current_caller().tenant
    if tenant == NO_TENANT:
        raise SixfoldError(
            Reason.PERMISSION_DENIED, "Stores belong to tenants; this call is on nobody's behalf."
        )
    return tenant


def _now() -> int:
    return time.time_ns() // 1000
