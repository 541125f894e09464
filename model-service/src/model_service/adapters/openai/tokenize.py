"""Counting tokens at a server that has `/tokenize` beside its API, as llama.cpp and vLLM do."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from model_service.adapters.common.estimate import estimated
from model_service.adapters.openai.client import Client
from model_service.adapters.openai.options import OpenAIOptions
from model_service.engines.types import Counted
from servicekit.errors import Reason, SixfoldError

_AT_ONCE = 4
_MOST_TEXTS = 256
"""Each text is a request of its own there; more than this are estimated."""
_NOT_THERE = frozenset({Reason.MODEL_NOT_FOUND, Reason.INVALID_REQUEST, Reason.UNSUPPORTED_PARAMETER})


class Counter:
    """One server's way to count. What it cannot do is noticed once and not asked again."""

    def __init__(self, base: str, model: str, options: OpenAIOptions) -> None:
        """`base` ends in the API's version, which the path of `/tokenize` does not have."""
        self._client = Client(base.removesuffix("/v1"), options)
        self._model = model
        self._seconds = options.connect_timeout
        self._able = not base.startswith("https://api.openai.com/")

    async def count(self, texts: list[str]) -> Counted:
        """Exact where the server counts, an estimate otherwise. Raises nothing."""
        if not self._able or len(texts) > _MOST_TEXTS:
            return estimated(texts)
        turns = asyncio.Semaphore(_AT_ONCE)
        try:
            return Counted(
                list(await asyncio.gather(*(self._one(text, turns) for text in texts))), exact=True
            )
        except SixfoldError as error:
            self._able = error.reason not in _NOT_THERE
            return estimated(texts)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def _one(self, text: str, turns: asyncio.Semaphore) -> int:
        # llama.cpp reads "content", vLLM "prompt"; each ignores the other's fields.
        body = {
            "content": text,
            "add_special": False,
            "model": self._model,
            "prompt": text,
            "add_special_tokens": False,
        }
        async with (
            turns,
            self._client.send(
                "POST", "/tokenize", body, first=self._seconds, deadline=monotonic() + self._seconds
            ) as reply,
        ):
            return _length(await reply.json())


def _length(answer: Any) -> int:
    tokens = answer.get("tokens") if isinstance(answer, dict) else None
    if not isinstance(tokens, list):
        raise SixfoldError(Reason.UNSUPPORTED_PARAMETER, "The server does not count tokens.")
    return len(tokens)
