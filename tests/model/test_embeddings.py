"""The real embedding model."""

from __future__ import annotations

import asyncio
import os
import signal

import numpy as np
import pytest

from model_service.adapters.sentence_transformers.engine import SentenceTransformersEngine
from servicekit.errors import Reason, SixfoldError

pytestmark = [pytest.mark.real_model, pytest.mark.asyncio(loop_scope="module")]


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def test_meaning_is_near_and_vectors_have_length_one(embeddings: SentenceTransformersEngine) -> None:
    made = await embeddings.embed(["A cat sits outside.", "A kitten is outdoors.", "Interest rates rose."])
    vectors = made.vectors
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.dtype(np.float32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3
    assert made.prompt_tokens > 12


async def test_tokens_are_counted_as_they_are_charged(embeddings: SentenceTransformersEngine) -> None:
    texts = ["A cat sits outside.", "Interest rates rose."]
    counted = await embeddings.count_tokens(texts)
    assert counted.exact
    assert sum(counted.counts) == (await embeddings.embed(texts)).prompt_tokens


async def test_many_callers_get_their_own_vectors(embeddings: SentenceTransformersEngine) -> None:
    texts = [f"This is sentence number {number}." for number in range(40)]
    alone = (await embeddings.embed(texts)).vectors
    together = await asyncio.gather(*(embeddings.embed([text]) for text in texts))
    for row, one in zip(alone, together, strict=True):
        assert np.allclose(row, one.vectors[0], atol=1e-4)


@pytest.mark.parametrize(
    ("texts", "dimensions", "reason", "param"),
    [
        (["fine", " "], None, Reason.INVALID_REQUEST, "input"),
        (["fine", "word " * 300], None, Reason.CONTEXT_LENGTH_EXCEEDED, "input[1]"),
        (["x" * 5_000_000], None, Reason.CONTEXT_LENGTH_EXCEEDED, "input[0]"),
        (["fine"], 128, Reason.UNSUPPORTED_PARAMETER, "dimensions"),
    ],
)
async def test_what_it_refuses(
    embeddings: SentenceTransformersEngine,
    texts: list[str],
    dimensions: int | None,
    reason: Reason,
    param: str,
) -> None:
    with pytest.raises(SixfoldError) as refused:
        await embeddings.embed(texts, dimensions=dimensions)
    assert (refused.value.reason, refused.value.param) == (reason, param)


async def test_its_own_dimensions_may_be_named(embeddings: SentenceTransformersEngine) -> None:
    assert (await embeddings.embed(["x"], dimensions=384)).vectors.shape == (1, 384)


async def test_a_killed_process_fails_its_callers_and_comes_back(
    embeddings: SentenceTransformersEngine,
) -> None:
    waiting = asyncio.gather(*(embeddings.embed([f"text {n}"]) for n in range(64)), return_exceptions=True)
    await asyncio.sleep(0.02)
    kill(embeddings.pid)
    failed = [answer for answer in await waiting if isinstance(answer, SixfoldError)]
    assert failed
    assert {error.reason for error in failed} <= {Reason.ENGINE_FAILED, Reason.ENGINE_UNAVAILABLE}
    async with asyncio.timeout(100):
        while embeddings.pid is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await embeddings.embed(["x"])).vectors.shape == (1, 384)
