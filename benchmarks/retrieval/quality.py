"""How good each arm is, and both together, on judged queries.

Every query is asked through the store's index with every weight. The figure for both arms is *held out*: each
fifth of the queries is answered with the weight that the other four fifths chose (`search.tuning`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.retrieval.data import Collection
from retrieval_service.adapters.chroma import ChromaClient, open_vectors
from retrieval_service.adapters.lexical import TantivyArm, open_lexical
from retrieval_service.documents.passage import Passage
from retrieval_service.search.fusion import Weights
from retrieval_service.search.index import StoreIndex, attachment_of
from retrieval_service.search.ports import VectorArm
from retrieval_service.search.relevance import Relevance
from retrieval_service.search.tuning import FOLDS, GRID, Judged, choose, mean, ndcg, step_of

TOP = 10
RANKS = 100
"""Passages that reciprocal rank fusion sees of each arm."""
Measure = Callable[[Sequence[str], frozenset[str]], float]
MEASURES: dict[str, Measure] = {
    "ndcg@10": ndcg,
    "recall@1": lambda found, relevant: float(bool(relevant & set(found[:1]))),
    "recall@5": lambda found, relevant: float(bool(relevant & set(found[:5]))),
}


def measure_quality(collection: Collection) -> dict[str, Any]:
    """Means of each measure, by way of searching: text, vectors, held_out, default, rrf; and the weights."""
    with _indexed(collection) as (index, lexical, vectors):
        return _measure(index, lexical, vectors, collection)


def measure_relevance(collection: Collection, strangers: Collection) -> dict[str, float]:
    """Shares of the decision whether to answer that are wrong.

    `refused`: of the collection's own queries. `accepted`: of queries about the other one's documents.
    """
    bars = Relevance()
    with _indexed(collection) as (index, _, _):

        def accepted(asked: Collection) -> float:
            best = [
                index.search(query, vector, 1)
                for query, vector in zip(asked.queries, asked.query_vectors, strict=True)
            ]
            return mean(float(bool(hits) and hits[0].score >= bars.bar(hits[0].weight)) for hits in best)

        return {"refused": 1 - accepted(collection), "accepted": accepted(strangers)}


@contextmanager
def _indexed(collection: Collection) -> Iterator[tuple[StoreIndex, TantivyArm, VectorArm]]:
    with tempfile.TemporaryDirectory(prefix="sixfold-bench-") as temporary:
        client = ChromaClient(f"chroma://{temporary}/chroma")
        lexical = open_lexical(Path(temporary) / "lexical")
        vectors = open_vectors(client, f"vs_{collection.name}", tenant="bench")
        index = StoreIndex(lexical, vectors, Weights())
        try:
            _fill(index, collection)
            yield index, lexical, vectors
        finally:
            index.close()
            client.close()


def _fill(index: StoreIndex, collection: Collection) -> None:
    rows = list(
        zip(collection.ids, collection.titles, collection.texts, collection.document_vectors, strict=True)
    )
    for start in range(0, len(rows), 500):
        index.put_many(
            {
                name: (
                    [Passage(0, text, (title,) if title else (), 0, 0, 0, len(text), collection.language)],
                    vector[None],
                )
                for name, title, text, vector in rows[start : start + 500]
            }
        )


def _measure(
    index: StoreIndex, lexical: TantivyArm, vectors: VectorArm, collection: Collection
) -> dict[str, Any]:
    by_step: list[list[list[str]]] = []
    default, ranks = [], []
    for query, vector in zip(collection.queries, collection.query_vectors, strict=True):
        asked = [index.search(query, vector, TOP, weight=weight) for weight in GRID]
        by_step.append([[hit.attachment for hit in found] for found in asked])
        default.append([hit.attachment for hit in index.search(query, vector, TOP)])
        ranks.append(_reciprocal(lexical.search(query, RANKS), vectors.search(vector, RANKS)))
    judged = [
        Judged(collection.language, [ndcg(found, relevant) for found in steps])
        for steps, relevant in zip(by_step, collection.relevant, strict=True)
    ]
    held_out = [[""] for _ in judged]
    weights = []
    for fold in range(FOLDS):
        chosen = choose([one for number, one in enumerate(judged) if number % FOLDS != fold])
        weights.append(chosen.get(collection.language, chosen[""]))
        for number in range(fold, len(judged), FOLDS):
            held_out[number] = by_step[number][step_of(chosen, judged[number])]
    ways = {
        "text": [steps[0] for steps in by_step],
        "vectors": [steps[-1] for steps in by_step],
        "held_out": held_out,
        "default": default,
        "rrf": ranks,
    }
    figures: dict[str, Any] = {
        way: {name: _mean(measure, found, collection) for name, measure in MEASURES.items()}
        for way, found in ways.items()
    }
    return {**figures, "weights": sorted(weights), "queries": len(judged)}


def _mean(measure: Measure, found: Sequence[Sequence[str]], collection: Collection) -> float:
    return mean(measure(one, relevant) for one, relevant in zip(found, collection.relevant, strict=True))


def _reciprocal(*arms: Sequence[Any]) -> list[str]:
    scores: dict[str, float] = {}
    for found in arms:
        for place, one in enumerate(found):
            scores[one.passage_id] = scores.get(one.passage_id, 0.0) + 1 / (61 + place)
    return [attachment_of(one) for one in sorted(scores, key=lambda one: -scores[one])[:TOP]]
