"""Embeddings from a compatible server."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from time import monotonic
from typing import Any

import numpy as np

from model_service.adapters.common.slots import Slots
from model_service.adapters.openai import failures
from model_service.adapters.openai.client import Client
from model_service.adapters.openai.options import OpenAIOptions, base_url
from model_service.adapters.openai.tokenize import Counter
from model_service.adapters.remote.options import read_options
from model_service.engines.types import Capability, Card, Counted, Embedded, Load
from servicekit.errors import Reason, SixfoldError

_PROBE = "hello"


class OpenAIEmbeddings:
    """An embedding engine whose model runs behind a compatible server."""

    def __init__(self, name: str, url: str, options: dict[str, Any]) -> None:
        self._name = name
        self._options = read_options(OpenAIOptions, name, options)
        self._base = base_url(url)
        self._model = self._options.model or name
        self._client = Client(self._base, self._options)
        self._counter = Counter(self._base, self._model, self._options)
        self._slots = Slots(self._options.max_running, self._options.max_waiting)

    async def start(self) -> Card:
        """Embed a word, and describe the model by what comes back."""
        self._options.key()
        size = (await self.embed([_PROBE])).vectors.shape[1]
        card = self._options.card(
            self._name,
            "openai+" + self._base.partition("://")[0],
            version=hashlib.sha256(f"{self._base} {self._model} {size}".encode()).hexdigest()[:16],
            capabilities=frozenset({Capability.EMBEDDINGS}),
        )
        return replace(card, embedding_dimensions=size)

    async def embed(self, texts: list[str], *, dimensions: int | None = None) -> Embedded:
        """One vector a text, as the server gives it."""
        if any(not text for text in texts):
            raise SixfoldError(Reason.INVALID_REQUEST, "An empty text has no embedding.", param="input")
        seconds = self._options.first_token_timeout
        deadline = monotonic() + seconds
        body: dict[str, Any] = {"model": self._model, "input": texts, "encoding_format": "base64"}
        if dimensions is not None:
            body["dimensions"] = dimensions
        async with (
            self._slots.hold(seconds),
            self._client.send("POST", "/embeddings", body, first=seconds, deadline=deadline) as reply,
        ):
            raw = await reply.json()
        return _embedded(raw, len(texts))

    async def count_tokens(self, texts: list[str]) -> Counted:
        """See EmbeddingEngine.count_tokens: exact where the server counts."""
        return await self._counter.count(texts)

    async def health(self) -> None:
        """Raises SixfoldError when the server cannot embed."""
        await self.embed([_PROBE])

    def load(self) -> Load:
        return self._slots.load()

    async def close(self) -> None:
        await self._client.close()
        await self._counter.close()


def _embedded(raw: Any, texts: int) -> Embedded:
    """Vectors in the order of the texts. Servers answer base64 or lists, whatever was asked for."""
    try:
        rows = sorted(raw["data"], key=lambda row: int(row["index"]))
        vectors = np.stack([_vector(row["embedding"]) for row in rows])
        tokens = int((raw.get("usage") or {}).get("prompt_tokens") or 0)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise failures.malformed() from error
    if vectors.shape[0] != texts or not np.isfinite(vectors).all():
        raise failures.malformed()
    return Embedded(vectors, tokens)


def _vector(value: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value), dtype="<f4").astype(np.float32)
    return np.asarray(value, dtype=np.float32)
