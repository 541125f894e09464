"""Vectors in Chroma, embedded (`chroma:///folder`) or a server (`chroma+http://host:port`).

A store is a collection. Chroma keeps the vectors, and finds neighbours in stores too large for memory. The
vectors of smaller ones are read once and searched in memory, exactly (`search.nearest`). Embeddings always
come with the call: Chroma's own embedding functions, which would download a model, are off. So is its
telemetry.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import chromadb
import httpx
import numpy as np
import numpy.typing as npt
from chromadb.config import Settings
from chromadb.errors import ChromaError, InternalError, NotFoundError

from retrieval_service.adapters.locks import FolderLock
from retrieval_service.search.nearest import Nearest, absolute
from retrieval_service.search.ports import Allowed, IndexDamaged, Scored, Vectors
from servicekit.errors import Reason, SixfoldError

Item = TypeVar("Item")
Found = TypeVar("Found")

HNSW = {"space": "cosine", "ef_construction": 200, "ef_search": 200, "max_neighbors": 32}
"""Set by measurement: see docs/adr/0014-search.md."""
IN_MEMORY = 64 * 1024 * 1024
"""Bytes up to which a store's vectors are searched in memory: 40,000 passages of 384 dimensions."""
PAGE = 2_000
"""Records read, and names listed in a condition, at a time."""
DEADLINE = 10.0
"""Seconds that a server may take to answer."""
CROSSED = (0.01, 0.05, 0.2)
"""Seconds between the tries of a search that a writer crossed."""


class ChromaClient:
    """The process's one way to Chroma. Nothing is asked of a server before the first call."""

    def __init__(self, url: str, *, deadline: float = DEADLINE) -> None:
        """Raises SixfoldError SERVICE_UNAVAILABLE if another process has the folder; ValueError for a bad
        URL. A server's URL may hold a bearer token in the user's place.
        """
        self._url = urlsplit(url)
        self._deadline = deadline
        self._connecting = threading.Lock()
        self._client: Any = None
        self._lock: FolderLock | None = None
        if self._url.scheme == "chroma" and self._url.path:
            folder = Path(unquote(self._url.path))
            self._lock = FolderLock(folder, "the embedded Chroma's folder")
            settings = Settings(anonymized_telemetry=False)
            self._client = chromadb.PersistentClient(str(folder), settings=settings)
        elif self._url.scheme not in ("chroma+http", "chroma+https") or not self._url.hostname:
            raise ValueError("not a Chroma URL")

    @contextmanager
    def asking(self) -> Iterator[Any]:
        """The client. Its failures in here become SixfoldError SERVICE_UNAVAILABLE, except NotFoundError."""
        try:
            yield self._connected()
        except NotFoundError:
            raise
        except (ChromaError, httpx.HTTPError, OSError) as error:
            raise SixfoldError(
                Reason.SERVICE_UNAVAILABLE, "The vector database does not answer.", retry_after=1
            ) from error

    def check(self) -> None:
        """Raises SixfoldError SERVICE_UNAVAILABLE unless Chroma answers."""
        with self.asking() as client:
            client.heartbeat()

    def close(self) -> None:
        """Lets go of connections, and of the folder."""
        with self._connecting:
            client, self._client = self._client, None
            if client is not None:
                client.close()
            if self._lock is not None:
                self._lock.release()

    def _connected(self) -> Any:
        with self._connecting:
            if self._client is None:
                if self._lock is not None:
                    raise RuntimeError("closed")
                self._client = self._connect()
            return self._client

    def _connect(self) -> Any:
        secure = self._url.scheme == "chroma+https"
        host, port = self._url.hostname or "", self._url.port or (443 if secure else 8000)
        token = unquote(self._url.password or self._url.username or "")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        # The client waits for its first answers without any deadline, so see before whether one is there.
        beat = f"{'https' if secure else 'http'}://{host}:{port}/api/v2/heartbeat"
        httpx.get(beat, headers=headers, timeout=self._deadline, trust_env=False).raise_for_status()
        settings = Settings(anonymized_telemetry=False)
        try:
            client: Any = chromadb.HttpClient(host, port, ssl=secure, headers=headers, settings=settings)
        except ValueError as error:  # its word for nobody there
            raise ConnectionError from error
        client._server._session.timeout = httpx.Timeout(self._deadline)  # it offers no other way
        return client


def open_vectors(
    client: ChromaClient,
    store_id: str,
    dimensions: int | None = None,
    *,
    tenant: str,
    in_memory: int = IN_MEMORY,
) -> ChromaArm:
    """The vectors of one store. Nothing is asked of Chroma before the first call.

    Calls raise SixfoldError SERVICE_UNAVAILABLE while Chroma is away, and IndexDamaged when it has lost the
    store, or holds vectors of other dimensions than these or than what is put: `drop` it, and put everything
    again. Without `dimensions`, the first vectors that are put decide.
    """
    return ChromaArm(client, store_id, dimensions, tenant, in_memory)


class ChromaArm:
    """A VectorArm."""

    def __init__(
        self, client: ChromaClient, store_id: str, dimensions: int | None, tenant: str, in_memory: int
    ) -> None:
        self._client = client
        self._name = f"sixfold-{store_id}"
        self._facts = {"tenant": tenant, "store": store_id}
        self._given = self._dimensions = dimensions
        self._in_memory = in_memory
        self._changing = threading.RLock()
        """Held by all that changes the arm: what memory holds is what Chroma has acknowledged."""
        self._collection: Any = None
        self._nearest: Nearest | None = None
        self._too_large = False

    def put(self, attachment: str, vectors: Vectors) -> None:
        """See the port."""
        self.put_many({attachment: vectors})

    def put_many(self, files: Mapping[str, Vectors]) -> None:
        """See the port."""
        named = {name: [f"{name}:{number}" for number in range(len(rows))] for name, rows in files.items()}
        ids = [one for some in named.values() for one in some]
        owners = [{"attachment": name} for name, some in named.items() for _ in some]
        with self._changing, self._asking() as client:
            dimensions = {rows.shape[1] for rows in files.values() if len(rows)}
            collection = self._opened(client)
            if collection is None:
                if not dimensions:
                    return
                collection = self._make(client, min(dimensions))
            if dimensions - {self._dimensions}:
                raise IndexDamaged
            stale = self._ids(collection, list(files)) - set(ids)
            size = min(PAGE, client.get_max_batch_size())
            vectors = np.concatenate([*files.values()]).astype(np.float32, copy=False) if ids else None
            for start in range(0, len(ids), size):
                page = slice(start, start + size)
                assert vectors is not None
                collection.upsert(ids=ids[page], embeddings=vectors[page], metadatas=owners[page])
            for some in _pages(sorted(stale), size):
                collection.delete(ids=list(some))
            if nearest := self._nearest:
                nearest.put({name: (named[name], rows) for name, rows in files.items()})
                if nearest.bytes > 2 * self._in_memory:  # its room doubles when it grows
                    self._nearest, self._too_large = None, True

    def remove(self, attachments: Collection[str]) -> None:
        """See the port."""
        with self._changing, self._asking() as client:
            if collection := self._opened(client):
                for some in _pages(sorted(attachments), PAGE):
                    collection.delete(where=_among(some))
                if nearest := self._nearest:
                    nearest.remove(attachments)

    def search(
        self, vector: npt.NDArray[np.float32], limit: int, allowed: Allowed | None = None
    ) -> list[Scored]:
        """See the port."""
        if limit < 1 or (allowed is not None and not allowed.attachments and not allowed.complement):
            return []
        if nearest := self._in_memory_now():
            return nearest.search(vector, limit, allowed)
        where = None
        if allowed is not None and allowed.attachments:
            where = _among(sorted(allowed.attachments), allowed.complement)

        def near(collection: Any) -> list[Scored]:
            found = collection.query(
                query_embeddings=[vector], n_results=limit, where=where, include=["distances"]
            )
            pairs = zip(found["ids"][0], found["distances"][0], strict=True)
            return [Scored(passage_id, absolute(1 - distance)) for passage_id, distance in pairs]

        return self._read(near, [])

    def at_hand(self) -> bool:
        """See the port."""
        return self._nearest is not None

    def score(self, vector: npt.NDArray[np.float32], passage_ids: Sequence[str]) -> dict[str, float]:
        """See the port."""
        if nearest := self._in_memory_now():
            return nearest.score(vector, passage_ids)

        def scored(collection: Any) -> dict[str, float]:
            scores: dict[str, float] = {}
            for some in _pages(passage_ids, PAGE):
                found = collection.get(ids=list(some), include=["embeddings"])
                if found["ids"]:
                    cosines = (np.asarray(found["embeddings"], np.float32) @ vector).tolist()
                    scores |= dict(zip(found["ids"], map(absolute, cosines), strict=True))
            return scores

        return self._read(scored, {})

    def attachments(self) -> set[str]:
        """See the port."""
        if nearest := self._in_memory_now():
            return nearest.attachments()

        def named(collection: Any) -> set[str]:
            pages = _all(collection, "metadatas")
            return {fact["attachment"] for page in pages for fact in page["metadatas"]}

        return self._read(named, set())

    def drop(self) -> None:
        """See the port."""
        with self._changing, self._client.asking() as client:
            with suppress(NotFoundError):
                self._check_owner(client.get_collection(self._name, embedding_function=None))
                client.delete_collection(self._name)
            self._collection = self._nearest = None
            self._too_large = False
            self._dimensions = self._given

    def close(self) -> None:
        """See the port. The client stays open: it is the process's."""
        with self._changing:
            self._collection = self._nearest = None

    def _read(self, ask: Callable[[Any], Found], nothing: Found) -> Found:
        """What `ask` reads of the collection, `nothing` if there is none.

        Chroma fails a search whose records are removed while it runs ("Error finding id"), so it is asked
        again.
        """
        for pause in (*CROSSED, None):
            try:
                with self._asking() as client:
                    collection = self._opened(client)
                    return nothing if collection is None else ask(collection)
            except SixfoldError as error:
                if pause is None or not isinstance(error.__cause__, InternalError):
                    raise
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        try:
            with self._client.asking() as client:
                yield client
        except NotFoundError:  # the collection was there, and is no more
            self._collection = None
            raise IndexDamaged from None

    def _opened(self, client: Any) -> Any:
        """The collection; None if there is none yet."""
        if self._collection is None:
            try:
                collection = client.get_collection(self._name, embedding_function=None)
            except NotFoundError:
                return None
            self._check_owner(collection)
            dimensions = collection.metadata.get("dimensions")
            if not isinstance(dimensions, int) or (self._dimensions or dimensions) != dimensions:
                raise IndexDamaged
            self._dimensions = dimensions
            self._collection = collection
        return self._collection

    def _check_owner(self, collection: Any) -> None:
        facts = collection.metadata or {}
        if facts.get("tenant") != self._facts["tenant"] or facts.get("store") != self._facts["store"]:
            raise SixfoldError(Reason.NOT_FOUND, "The vectors of this name are not this tenant's.")

    def _make(self, client: Any, dimensions: int) -> Any:
        if (self._dimensions or dimensions) != dimensions:
            raise IndexDamaged
        self._collection = client.create_collection(
            self._name,
            metadata={**self._facts, "dimensions": dimensions},
            configuration={"hnsw": HNSW},
            embedding_function=None,
        )
        self._dimensions = dimensions
        return self._collection

    def _in_memory_now(self) -> Nearest | None:
        """The store's vectors in memory, read when they are first searched. None if they are too many."""
        if self._nearest is not None or self._too_large:
            return self._nearest
        with self._changing, self._asking() as client:
            if self._nearest is None and not self._too_large:
                collection = self._opened(client)
                if collection is None:
                    return _NOTHING
                assert self._dimensions is not None
                self._too_large = collection.count() * self._dimensions * 4 > self._in_memory
                if not self._too_large:
                    nearest = Nearest(self._dimensions)
                    nearest.put(_by_attachment(_all(collection, "metadatas", "embeddings")))
                    self._nearest = nearest
            return self._nearest

    def _ids(self, collection: Any, attachments: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for some in _pages(attachments, PAGE):
            found.update(collection.get(where=_among(some), include=[])["ids"])
        return found


_NOTHING = Nearest(0)
"""What a store without a collection has. Never changed."""


def _all(collection: Any, *include: str) -> Iterator[Any]:
    """Every record of a collection, if there is one, a page at a time."""
    start = 0
    while collection is not None:
        page = collection.get(limit=PAGE, offset=start, include=list(include))
        if not page["ids"]:
            return
        yield page
        start += len(page["ids"])


def _by_attachment(pages: Iterable[Any]) -> dict[str, tuple[list[str], Vectors]]:
    ids: dict[str, list[str]] = {}
    rows: dict[str, list[npt.NDArray[np.float32]]] = {}
    for page in pages:
        embeddings = np.asarray(page["embeddings"], np.float32)
        for passage_id, fact, row in zip(page["ids"], page["metadatas"], embeddings, strict=True):
            ids.setdefault(fact["attachment"], []).append(passage_id)
            rows.setdefault(fact["attachment"], []).append(row)
    return {attachment: (ids[attachment], np.stack(rows[attachment])) for attachment in ids}


def _among(attachments: Sequence[str], complement: bool = False) -> dict[str, Any]:
    """Chroma's condition for records of these attachments, or of all others."""
    return {"attachment": {"$nin" if complement else "$in": list(attachments)}}


def _pages(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
