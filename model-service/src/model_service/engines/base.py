"""The two kinds of engine. Adapters implement these; nothing else in the service knows a vendor."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol, TypeAlias

from model_service.engines.types import Card, Counted, Embedded, Event, Generation, Load


class TextEngine(Protocol):
    """Answers questions, many at once.

    An engine is made cheaply and without effect; `start` brings its model in. All methods are called
    on one event loop.
    """

    async def start(self) -> Card:
        """Load the model and describe it.

        Raises SixfoldError(ENGINE_UNAVAILABLE) when it cannot be brought in. May be called again after
        a failure or after `close`.
        """
        ...

    def generate(self, request: Generation) -> AsyncGenerator[Event, None]:
        """Deltas as they come, then exactly one Usage.

        Closing the generator (`aclose`) or cancelling its task stops the engine's work for this
        request and frees its slot at once.

        Raises SixfoldError: QUEUE_FULL with a true retry_after; CONTEXT_LENGTH_EXCEEDED,
        UNSUPPORTED_PARAMETER and INVALID_REQUEST before any work; DEADLINE_EXCEEDED; ENGINE_FAILED
        when the engine broke during the work; ENGINE_UNAVAILABLE when it is not there.
        """
        ...

    async def count_tokens(self, texts: list[str]) -> Counted:
        """The tokens of each text, without what a chat template adds. Needs no free slot.

        Raises SixfoldError(ENGINE_UNAVAILABLE) when the engine is not there.
        """
        ...

    async def health(self) -> None:
        """Return if the engine can answer; raise SixfoldError otherwise. Cheap."""
        ...

    def load(self) -> Load:
        """How busy it is now."""
        ...

    async def close(self) -> None:
        """Free everything. Running requests fail with ENGINE_UNAVAILABLE. Closing twice is harmless."""
        ...


class EmbeddingEngine(Protocol):
    """Turns texts into vectors."""

    async def start(self) -> Card:
        """As TextEngine.start."""
        ...

    async def embed(self, texts: list[str], *, dimensions: int | None = None) -> Embedded:
        """One vector a text, of length 1 unless the card says otherwise.

        Raises SixfoldError: INVALID_REQUEST for an empty text, CONTEXT_LENGTH_EXCEEDED for one that
        is too long, UNSUPPORTED_PARAMETER for dimensions the model cannot give, QUEUE_FULL.
        """
        ...

    async def count_tokens(self, texts: list[str]) -> Counted:
        """As TextEngine.count_tokens, with the tokens that the model puts around every text."""
        ...

    async def health(self) -> None:
        """As TextEngine.health."""
        ...

    def load(self) -> Load:
        """As TextEngine.load."""
        ...

    async def close(self) -> None:
        """As TextEngine.close."""
        ...


Engine: TypeAlias = TextEngine | EmbeddingEngine
