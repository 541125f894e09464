"""Asks a store all judged queries with every weight, and keeps the weights that `search.tuning` chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from retrieval_service.documents.embedding import Embedder
from retrieval_service.search import tuning
from retrieval_service.search.index import Ranked
from retrieval_service.search.language import query_language
from retrieval_service.stores.opened import OpenStore, OpenStores, no_store
from retrieval_service.stores.records import Attempt, Records
from retrieval_service.stores.types import Store, StoreView
from servicekit.errors import Reason, SixfoldError

_PASSAGES = 40
"""Passages that are looked at for ten files."""
_SURE = 0.1
"""Share of right answers that score below the threshold which is kept."""


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A query and the files that answer it."""

    query: str
    file_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Tuned:
    """The store with its new weights. Measures are nDCG@10."""

    store: Store
    text_ndcg: float
    vector_ndcg: float
    fused_ndcg: float


@dataclass(frozen=True, slots=True)
class _Judged:
    judged: tuning.Judged
    right: Sequence[float | None]
    """Score of the best hit at each weight of the grid, where that hit is right."""


class Tuner:
    """Needs the store's embedding model."""

    def __init__(
        self, records: Records, opened: OpenStores, embedder: Embedder, *, seconds: float, batch: int
    ) -> None:
        """Queries are embedded `batch` at a time, within `seconds` each."""
        self._records = records
        self._opened = opened
        self._embedder = embedder
        self._seconds = seconds
        self._batch = batch

    async def tune(
        self, tenant: str, store_id: str, queries: Sequence[JudgedQuery], attempt: Attempt
    ) -> Tuned:
        """Keeps what it finds. INVALID_REQUEST for a store that has nothing to judge by."""
        async with self._opened.use(tenant, store_id) as opened:
            if not opened.store.embedding_version:
                raise SixfoldError(Reason.INVALID_REQUEST, "Nothing is indexed in the store yet.")
            judged = await self._judge(tenant, opened, queries)
            found = tuning.tune([each.judged for each in judged])

            def result(view: StoreView) -> Tuned:
                return Tuned(view.store, found.text, found.vector, found.fused)

            changes = {"weights": dict(found.weights), "threshold": _threshold(judged, found.weights)}
            keep = Attempt(attempt.request_id, attempt.fingerprint, lambda view: attempt.seal(result(view)))
            async with self._opened.lock(tenant, store_id):
                view = await self._records.update_store(tenant, store_id, changes, keep)
                if view is None:
                    raise no_store()
                opened.renew(view.store)
        return result(view)

    async def _judge(self, tenant: str, opened: OpenStore, queries: Sequence[JudgedQuery]) -> list[_Judged]:
        judged: list[_Judged] = []
        for start in range(0, len(queries), self._batch):
            some = queries[start : start + self._batch]
            texts = [each.query for each in some]
            made = await self._embedder.embed(
                tenant, opened.store.embedding_model, texts, deadline=self._seconds
            )
            if made.version != opened.store.embedding_version:
                raise SixfoldError(
                    Reason.MODEL_NOT_FOUND, "The store's embedding model is not served any more."
                )
            for query, vector in zip(some, made.vectors, strict=True):
                allowed = opened.table.allowed(None)
                answers = [
                    await opened.call(
                        opened.arms.index.search, query.query, vector, _PASSAGES, allowed, weight
                    )
                    for weight in tuning.GRID
                ]
                judged.append(_judged(query, answers, _files(opened)))
        return judged


def _files(opened: OpenStore) -> Callable[[Ranked], str]:
    def file_of(ranked: Ranked) -> str:
        answering = opened.table.answering(ranked.attachment, None)
        return answering.file.id if answering is not None else ""

    return file_of


def _judged(
    query: JudgedQuery, answers: Sequence[Sequence[Ranked]], file_of: Callable[[Ranked], str]
) -> _Judged:
    ndcg: list[float] = []
    right: list[float | None] = []
    for ranked in answers:
        files = list(dict.fromkeys(filter(None, map(file_of, ranked))))
        ndcg.append(tuning.ndcg(files, query.file_ids))
        hit = bool(ranked) and file_of(ranked[0]) in query.file_ids
        right.append(ranked[0].score if hit else None)
    return _Judged(tuning.Judged(query_language(query.query), ndcg), right)


def _threshold(judged: Sequence[_Judged], weights: Mapping[str, float]) -> float | None:
    """Nine of ten right answers score at least this; None where none was right."""
    scores = sorted(
        score for each in judged if (score := each.right[tuning.step_of(weights, each.judged)]) is not None
    )
    return scores[int(len(scores) * _SURE)] if scores else None
