"""A model service for retrieval's tests: the real contract, with vectors that are made of a text's words."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import numpy as np

from parts.fake_engine import EngineServer, FakeEngine, card
from servicekit.errors import Reason, SixfoldError
from sixfold.model.v1 import generation_pb2 as gen
from sixfold.model.v1 import model_service_pb2 as pb

MODEL = "all-minilm-l6-v2"
DIMENSIONS = 64


class WordEmbedder(FakeEngine):
    """Texts with words in common are near one another. `fails` is raised by every call while it is set."""

    def __init__(self) -> None:
        super().__init__(card(MODEL, capabilities="embeddings"))
        self.fails: Reason | None = None
        self.model_version = "v1"
        self.longest = 256
        """Words that a text may have."""
        self.hold: asyncio.Event | None = None
        """Calls wait for it, where there is one."""
        self.texts = 0
        self.waiting = 0

    async def Embed(self, request: pb.EmbedRequest, context: Any) -> pb.EmbedResponse:
        await super().Embed(request, context)
        if self.fails is not None:
            raise SixfoldError(self.fails, "The double was told to fail.")
        if request.model != MODEL:
            raise SixfoldError(Reason.MODEL_NOT_FOUND, "There is no such model.")
        if any(len(text.split()) > self.longest for text in request.texts):
            raise SixfoldError(
                Reason.CONTEXT_LENGTH_EXCEEDED, "Too long.", metadata={"limit": str(self.longest)}
            )
        if self.hold is not None:
            self.waiting += 1
            await self.hold.wait()
            self.waiting -= 1
        self.texts += len(request.texts)
        return pb.EmbedResponse(
            embeddings=[pb.Embedding(values=_vector(text)) for text in request.texts],
            served_by=gen.ServedBy(model=MODEL, version=self.model_version, engine="fake"),
        )


def _vector(text: str) -> bytes:
    vector = np.zeros(DIMENSIONS, dtype="<f4")
    for word in text.lower().split():
        digest = hashlib.sha256(word.strip(".,:;!?").encode()).digest()
        vector[digest[0] % DIMENSIONS] += 1 if digest[1] % 2 else -1
    length = float(np.linalg.norm(vector))
    return bytes((vector / length if length else vector + 1 / DIMENSIONS**0.5).astype("<f4").tobytes())


__all__ = ["DIMENSIONS", "MODEL", "EngineServer", "WordEmbedder"]
