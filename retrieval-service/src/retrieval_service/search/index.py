"""One store's index: the two arms together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_service.documents.passage import Passage
from retrieval_service.search.fusion import Weights, fuse, worth_scoring
from retrieval_service.search.language import query_language
from retrieval_service.search.ports import Allowed, LexicalArm, Scored, VectorArm, Vectors

DEPTH = 30
"""Passages that each arm brings to the fusion, at least."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A passage that answers a query. Scores are from 0 to 1 and mean the same for every query.

    An arm that took no part, because its weight was 0 or there was no vector, has score 0.
    """

    passage_id: str
    score: float
    text_score: float
    vector_score: float
    passage: Passage
    weight: float = 0.0
    """The vectors' share of `score`; 0 where BM25 answered alone."""

    @property
    def attachment(self) -> str:
        """The attachment that the passage belongs to."""
        return attachment_of(self.passage_id)


def attachment_of(passage_id: str) -> str:
    """The attachment in a passage's id."""
    return passage_id.rpartition(":")[0]


class StoreIndex:
    """Both arms of one store. Methods block: call them in a thread. Any number may search at once."""

    def __init__(
        self,
        lexical: LexicalArm,
        vectors: VectorArm,
        weights: Weights,
        *,
        depth: int = DEPTH,
        executor: Executor | None = None,
    ) -> None:
        """With an executor, a vector arm that does not answer from memory runs in it, beside the other."""
        self.weights = weights
        self._lexical = lexical
        self._vectors = vectors
        self._depth = depth
        self._executor = executor

    def put(self, attachment: str, passages: Sequence[Passage], vectors: Vectors) -> None:
        """Replaces all that is indexed under this attachment; durable when it returns.

        Row i of `vectors` is passage i. The same call again changes nothing, so a caller that fails or dies
        in between calls it again. Raises SixfoldError SERVICE_UNAVAILABLE while the vectors' server is away.
        """
        self.put_many({attachment: (passages, vectors)})

    def put_many(self, files: Mapping[str, tuple[Sequence[Passage], Vectors]]) -> None:
        """As `put`, several attachments at once: cheaper, since each call waits for the disk."""
        if any(len(passages) != len(vectors) for passages, vectors in files.values()):
            raise ValueError("a passage without a vector, or a vector without a passage")
        # Vectors first: one without its passage is never answered, but a passage without its vector would be.
        self._vectors.put_many({name: vectors for name, (_, vectors) in files.items()})
        self._lexical.put_many({name: passages for name, (passages, _) in files.items()})

    def remove(self, attachments: Collection[str]) -> None:
        """Deletes all that is indexed under these; unknown ones are no error. Durable when it returns."""
        self._lexical.remove(attachments)
        self._vectors.remove(attachments)

    def search(
        self,
        query: str,
        vector: npt.NDArray[np.float32] | None,
        limit: int,
        allowed: Allowed | None = None,
        weight: float | None = None,
        threshold: float = 0.0,
    ) -> list[Ranked]:
        """The best passages first, at most `limit`, none that scores below `threshold`.

        `vector` is the query's, of length 1; without one BM25 answers alone. `weight` of the vectors is
        otherwise that of the query's language. Raises SixfoldError SERVICE_UNAVAILABLE while the vectors'
        server is away: the caller may ask again without a vector.
        """
        if limit < 1 or (allowed is not None and not allowed.attachments and not allowed.complement):
            return []
        if vector is None:
            weight = 0.0
        elif weight is None:
            weight = self.weights.of(query_language(query))
        text, dense = self._both(query, vector, max(limit, self._depth), limit, allowed, weight)
        fused = [pair for pair in fuse(text, dense, weight) if pair[1] >= threshold]
        found: list[Ranked] = []
        for start in range(0, len(fused), limit):
            some = fused[start : start + limit]
            passages = self._lexical.passages([one for one, _ in some])
            found += [
                Ranked(one, score, text.get(one, 0.0), dense.get(one, 0.0), passages[one], weight)
                for one, score in some
                if one in passages
            ]
            if len(found) >= limit:
                break
        return found[:limit]

    def _both(
        self,
        query: str,
        vector: npt.NDArray[np.float32] | None,
        depth: int,
        limit: int,
        allowed: Allowed | None,
        weight: float,
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Each arm's scores of all that may be among the first `limit`. An arm of weight 0 is not asked."""
        if vector is None or weight == 0:
            return _scores(self._lexical.search(query, depth, allowed)), {}
        if weight == 1:
            return {}, _scores(self._vectors.search(vector, depth, allowed))
        if self._executor is None or self._vectors.at_hand():
            text = _scores(self._lexical.search(query, depth, allowed))
            dense = _scores(self._vectors.search(vector, depth, allowed))
        else:
            beside = self._executor.submit(self._vectors.search, vector, depth, allowed)
            text = _scores(self._lexical.search(query, depth, allowed))
            dense = _scores(beside.result())
        if missing := [one for one in text if one not in dense]:
            dense |= self._vectors.score(vector, missing)
        # A text arm that found fewer than it may has found all: nothing else scores above 0.
        floor = min(text.values()) if len(text) >= depth else 0.0
        if floor and (missing := worth_scoring(text, dense, weight, limit, floor)):
            text |= self._lexical.score(query, missing)
        return text, dense

    def attachments(self) -> set[str]:
        """Every attachment that is in both arms."""
        return self._lexical.attachments() & self._vectors.attachments()

    def passages(self, attachment: str, start: int, count: int) -> list[Passage]:
        """Passages of one attachment, in the order of the document."""
        wanted = [f"{attachment}:{number}" for number in range(start, start + count)]
        found = self._lexical.passages(wanted)
        return [found[one] for one in wanted if one in found]

    def close(self) -> None:
        """Lets go of both arms."""
        self._lexical.close()
        self._vectors.close()


def _scores(found: Sequence[Scored]) -> dict[str, float]:
    return dict(found)
