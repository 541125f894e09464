"""Vectors of passages: in batches, a few at a time, waiting while the model is away.

A passage may be longer than the model reads. It is then embedded piece by piece, and its vector is the mean
of theirs, weighted by length: all of it counts, rather than only its beginning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_service.chunking import estimate
from retrieval_service.documents.embedding import Embedded, Embedder
from retrieval_service.documents.errors import DocumentError, FileReason
from servicekit.errors import Reason, SixfoldError

Rows = npt.NDArray[np.float32]
_SHORTEST = 16
"""Characters below which a text is not halved any further."""


@dataclass(frozen=True, slots=True)
class EmbedLimits:
    """How texts are sent."""

    batch: int = 64
    """Texts a call."""
    parallel: int = 2
    """Calls at once, for all files together."""
    seconds: float = 60.0
    """For one call."""


class PassageVectors:
    """Shared by all files, so that its bound on calls holds for all of them."""

    def __init__(self, embedder: Embedder, limits: EmbedLimits) -> None:
        self._embedder = embedder
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.parallel)
        self._reads: dict[str, int] = {}
        """Tokens that each model reads, once it has said so."""

    async def embed(self, tenant: str, model: str, version: str, texts: Sequence[str]) -> Embedded:
        """One row a text. `version` is the store's; empty takes any.

        Raises DocumentError(EMBEDDING_FAILED) when the store's model is gone or refuses the text;
        SixfoldErrors that say "later".
        """
        try:
            batches = [
                texts[start : start + self._limits.batch]
                for start in range(0, len(texts), self._limits.batch)
            ]
            tasks = [asyncio.ensure_future(self._batch(tenant, model, batch)) for batch in batches]
            try:
                made = await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        except SixfoldError as error:
            raise _told(error) from error
        versions = {each.version for each in made}
        if len(versions) > 1:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "The embedding model was exchanged meanwhile.")
        found = versions.pop()
        if version and found != version:
            raise _model_gone()
        return Embedded(np.concatenate([each.vectors for each in made]), found)

    async def _batch(self, tenant: str, model: str, texts: Sequence[str]) -> Embedded:
        """Splits what is known to be too long, and learns from what the model refuses."""
        pieces = [self._pieces(model, text) for text in texts]
        flat = [piece for some in pieces for piece in some]
        made = await self._call(tenant, model, flat)
        if len(flat) == len(texts):
            return made
        rows, at = [], 0
        for some in pieces:
            rows.append(_mean(made.vectors[at : at + len(some)], [len(piece) for piece in some]))
            at += len(some)
        return Embedded(np.stack(rows), made.version)

    async def _call(self, tenant: str, model: str, texts: Sequence[str]) -> Embedded:
        try:
            async with self._slots:
                return await self._embedder.embed(tenant, model, texts, deadline=self._limits.seconds)
        except SixfoldError as error:
            if error.reason is not Reason.CONTEXT_LENGTH_EXCEEDED:
                raise
            limit = error.metadata.get("limit", "")
            if limit.isdigit():
                self._reads[model] = int(limit)
            if len(texts) == 1 and len(texts[0]) <= _SHORTEST:
                raise
        if len(texts) > 1:
            middle = len(texts) // 2
            first = await self._call(tenant, model, texts[:middle])
            second = await self._call(tenant, model, texts[middle:])
            if first.version != second.version:
                raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "The embedding model was exchanged meanwhile.")
            return Embedded(np.concatenate([first.vectors, second.vectors]), first.version)
        halves = _halves(texts[0])
        made = await self._call(tenant, model, halves)
        return Embedded(_mean(made.vectors, [len(half) for half in halves])[None, :], made.version)

    def _pieces(self, model: str, text: str) -> list[str]:
        limit = self._reads.get(model)
        if limit is None or estimate(text) <= limit or len(text) <= _SHORTEST:
            return [text]
        return [piece for half in _halves(text) for piece in self._pieces(model, half)]


def _halves(text: str) -> list[str]:
    """Two parts, parted at a space near the middle where there is one. Neither is blank."""
    middle = len(text) // 2
    before, behind = text.rfind(" ", middle // 2, middle), text.find(" ", middle, middle + middle // 2)
    near = [at for at in (before, behind) if at > 0]
    cut = min(near, key=lambda at: abs(at - middle)) if near else middle
    halves = [half for half in (text[:cut], text[cut:]) if half.strip()]
    return halves if len(halves) == 2 else [text[:middle] or text, text[middle:] or text]


def _mean(rows: Rows, weights: Sequence[int]) -> Rows:
    mean = np.average(rows, axis=0, weights=np.asarray(weights, dtype=np.float32)).astype(np.float32)
    length = float(np.linalg.norm(mean))
    return mean / length if length else rows[0]


def _told(error: SixfoldError) -> Exception:
    if error.reason is Reason.MODEL_NOT_FOUND:
        return _model_gone()
    if error.status.retryable:
        return error
    return DocumentError(
        FileReason.EMBEDDING_FAILED, "The embedding model does not take the document's text."
    )


def _model_gone() -> DocumentError:
    return DocumentError(
        FileReason.EMBEDDING_FAILED,
        "The model that made this store's vectors is not served any more: make a new store.",
    )
