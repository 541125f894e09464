"""The sentence-transformers:// engine."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from model_service.adapters.child.kept import KeptProcess
from model_service.adapters.sentence_transformers.batches import BatchQueue
from model_service.engines.types import Card, Counted, Embedded, Load
from model_service.models.cards import for_serving, read_card
from model_service.models.config import ConfigError
from servicekit.errors import Reason, SixfoldError

_WORKER = "model_service.adapters.sentence_transformers.worker"
_INLINE_CHARACTERS = 16_384  # more is counted in a thread
_MOST_CHARACTERS_A_TOKEN = 100


@dataclass(frozen=True, slots=True)
class EmbeddingOptions:
    """Limits of one model."""

    max_batch: int = 32
    """Texts embedded together."""
    max_batch_tokens: int = 2048
    """Tokens of a batch, padding included: on two cores about half a second, which is what a question may
    have to wait for a library that is being indexed."""
    max_waiting: int = 4096
    """Texts in line, of all callers; a caller that finds the line empty may bring more."""
    threads: int = 0
    """Threads of torch; 0 leaves it to torch."""
    load_seconds: float = 180.0

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> EmbeddingOptions:
        """Raises ConfigError."""
        known = {entry.name for entry in fields(cls)}
        for name, value in options.items():
            if name not in known:
                raise ConfigError(f"The sentence-transformers engine has no option '{name}'.")
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ConfigError(f"The option '{name}' of sentence-transformers must be a number.")
        return cls(**options)


class SentenceTransformersEngine:
    """One model in one process; concurrent requests share its batches."""

    def __init__(self, name: str, url: str, options: Mapping[str, Any]) -> None:
        """`url` is sentence-transformers:///path/to/folder. Nothing is loaded yet."""
        self._name = name
        self._folder = Path(url.partition("://")[2])
        self._options = EmbeddingOptions.parse(options)
        limits = self._options
        self._queue = BatchQueue(max(1, limits.max_batch), limits.max_batch_tokens, limits.max_waiting)
        self._process = KeptProcess(
            name,
            [_WORKER, str(self._folder), str(self._options.threads)],
            on_message=self._on_message,
            on_gone=self._on_gone,
            timeout=self._options.load_seconds,
        )
        self._tokenizer: Tokenizer | None = None
        self._card: Card | None = None

    @property
    def pid(self) -> int | None:
        """The embedding process, for those who watch it."""
        return self._process.pid

    async def start(self) -> Card:
        """Load the model; seconds, nearly all of them in the other process."""
        prepared = read_card(self._folder)
        if prepared is None or not (self._folder / "modules.json").exists():
            raise SixfoldError(
                Reason.ENGINE_UNAVAILABLE,
                f"The weights of {self._name} are not prepared. Run: python -m model_service prepare",
            )
        await self._process.start()
        tokenizer = await asyncio.to_thread(Tokenizer.from_file, str(self._folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._card = for_serving(prepared.card, name=self._name, engine="sentence-transformers")
        return self._card

    async def embed(self, texts: list[str], *, dimensions: int | None = None) -> Embedded:
        """See EmbeddingEngine.embed."""
        self._process.check()
        card, tokenizer = self._card, self._tokenizer
        if card is None or tokenizer is None:
            raise SixfoldError(Reason.ENGINE_UNAVAILABLE, "The model is not loaded.")
        if dimensions is not None and dimensions != card.embedding_dimensions:
            raise SixfoldError(
                Reason.UNSUPPORTED_PARAMETER,
                f"This model's vectors have {card.embedding_dimensions} dimensions and cannot be shortened.",
                param="dimensions",
            )
        if not all(text.strip() for text in texts):
            raise SixfoldError(Reason.INVALID_REQUEST, "An empty text has no embedding.", param="input")
        sizes = await self._count(tokenizer, texts, card.context_tokens)
        job = self._queue.put(texts, sizes)
        try:
            self._pump()
            await job.result
        finally:
            if len(job.rows) < len(texts):
                self._queue.withdraw(job)
        return Embedded(np.stack([job.rows[index] for index in range(len(texts))]), sum(sizes))

    async def count_tokens(self, texts: list[str]) -> Counted:
        """See EmbeddingEngine.count_tokens."""
        if self._tokenizer is None:
            raise SixfoldError(Reason.ENGINE_UNAVAILABLE, "The model is not loaded.")
        return Counted([len(encoding) for encoding in await _encode(self._tokenizer, texts)], exact=True)

    async def health(self) -> None:
        """Raise ENGINE_UNAVAILABLE while the process is not there."""
        self._process.check()

    def load(self) -> Load:
        """Counted in texts."""
        current = self._queue.current
        running = len(current.owners) if current is not None else 0
        return Load(running, self._queue.waiting, self._options.max_batch)

    async def close(self) -> None:
        """End the process."""
        self._queue.fail_all(SixfoldError(Reason.ENGINE_UNAVAILABLE, "The model is being unloaded."))
        await self._process.close()

    async def _count(self, tokenizer: Tokenizer, texts: list[str], limit: int) -> list[int]:
        """Tokens a text. Raises CONTEXT_LENGTH_EXCEEDED for the first that is too long."""
        for index, text in enumerate(texts):
            if len(text) > limit * _MOST_CHARACTERS_A_TOKEN:
                raise _too_long(index, None, limit)
        encoded = await _encode(tokenizer, texts)
        for index, encoding in enumerate(encoded):
            if len(encoding) > limit:
                raise _too_long(index, len(encoding), limit)
        return [len(encoding) for encoding in encoded]

    def _pump(self) -> None:
        """Send the next batch if the process is free."""
        batch = self._queue.next()
        if batch is not None:
            self._process.send({"embed": batch.number, "texts": batch.texts})

    def _on_message(self, message: dict[str, Any]) -> None:
        values = np.frombuffer(base64.b64decode(message["vectors"]), dtype="<f4")
        current = self._queue.current
        if current is not None:
            self._queue.done(message["done"], list(values.reshape(len(current.owners), -1)))
        self._pump()

    def _on_gone(self) -> None:
        self._queue.fail_all(
            SixfoldError(Reason.ENGINE_FAILED, "The engine broke off and is starting again.")
        )


async def _encode(tokenizer: Tokenizer, texts: list[str]) -> list[Any]:
    if sum(map(len, texts)) <= _INLINE_CHARACTERS:
        return list(tokenizer.encode_batch_fast(texts))
    return list(await asyncio.to_thread(tokenizer.encode_batch_fast, texts))


def _too_long(index: int, tokens: int | None, limit: int) -> SixfoldError:
    seen = f"{tokens} tokens" if tokens is not None else "far more tokens"
    return SixfoldError(
        Reason.CONTEXT_LENGTH_EXCEEDED,
        f"The model reads up to {limit} tokens a text; this one has {seen}.",
        param=f"input[{index}]",
        metadata={"limit": str(limit), **({"used": str(tokens)} if tokens is not None else {})},
    )
