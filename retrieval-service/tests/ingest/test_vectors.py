"""Vectors of passages: batches, long texts, a model that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from retrieval_service.documents.embedding import Embedded
from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.ingest.vectors import EmbedLimits, PassageVectors
from servicekit.errors import Reason, SixfoldError


class Letters:
    """A model that counts letters, and reads so many words."""

    def __init__(self, reads: int = 8) -> None:
        self.reads = reads
        self.calls: list[Sequence[str]] = []
        self.version = "v1"
        self.error: SixfoldError | None = None
        self.at_once = self.most_at_once = 0

    async def embed(self, tenant: str, model: str, texts: Sequence[str], *, deadline: float) -> Embedded:
        self.calls.append(texts)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if self.error is not None:
            raise self.error
        if any(len(text.split()) > self.reads for text in texts):
            raise SixfoldError(
                Reason.CONTEXT_LENGTH_EXCEEDED, "Too long.", metadata={"limit": str(self.reads)}
            )
        rows = np.array([[text.count("a") + 1, text.count("b")] for text in texts], dtype=np.float32)
        return Embedded(rows / np.linalg.norm(rows, axis=1, keepdims=True), self.version)


async def test_texts_go_in_batches_a_few_at_a_time() -> None:
    model = Letters()
    vectors = PassageVectors(model, EmbedLimits(batch=2, parallel=2))
    made = await vectors.embed("acme", "letters", "", ["a", "b", "a b", "b b", "a a"])
    assert (made.version, made.vectors.shape) == ("v1", (5, 2))
    assert [len(texts) for texts in model.calls] == [2, 2, 1]
    assert model.most_at_once == 2
    alone = await vectors.embed("acme", "letters", "v1", ["b b"])
    assert np.allclose(made.vectors[3], alone.vectors[0])


async def test_a_long_text_is_embedded_in_pieces_and_all_of_it_counts() -> None:
    model = Letters(reads=4)
    vectors = PassageVectors(model, EmbedLimits(batch=8))
    long = " ".join(["aaa"] * 20 + ["bbb"] * 20)
    made = await vectors.embed("acme", "letters", "", ["a", long, "b"])
    assert made.vectors.shape == (3, 2)
    assert made.vectors[1][0] > 0.3  # its beginning
    assert made.vectors[1][1] > 0.3  # and its end
    assert np.allclose(np.linalg.norm(made.vectors, axis=1), 1, atol=1e-5)
    learned = len(model.calls)
    await vectors.embed("acme", "letters", "", [long])
    assert len(model.calls) - learned <= 2  # it need not be refused again to be split


async def test_a_text_that_no_splitting_helps_fails() -> None:
    with pytest.raises(DocumentError) as failed:
        await PassageVectors(Letters(reads=0), EmbedLimits()).embed("acme", "letters", "", ["a"])
    assert failed.value.fault.reason is FileReason.EMBEDDING_FAILED


@pytest.mark.parametrize("reason", [Reason.MODEL_NOT_FOUND, Reason.UNSUPPORTED_PARAMETER])
async def test_a_model_that_is_gone_fails_the_file(reason: Reason) -> None:
    model = Letters()
    model.error = SixfoldError(reason, "No.")
    with pytest.raises(DocumentError):
        await PassageVectors(model, EmbedLimits()).embed("acme", "letters", "", ["a"])


async def test_another_version_is_another_model() -> None:
    with pytest.raises(DocumentError):
        await PassageVectors(Letters(), EmbedLimits()).embed("acme", "letters", "v0", ["a"])


async def test_an_outage_is_told_as_one() -> None:
    model = Letters()
    model.error = SixfoldError(Reason.ENGINE_UNAVAILABLE, "Later.")
    with pytest.raises(SixfoldError) as away:
        await PassageVectors(model, EmbedLimits(batch=1)).embed("acme", "letters", "", ["a", "b", "c"])
    assert away.value.reason is Reason.ENGINE_UNAVAILABLE
