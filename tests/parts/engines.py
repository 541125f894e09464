"""The three kinds of text engine over one model, each with its real server, for one contract suite."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any, Protocol

from model_service.adapters.openai import OpenAIEngine
from model_service.adapters.triton import TritonEngine
from model_service.engines.base import TextEngine
from parts.models import TEXT, prepared_models
from parts.openai_upstream import CONTEXT, find_llama
from parts.triton import find_triton


class EngineCase(Protocol):
    """One kind of engine and what stands behind it."""

    name: str

    def make(self, **options: Any) -> TextEngine:
        """An engine that has not been started."""
        ...

    async def busy(self, engine: TextEngine) -> int:
        """Requests that are being computed now, as the computing side itself says."""
        ...

    async def take_away(self, engine: TextEngine) -> None:
        """Kill what computes."""
        ...

    async def give_back(self) -> None:
        """Start it again, if nobody else does."""
        ...

    def remove(self) -> None: ...


class OpenVinoCase:
    """An engine process on this machine, started again by the engine itself."""

    name = "openvino"

    def __init__(self) -> None:
        self._url = f"openvino://{prepared_models() / TEXT}"

    def make(self, **options: Any) -> TextEngine:
        from model_service.adapters.openvino.engine import OpenVinoEngine

        return OpenVinoEngine(TEXT, self._url, {"max_running": 16, "max_waiting": 16, **options})

    async def busy(self, engine: TextEngine) -> int:
        return engine.load().running

    async def take_away(self, engine: TextEngine) -> None:
        pid = engine.pid  # type: ignore[attr-defined]
        os.kill(pid, signal.SIGKILL)

    async def give_back(self) -> None:
        pass

    def remove(self) -> None:
        pass


class TritonCase:
    """A Triton server with the model repository of deploy/triton."""

    name = "triton"

    def __init__(self) -> None:
        self._folder = prepared_models() / TEXT
        self.server = find_triton(env={"SIXFOLD_TRITON_MODEL_DIR": str(self._folder)})

    def make(self, **options: Any) -> TextEngine:
        url = f"triton://{self.server.grpc}/{TEXT}?profile=tensorrtllm"
        return TritonEngine(TEXT, url, {"tokenizer": str(self._folder), "max_waiting": 16, **options})

    async def busy(self, engine: TextEngine) -> int:
        return int(await asyncio.to_thread(self.server.metric, "nv_trt_llm_request_metrics", TEXT))

    async def take_away(self, engine: TextEngine) -> None:
        await asyncio.to_thread(self.server.kill)

    async def give_back(self) -> None:
        await asyncio.to_thread(self.server.start)

    def remove(self) -> None:
        self.server.remove()


class OpenAICase:
    """llama.cpp's server."""

    name = "openai"

    def __init__(self) -> None:
        self.server = find_llama()

    def make(self, **options: Any) -> TextEngine:
        defaults = {"context_tokens": CONTEXT, "max_running": 8, "max_waiting": 16}
        return OpenAIEngine(TEXT, f"openai+{self.server.url}", {**defaults, **options})

    async def busy(self, engine: TextEngine) -> int:
        return await asyncio.to_thread(self.server.busy)

    async def take_away(self, engine: TextEngine) -> None:
        await asyncio.to_thread(self.server.kill)

    async def give_back(self) -> None:
        await asyncio.to_thread(self.server.start)

    def remove(self) -> None:
        self.server.remove()


CASES: dict[str, type[OpenVinoCase] | type[TritonCase] | type[OpenAICase]] = {
    case.name: case for case in (OpenVinoCase, TritonCase, OpenAICase)
}
