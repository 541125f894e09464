"""A retrieval service for tests: the real contract over real gRPC, over dictionaries.

It holds to what the contract says of tenants, request ids, statuses, pages and filters. What is in a file a
test says with `contents`; a search finds passages by the share of the query's words that they hold.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from servicekit.errors import Reason, SixfoldError
from servicekit.identity import Caller, ServiceIdentity, current_caller
from servicekit.lifecycle import Lifecycle
from servicekit.rpc import RpcServer
from sixfold.retrieval.v1 import retrieval_service_pb2 as pb
from sixfold.retrieval.v1 import retrieval_service_pb2_grpc, search_pb2, store_pb2

IN_PROGRESS, COMPLETED = store_pb2.FILE_STATUS_IN_PROGRESS, store_pb2.FILE_STATUS_COMPLETED
FAILED, CANCELLED = store_pb2.FILE_STATUS_FAILED, store_pb2.FILE_STATUS_CANCELLED
Item = TypeVar("Item", store_pb2.Store, store_pb2.StoreFile)


def passage(
    text: str, *, index: int = 0, page: int = 0, headings: tuple[str, ...] = ()
) -> search_pb2.Passage:
    """A passage; its id comes with the file that it is put in."""
    return search_pb2.Passage(
        text=text, page_first=page, page_last=page, headings=headings, char_end=len(text)
    )


class Shelf:
    """One tenant's store."""

    def __init__(self, store: store_pb2.Store) -> None:
        self.store = store
        self.files: dict[str, store_pb2.StoreFile] = {}
        self.batches: dict[str, store_pb2.Batch] = {}


class FakeRetrieval(retrieval_service_pb2_grpc.RetrievalServiceServicer):
    """Keeps what it was asked. With `hold` files stay in progress until `index` is called."""

    def __init__(self) -> None:
        self.shelves: dict[tuple[str, str], Shelf] = {}
        self.contents: dict[str, list[search_pb2.Passage]] = {}
        """File id to its passages; a file that is not named has its own name as its one passage."""
        self.faults: dict[str, store_pb2.FileError] = {}
        """File name to why it fails."""
        self.hold = False
        self.error: SixfoldError | None = None
        """Raised by every call while it is set."""
        self.delay = 0.0
        self.lose_answers = 0
        """How many changes are made without telling anybody."""
        self.callers: list[Caller] = []
        self.metadata: list[dict[str, Any]] = []
        self.requests: list[Any] = []
        self.relevant = True
        self._answers: dict[tuple[str, str, str], Any] = {}
        self._clock = int(time.time())

    # What tests do.

    def index(self) -> None:
        """Brings every file in progress to its end."""
        for shelf in self.shelves.values():
            for file in shelf.files.values():
                if file.status == IN_PROGRESS:
                    self._finish(file)

    def _finish(self, file: store_pb2.StoreFile) -> None:
        fault = self.faults.get(file.filename)
        if fault is not None:
            file.status = FAILED
            file.error.CopyFrom(fault)
            return
        file.status = COMPLETED
        file.passages = len(self._passages(file))
        file.usage_bytes = sum(len(p.text) for p in self._passages(file))

    def _passages(self, file: store_pb2.StoreFile) -> list[search_pb2.Passage]:
        given = self.contents.get(file.file_id) or [passage(file.filename)]
        made = []
        for at, each in enumerate(given):
            copy = search_pb2.Passage()
            copy.CopyFrom(each)
            copy.index, copy.id = at, f"{file.attachment_id}:{at}"
            made.append(copy)
        return made

    # Common to all calls.

    async def _begin(self, request: Any, context: Any) -> str:
        self.requests.append(request)
        self.callers.append(current_caller())
        self.metadata.append(dict(context.invocation_metadata()))
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.error is not None:
            raise self.error
        return current_caller().tenant

    def _once(self, tenant: str, request: Any, act: Callable[[], Any]) -> Any:
        """The first answer again for a request id that was there before."""
        key = (tenant, type(request).__name__, request.request_id)
        if not request.request_id:
            raise SixfoldError(Reason.INVALID_REQUEST, "A change has a request id.")
        if key not in self._answers:
            self._answers[key] = act()
        if self.lose_answers:
            self.lose_answers -= 1
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "The answer was lost.")
        return self._answers[key]

    def _shelf(self, tenant: str, store_id: str) -> Shelf:
        shelf = self.shelves.get((tenant, store_id))
        if shelf is None:
            raise SixfoldError(Reason.NOT_FOUND, f"There is no vector store '{store_id}'.")
        return shelf

    def _file(self, tenant: str, store_id: str, file_id: str) -> store_pb2.StoreFile:
        file = self._shelf(tenant, store_id).files.get(file_id)
        if file is None:
            raise SixfoldError(Reason.NOT_FOUND, f"There is no file '{file_id}' in the vector store.")
        return file

    def _now(self) -> int:
        self._clock += 1
        return self._clock

    # Stores.

    async def CreateStore(self, request: pb.CreateStoreRequest, context: Any) -> pb.CreateStoreResponse:
        tenant = await self._begin(request, context)

        def make() -> pb.CreateStoreResponse:
            now = self._now()
            store = store_pb2.Store(
                id=f"vs_{secrets.token_hex(12)}",
                name=request.name,
                description=request.description,
                created_at=now,
                last_active_at=now,
                expires_after_days=request.expires_after_days,
                expires_at=now + request.expires_after_days * 86400 if request.expires_after_days else 0,
                metadata=request.metadata,
            )
            shelf = self.shelves[(tenant, store.id)] = Shelf(store)
            self._attach(shelf, request.files, "")
            return pb.CreateStoreResponse(store=self._seen(shelf))

        answer: pb.CreateStoreResponse = self._once(tenant, request, make)
        return answer

    def _seen(self, shelf: Shelf) -> store_pb2.Store:
        store = shelf.store
        store.counts.CopyFrom(_counts(shelf.files.values()))
        store.usage_bytes = sum(file.usage_bytes for file in shelf.files.values())
        busy = store.counts.in_progress
        store.status = store_pb2.STORE_STATUS_IN_PROGRESS if busy else store_pb2.STORE_STATUS_COMPLETED
        return store

    async def GetStore(self, request: pb.GetStoreRequest, context: Any) -> pb.GetStoreResponse:
        tenant = await self._begin(request, context)
        return pb.GetStoreResponse(store=self._seen(self._shelf(tenant, request.store_id)))

    async def ListStores(self, request: pb.ListStoresRequest, context: Any) -> pb.ListStoresResponse:
        tenant = await self._begin(request, context)
        stores = [self._seen(shelf) for (owner, _), shelf in self.shelves.items() if owner == tenant]
        if request.name:
            stores = [store for store in stores if store.name == request.name]
        page, more = _page(stores, request.page, lambda store: store.id)
        return pb.ListStoresResponse(stores=page, has_more=more)

    async def UpdateStore(self, request: pb.UpdateStoreRequest, context: Any) -> pb.UpdateStoreResponse:
        tenant = await self._begin(request, context)
        shelf = self._shelf(tenant, request.store_id)
        if request.HasField("name"):
            shelf.store.name = request.name
        if request.HasField("expires_after_days"):
            days = shelf.store.expires_after_days = request.expires_after_days
            shelf.store.expires_at = shelf.store.last_active_at + days * 86400 if days else 0
        if request.set_metadata:
            shelf.store.metadata.clear()
            shelf.store.metadata.update(request.metadata)
        return pb.UpdateStoreResponse(store=self._seen(shelf))

    async def DeleteStore(self, request: pb.DeleteStoreRequest, context: Any) -> pb.DeleteStoreResponse:
        tenant = await self._begin(request, context)

        def act() -> pb.DeleteStoreResponse:
            self._shelf(tenant, request.store_id)
            del self.shelves[(tenant, request.store_id)]
            return pb.DeleteStoreResponse()

        answer: pb.DeleteStoreResponse = self._once(tenant, request, act)
        return answer

    # Files.

    def _attach(self, shelf: Shelf, files: Iterable[pb.FileToAdd], batch: str) -> list[store_pb2.StoreFile]:
        added = []
        for given in files:
            chunking = store_pb2.ChunkingStrategy(max_tokens=800, overlap_tokens=400)
            file = store_pb2.StoreFile(
                file_id=given.file.id,
                store_id=shelf.store.id,
                created_at=self._now(),
                status=IN_PROGRESS,
                chunking=given.chunking if given.chunking.max_tokens else chunking,
                attributes=given.attributes,
                filename=given.file.filename,
                attachment_id=f"att_{secrets.token_hex(8)}",
                batch_id=batch,
                sha256=given.file.sha256,
            )
            shelf.files[file.file_id] = file
            if not self.hold:
                self._finish(file)
            added.append(file)
        return added

    async def AddFiles(self, request: pb.AddFilesRequest, context: Any) -> pb.AddFilesResponse:
        tenant = await self._begin(request, context)
        shelf = self._shelf(tenant, request.store_id)

        def act() -> pb.AddFilesResponse:
            if not request.batch:
                return pb.AddFilesResponse(files=self._attach(shelf, request.files, ""))
            batch = store_pb2.Batch(
                id=f"vsfb_{secrets.token_hex(12)}", store_id=shelf.store.id, created_at=self._now()
            )
            shelf.batches[batch.id] = batch
            files = self._attach(shelf, request.files, batch.id)
            return pb.AddFilesResponse(files=files, batch=self._batch(shelf, batch.id))

        answer: pb.AddFilesResponse = self._once(tenant, request, act)
        return answer

    async def GetFile(self, request: pb.GetFileRequest, context: Any) -> pb.GetFileResponse:
        tenant = await self._begin(request, context)
        return pb.GetFileResponse(file=self._file(tenant, request.store_id, request.file_id))

    async def ListFiles(self, request: pb.ListFilesRequest, context: Any) -> pb.ListFilesResponse:
        tenant = await self._begin(request, context)
        shelf = self._shelf(tenant, request.store_id)
        files = list(shelf.files.values())
        if request.batch_id:
            self._batch(shelf, request.batch_id)
            files = [file for file in files if file.batch_id == request.batch_id]
        if request.status:
            files = [file for file in files if file.status == request.status]
        page, more = _page(files, request.page, lambda file: file.file_id)
        return pb.ListFilesResponse(files=page, has_more=more)

    async def UpdateFile(self, request: pb.UpdateFileRequest, context: Any) -> pb.UpdateFileResponse:
        tenant = await self._begin(request, context)
        file = self._file(tenant, request.store_id, request.file_id)
        file.attributes.clear()
        for key, value in request.attributes.items():
            file.attributes[key].CopyFrom(value)
        return pb.UpdateFileResponse(file=file)

    async def RemoveFile(self, request: pb.RemoveFileRequest, context: Any) -> pb.RemoveFileResponse:
        tenant = await self._begin(request, context)

        def act() -> pb.RemoveFileResponse:
            self._file(tenant, request.store_id, request.file_id)
            del self._shelf(tenant, request.store_id).files[request.file_id]
            return pb.RemoveFileResponse()

        answer: pb.RemoveFileResponse = self._once(tenant, request, act)
        return answer

    async def RemoveDocument(
        self, request: pb.RemoveDocumentRequest, context: Any
    ) -> pb.RemoveDocumentResponse:
        tenant = await self._begin(request, context)

        def act() -> pb.RemoveDocumentResponse:
            mine = [shelf for (owner, _), shelf in self.shelves.items() if owner == tenant]
            return pb.RemoveDocumentResponse(
                stores=sum(shelf.files.pop(request.file_id, None) is not None for shelf in mine)
            )

        answer: pb.RemoveDocumentResponse = self._once(tenant, request, act)
        return answer

    async def ListPassages(self, request: pb.ListPassagesRequest, context: Any) -> pb.ListPassagesResponse:
        tenant = await self._begin(request, context)
        passages = self._passages(self._file(tenant, request.store_id, request.file_id))
        start = int(request.page_token or 0)
        end = start + (request.page_size or 100)
        more = str(end) if end < len(passages) else ""
        return pb.ListPassagesResponse(passages=passages[start:end], next_page_token=more)

    # Batches.

    def _batch(self, shelf: Shelf, batch_id: str) -> store_pb2.Batch:
        batch = shelf.batches.get(batch_id)
        if batch is None:
            raise SixfoldError(Reason.NOT_FOUND, f"There is no batch '{batch_id}'.")
        batch.counts.CopyFrom(_counts(f for f in shelf.files.values() if f.batch_id == batch_id))
        if batch.counts.in_progress:
            batch.status = IN_PROGRESS
        elif batch.status != CANCELLED:
            batch.status = COMPLETED
        return batch

    async def GetBatch(self, request: pb.GetBatchRequest, context: Any) -> pb.GetBatchResponse:
        tenant = await self._begin(request, context)
        return pb.GetBatchResponse(batch=self._batch(self._shelf(tenant, request.store_id), request.batch_id))

    async def CancelBatch(self, request: pb.CancelBatchRequest, context: Any) -> pb.CancelBatchResponse:
        tenant = await self._begin(request, context)
        shelf = self._shelf(tenant, request.store_id)
        self._batch(shelf, request.batch_id)
        for file in shelf.files.values():
            if file.batch_id == request.batch_id and file.status == IN_PROGRESS:
                file.status = CANCELLED
                shelf.batches[request.batch_id].status = CANCELLED
        return pb.CancelBatchResponse(batch=self._batch(shelf, request.batch_id))

    # Search.

    async def Search(self, request: pb.SearchRequest, context: Any) -> pb.SearchResponse:
        tenant = await self._begin(request, context)
        hits: list[search_pb2.Hit] = []
        for store_id in request.store_ids:
            for file in self._shelf(tenant, store_id).files.values():
                if file.status == COMPLETED and (
                    not request.HasField("filter") or matches(request.filter, file.attributes)
                ):
                    hits += self._hits(file, request.queries)
        hits = [hit for hit in hits if hit.score >= max(request.score_threshold, 1e-9)]
        hits.sort(key=lambda hit: -hit.score)
        limit = request.max_results or 10
        return pb.SearchResponse(
            hits=hits[:limit],
            has_more=len(hits) > limit,
            relevant=bool(hits) and self.relevant,
            vectors_used=True,
            embedding_model="fake@1",
        )

    def _hits(self, file: store_pb2.StoreFile, queries: Iterable[str]) -> list[search_pb2.Hit]:
        hits = []
        for each in self._passages(file):
            words = set(each.text.lower().split())
            asked = [set(query.lower().split()) for query in queries]
            score = max(len(query & words) / len(query) for query in asked)
            hits.append(
                search_pb2.Hit(
                    file_id=file.file_id,
                    filename=file.filename,
                    store_id=file.store_id,
                    score=score,
                    attributes=file.attributes,
                    passage=each,
                    text_score=score,
                    vector_score=score,
                )
            )
        return hits


def matches(given: search_pb2.Filter, attributes: Any) -> bool:
    """The contract's filter over a file's attributes."""
    if given.WhichOneof("kind") == "compound":
        joined = any if given.compound.any else all
        return joined(matches(inner, attributes) for inner in given.compound.filters)
    test = given.comparison
    if test.key not in attributes:
        return False
    held, values = _plain(attributes[test.key]), [_plain(value) for value in test.values]
    name = search_pb2.Operator.Name(test.operator).removeprefix("OPERATOR_")
    if name in ("EQ", "IN"):
        return held in values
    if name in ("NE", "NIN"):
        return held not in values
    if isinstance(held, str):
        return False
    first = float(values[0])
    return {"GT": held > first, "GTE": held >= first, "LT": held < first, "LTE": held <= first}[name]


def _plain(value: store_pb2.AttributeValue) -> str | float | bool:
    plain: str | float | bool = getattr(value, value.WhichOneof("kind") or "text")
    return plain


def _counts(files: Iterable[store_pb2.StoreFile]) -> store_pb2.FileCounts:
    found = [file.status for file in files]
    return store_pb2.FileCounts(
        in_progress=found.count(IN_PROGRESS),
        completed=found.count(COMPLETED),
        failed=found.count(FAILED),
        cancelled=found.count(CANCELLED),
        total=len(found),
    )


def _page(items: list[Item], page: pb.Page, name: Callable[[Item], str]) -> tuple[list[Item], bool]:
    items = sorted(items, key=lambda item: (item.created_at, name(item)), reverse=not page.ascending)
    names = [name(item) for item in items]
    if page.after:
        items = items[names.index(page.after) + 1 :] if page.after in names else []
    if page.before:
        items = items[: names.index(page.before)] if page.before in names else []
    limit = min(page.limit or 20, 100)
    if page.before and not page.after:  # the page just before it
        return items[-limit:], len(items) > limit
    return items[:limit], len(items) > limit


class RetrievalServer:
    """A fake retrieval service behind the server that every service of the platform has."""

    def __init__(self, retrieval: FakeRetrieval, key: bytes, port: int = 0) -> None:
        self.retrieval = retrieval
        self.port = port
        self._key = key
        self._server: RpcServer | None = None

    async def start(self) -> None:
        """Listens; `port` is then the real one."""
        lifecycle = Lifecycle("retrieval-service")
        self._server = RpcServer(
            f"127.0.0.1:{self.port}",
            service="retrieval-service",
            identity=ServiceIdentity("retrieval-service", self._key),
            lifecycle=lifecycle,
        )
        self._server.add(
            retrieval_service_pb2_grpc.add_RetrievalServiceServicer_to_server,
            self.retrieval,
            "sixfold.retrieval.v1.RetrievalService",
        )
        self.port = await self._server.start()
        lifecycle.started()

    async def stop(self) -> None:
        """Ends it; running calls are cut."""
        if self._server is not None:
            await self._server.stop(0)
            self._server = None
