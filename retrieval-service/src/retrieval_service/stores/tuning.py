"""A store's weights, found from queries that somebody judged.

Every query is asked with every weight of a grid, and nDCG@10 over files says how good each is. The figure for
the weights that are kept comes from queries that did not choose them: each fifth is judged with the weights
that the other four fifths chose. A language with fewer than ten queries goes by the weight of all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from retrieval_service.documents.embedding import Embedder
from retrieval_service.search.index import Ranked
from retrieval_service.search.language import query_language
from retrieval_service.stores.opened import OpenStore, OpenStores, no_store
from retrieval_service.stores.records import Attempt, Records
from retrieval_service.stores.types import Store, StoreView
from servicekit.errors import Reason, SixfoldError

GRID = tuple(step / 20 for step in range(21))
FOLDS = 5
ENOUGH = 10
"""Queries of a language that may have a weight of its own."""
_DEPTH = 10
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
    language: str
    ndcg: Mapping[float, float]
    """By weight."""
    right: Mapping[float, float]
    """Score of the best hit by weight, where that hit is right."""


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
            weights = _choose(judged)
            measured = (_mean(judged, 0.0), _mean(judged, 1.0), _cross_validated(judged))

            def result(view: StoreView) -> Tuned:
                return Tuned(view.store, *measured)

            changes = {"weights": weights, "threshold": _threshold(judged, weights)}
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
                answers = {
                    weight: await opened.call(
                        opened.arms.index.search, query.query, vector, _PASSAGES, allowed, weight
                    )
                    for weight in GRID
                }
                judged.append(_judged(query, answers, _files(opened)))
        return judged


def _files(opened: OpenStore) -> Callable[[Ranked], str]:
    def file_of(ranked: Ranked) -> str:
        answering = opened.table.answering(ranked.attachment, None)
        return answering.file.id if answering is not None else ""

    return file_of


def _judged(
    query: JudgedQuery, answers: Mapping[float, Sequence[Ranked]], file_of: Callable[[Ranked], str]
) -> _Judged:
    ndcg, right = {}, {}
    for weight, ranked in answers.items():
        files = list(dict.fromkeys(filter(None, map(file_of, ranked))))
        ndcg[weight] = _ndcg(files[:_DEPTH], query.file_ids)
        if ranked and file_of(ranked[0]) in query.file_ids:
            right[weight] = ranked[0].score
    return _Judged(query_language(query.query), ndcg, right)


def _ndcg(files: Sequence[str], relevant: frozenset[str]) -> float:
    gain = sum(1 / math.log2(place + 2) for place, name in enumerate(files) if name in relevant)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(_DEPTH, len(relevant))))
    return gain / ideal if ideal else 0.0


def _choose(judged: Sequence[_Judged]) -> dict[str, float]:
    """By language; "" for all that is not named."""
    weights = {"": _best(judged)}
    for language in sorted({each.language for each in judged} - {""}):
        mine = [each for each in judged if each.language == language]
        if len(mine) >= ENOUGH:
            weights[language] = _best(mine)
    return weights


def _best(judged: Sequence[_Judged]) -> float:
    """Of several equally good ones that in their middle: it is the least a matter of chance."""
    means = {weight: _mean(judged, weight) for weight in GRID}
    top = max(means.values())
    good = [weight for weight in GRID if means[weight] >= top - 1e-9]
    return good[len(good) // 2]


def _cross_validated(judged: Sequence[_Judged]) -> float:
    folds = min(FOLDS, len(judged))
    scores: list[float] = []
    for fold in range(folds):
        weights = _choose([each for number, each in enumerate(judged) if number % folds != fold])
        scores += [each.ndcg[_weight(weights, each)] for each in judged[fold::folds]]
    return _average(scores)


def _threshold(judged: Sequence[_Judged], weights: Mapping[str, float]) -> float | None:
    """Nine of ten right answers score at least this; None where none was right."""
    scores = sorted(score for each in judged if (score := each.right.get(_weight(weights, each))) is not None)
    return scores[int(len(scores) * _SURE)] if scores else None


def _weight(weights: Mapping[str, float], judged: _Judged) -> float:
    return weights.get(judged.language, weights[""])


def _mean(judged: Sequence[_Judged], weight: float) -> float:
    return _average(each.ndcg[weight] for each in judged)


def _average(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else 0.0
