"""Counting tokens: with the model's own tokenizer, at a server that can, and where nobody can."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from model_service.adapters.common.chat_template import Prompts
from model_service.adapters.common.estimate import estimated
from model_service.adapters.openai.options import OpenAIOptions
from model_service.adapters.openai.tokenize import Counter


def byte_level() -> Tokenizer:
    """The most wasteful vocabulary that there can be: single bytes, after writing forms out."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer = Tokenizer(models.BPE({letter: at for at, letter in enumerate(sorted(alphabet))}, []))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_an_estimate_never_falls_short(texts: list[str]) -> None:
    tokenizer = byte_level()
    counted = estimated(texts)
    assert not counted.exact
    for text, count in zip(texts, counted.counts, strict=True):
        assert len(tokenizer.encode(text).ids) <= count


async def test_the_models_own_tokenizer_counts(tmp_path: Path) -> None:
    byte_level().save(str(tmp_path / "tokenizer.json"))
    prompts = Prompts(tmp_path)
    texts = ["abc", "", "x" * 40_000]
    assert await prompts.counts(texts) == [prompts.count(text) for text in texts]


Answer = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/tokenize", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}/v1"
    await runner.cleanup()


async def test_a_server_that_counts() -> None:
    seen: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(await request.json())
        return web.json_response({"tokens": seen[-1]["content"].split()})

    async with server(answer) as base:
        counter = Counter(base, "m", OpenAIOptions())
        counted = await counter.count(["a b c", "d"])
        await counter.close()
    assert (counted.counts, counted.exact) == ([3, 1], True)
    assert {entry["add_special"] for entry in seen} == {False}


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (500, 2)])
async def test_a_server_that_does_not(status: int, asked: int) -> None:
    """One without the path is asked once; one that failed is asked again."""
    calls = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        return web.Response(status=status, text=json.dumps({"error": {"message": "no"}}))

    async with server(answer) as base:
        counter = Counter(base, "m", OpenAIOptions())
        for _ in range(2):
            assert not (await counter.count(["abc"])).exact
        await counter.close()
    assert calls == asked


async def test_a_server_that_is_away() -> None:
    counter = Counter("http://127.0.0.1:9/v1", "m", OpenAIOptions(connect_timeout=1))
    counted = await asyncio.wait_for(counter.count(["abc"]), 10)
    assert not counted.exact
    assert counted.counts[0] >= 3
    await counter.close()
