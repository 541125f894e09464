"""Doubles for the service's own tests: an engine that says what it was told to say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import numpy as np
import pytest

from model_service.engines.types import (
    Capability,
    Card,
    Counted,
    Delta,
    Embedded,
    Event,
    Finish,
    Generation,
    Load,
    Usage,
)
from servicekit.errors import Reason, SixfoldError


@dataclass
class FakeTextEngine:
    """Says `words`, one a delta. `fail_at` breaks it before that word; `gate` holds it before every word."""

    words: list[str] = field(default_factory=lambda: ["one", " two", " three"])
    fail_at: int | None = None
    error: Exception = field(default_factory=lambda: SixfoldError(Reason.ENGINE_FAILED, "It broke."))
    start_error: Exception | None = None
    gate: asyncio.Event | None = None
    seen: list[Generation] = field(default_factory=list)
    running: int = 0
    starts: int = 0
    up: bool = False

    async def start(self) -> Card:
        self.starts += 1
        await asyncio.sleep(0)
        if self.start_error is not None:
            raise self.start_error
        self.up = True
        return Card("fake", "v1", frozenset({Capability.CHAT}), context_tokens=100, engine="fake")

    async def generate(self, request: Generation) -> AsyncGenerator[Event, None]:
        self.seen.append(request)
        self.running += 1
        try:
            for index, word in enumerate(self.words):
                if self.gate is not None:
                    await self.gate.wait()
                if index == self.fail_at:
                    raise self.error
                finish = Finish.STOP if index == len(self.words) - 1 else None
                yield Delta(text=word, token_count=1, finish=finish)
            yield Usage(prompt_tokens=3, completion_tokens=len(self.words), ttft_seconds=0.001)
        finally:
            self.running -= 1

    async def count_tokens(self, texts: list[str]) -> Counted:
        return Counted([len(text.split()) for text in texts], exact=True)

    async def health(self) -> None:
        if not self.up:
            raise SixfoldError(Reason.ENGINE_UNAVAILABLE, "It is gone.")

    def load(self) -> Load:
        return Load(self.running, 0, 4)

    async def close(self) -> None:
        self.up = False


class FakeEmbeddingEngine:
    """The vector of a text is its length and 0."""

    async def start(self) -> Card:
        return Card("fake-embed", "v1", frozenset({Capability.EMBEDDINGS}), embedding_dimensions=2)

    async def embed(self, texts: list[str], *, dimensions: int | None = None) -> Embedded:
        return Embedded(np.array([[len(text), 0] for text in texts], np.float32), len(texts))

    async def count_tokens(self, texts: list[str]) -> Counted:
        return Counted([len(text) for text in texts], exact=False)

    async def health(self) -> None: ...

    def load(self) -> Load:
        return Load(0, 0, 1)

    async def close(self) -> None: ...


@pytest.fixture
def text_engine() -> FakeTextEngine:
    return FakeTextEngine()


@pytest.fixture
def embedding_engine() -> FakeEmbeddingEngine:
    return FakeEmbeddingEngine()
