"""Searching: queries become vectors, every store is asked, hits are merged and checked once more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from retrieval_service.documents.attributes import Filter
from retrieval_service.documents.embedding import Embedder
from retrieval_service.search.index import Ranked
from retrieval_service.search.language import query_language
from retrieval_service.search.ports import Allowed
from retrieval_service.search.relevance import Relevance
from retrieval_service.stores.opened import OpenStore, OpenStores
from retrieval_service.stores.types import Attachment, Store
from servicekit.errors import SixfoldError
from servicekit.logs import get_logger

_log = get_logger(__name__)
Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for. Its parts are within the contract's bounds."""

    store_ids: Sequence[str]
    queries: Sequence[str]
    max_results: int = 10
    filter: Filter | None = None
    threshold: float = 0.0
    vector_weight: float | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage with the file that it stands in."""

    attachment: Attachment
    ranked: Ranked


@dataclass(frozen=True, slots=True)
class Found:
    """The best hits first."""

    hits: Sequence[Hit]
    has_more: bool
    relevant: bool
    vectors_used: bool
    embedding_model: str


class Finder:
    """Searches stores of one tenant at a time."""

    def __init__(
        self,
        opened: OpenStores,
        embedder: Embedder,
        *,
        relevance: Relevance,
        embed_seconds: float,
        used: Callable[[Store], None] = lambda store: None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        """Queries wait at most `embed_seconds` for their vectors. `used` is told of every store searched."""
        self._opened = opened
        self._embedder = embedder
        self._relevance = relevance
        self._embed_seconds = embed_seconds
        self._used = used
        self._clock = clock

    async def search(self, tenant: str, query: Query) -> Found:
        """Raises NOT_FOUND for a store that is not the tenant's. An expired one finds nothing."""
        vectors = _Vectors(self._embedder, tenant, query.queries, self._embed_seconds)
        names = list(dict.fromkeys(query.store_ids))
        parts = await asyncio.gather(*(self._search_one(tenant, name, query, vectors) for name in names))
        hits = _merge([hit for part in parts for hit in part.hits])
        best, more = hits[: query.max_results], len(hits) > query.max_results
        used = any(part.vectors_used for part in parts)
        return Found(best, more, self._relevant(best, parts), used, vectors.served)

    async def _search_one(self, tenant: str, store_id: str, query: Query, vectors: _Vectors) -> _Part:
        async with self._opened.use(tenant, store_id) as opened:
            now = self._clock()
            if opened.store.expired(now):
                return _Part(store_id, [], False, None)
            opened.store = replace(opened.store, last_active_us=now)
            self._used(opened.store)
            allowed = opened.table.allowed(query.filter)
            if allowed is not None and not allowed.attachments and not allowed.complement:
                return _Part(store_id, [], False, opened.store.threshold)
            made = await vectors.of(opened.store) if _counts_vectors(opened, query) else None
            answers, used = await self._ask(opened, query, made, allowed)
            hits = [
                Hit(attachment, ranked)
                for answer in answers
                for ranked in answer
                if (attachment := opened.table.answering(ranked.attachment, query.filter)) is not None
                and attachment.tenant == tenant
            ]
            return _Part(store_id, hits, used, opened.store.threshold)

    async def _ask(
        self, opened: OpenStore, query: Query, made: Vector | None, allowed: Allowed | None
    ) -> tuple[list[list[Ranked]], bool]:
        """Every query's answers, and whether vectors took part: without their server BM25 answers alone."""
        search = opened.arms.index.search

        def ask(vectors: Vector | None) -> list[list[Ranked]]:
            return [
                search(
                    text,
                    None if vectors is None else vectors[number],
                    query.max_results + 1,
                    allowed,
                    query.vector_weight,
                    query.threshold,
                )
                for number, text in enumerate(query.queries)
            ]

        if made is not None:
            try:
                return await opened.call(ask, made), True
            except SixfoldError as error:
                if not error.status.retryable:
                    raise
                _log.warning("vectors cannot be searched", reason=error.reason.value)
        return await opened.call(ask, None), False

    def _relevant(self, best: Sequence[Hit], parts: Sequence[_Part]) -> bool:
        by_store = {part.store_id: part for part in parts}
        for hit in best:
            part = by_store[hit.attachment.store_id]
            bar = self._relevance.bar(hit.ranked.weight)
            if part.threshold is not None and part.vectors_used:
                bar = part.threshold
            if hit.ranked.score >= bar:
                return True
        return False


def _counts_vectors(opened: OpenStore, query: Query) -> bool:
    """Whether a vector would change anything: BM25 alone answers where the weights say so."""
    if query.vector_weight is not None:
        return query.vector_weight > 0
    weights = opened.arms.index.weights
    return any(weights.of(query_language(text)) > 0 for text in query.queries)


@dataclass(frozen=True, slots=True)
class _Part:
    store_id: str
    hits: list[Hit]
    vectors_used: bool
    threshold: float | None


class _Vectors:
    """The queries' vectors by each model that a store needs; asked for once, together."""

    def __init__(self, embedder: Embedder, tenant: str, queries: Sequence[str], seconds: float) -> None:
        self._embedder = embedder
        self._tenant = tenant
        self._queries = queries
        self._seconds = seconds
        self._asked: dict[str, asyncio.Task[tuple[Vector, str] | None]] = {}
        self.served = ""
        """Name and version of the model that made them."""

    async def of(self, store: Store) -> Vector | None:
        """None where they cannot be had now, or are not comparable with the store's."""
        if not store.embedding_version:
            return None  # nothing is indexed yet
        task = self._asked.get(store.embedding_model)
        if task is None:
            task = self._asked[store.embedding_model] = asyncio.create_task(
                self._embed(store.embedding_model)
            )
        made = await asyncio.shield(task)
        if made is None or made[1] != store.embedding_version:
            return None
        self.served = f"{store.embedding_model}@{made[1]}"
        return made[0]

    async def _embed(self, model: str) -> tuple[Vector, str] | None:
        try:
            async with asyncio.timeout(self._seconds):
                made = await self._embedder.embed(self._tenant, model, self._queries, deadline=self._seconds)
        except TimeoutError:
            reason = "TIMEOUT"
        except SixfoldError as error:
            reason = error.reason.value
        else:
            return made.vectors, made.version
        _log.warning("queries have no vectors, BM25 answers alone", model=model, reason=reason)
        return None


def _merge(hits: Sequence[Hit]) -> list[Hit]:
    """Each place of each file once, with its best score; the best first, equals always in the same order."""
    best: dict[tuple[str, int, int, str], Hit] = {}
    for hit in hits:
        passage = hit.ranked.passage
        place = (hit.attachment.file.id, passage.char_start, passage.char_end, passage.text)
        known = best.get(place)
        if known is None or hit.ranked.score > known.ranked.score:
            best[place] = hit
    return sorted(best.values(), key=lambda hit: (-hit.ranked.score, hit.ranked.passage_id))
