"""Answers of a given shape: from the request's format to the pipeline's, checked before it gets there.

A grammar that does not compile throws inside `step` and ruins the pipeline for everybody. So each new
one is tried first in a second engine process, with a model of a few kilobytes and the same
vocabulary, under a time limit.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from model_service.adapters.child.process import ChildProcess
from model_service.engines.types import Format
from servicekit.errors import Reason, SixfoldError

WORKER = "model_service.adapters.openvino.worker"
_REMEMBERED = 512
_CHECK_SECONDS = 5.0
_START_SECONDS = 60.0
_LARGEST = 65_536  # characters of a schema or grammar
_GRAPHS = ("openvino_tokenizer", "openvino_detokenizer")


def to_pipeline(wanted: Format) -> dict[str, str]:
    """The one field of StructuredOutputConfig that a format sets. Raises SixfoldError(INVALID_REQUEST)."""
    if wanted.kind == "json_object":
        return {"json_schema": '{"type":"object"}'}
    if wanted.kind == "json_schema":
        if not isinstance(wanted.value, dict | bool):
            raise _invalid("The JSON schema is not an object.")
        field, text = "json_schema", orjson.dumps(wanted.value).decode()
    elif wanted.kind == "choice":
        values = wanted.value
        if not values or not all(isinstance(value, str) and value for value in values):
            raise _invalid("A choice needs at least one string, none empty.")
        field, text = "grammar", "root ::= " + " | ".join(json.dumps(value) for value in values)
    else:
        field, text = wanted.kind, str(wanted.value)
    if not text or len(text) > _LARGEST:
        raise _invalid(f"A format has 1 to {_LARGEST} characters.")
    return {field: text}


class FormatChecker:
    """Tries formats out. The process starts with the first one and stays."""

    def __init__(self, folder: Path, vocabulary: int, options: dict[str, Any]) -> None:
        self._folder = folder
        self._vocabulary = vocabulary
        self._options = options | {
            "kv_blocks": 16,
            "prefix_caching": False,
            "max_running": 1,
            "properties": {},
        }
        self._good: OrderedDict[str, None] = OrderedDict()
        self._lock = asyncio.Lock()
        self._process: ChildProcess | None = None
        self._verdict: asyncio.Future[bool] | None = None
        self._count = 0

    async def check(self, field: dict[str, str]) -> None:
        """Return if the format compiles in time. Raises SixfoldError(INVALID_REQUEST) otherwise."""
        key = orjson.dumps(field).decode()
        if key in self._good:
            self._good.move_to_end(key)
            return
        async with self._lock:
            if not await self._try(field):
                await self._stop()
                raise _invalid("The format is not valid, or too complex for this model's engine.")
        self._good[key] = None
        if len(self._good) > _REMEMBERED:
            self._good.popitem(last=False)

    async def close(self) -> None:
        """End the process."""
        await self._stop()

    async def _try(self, field: dict[str, str]) -> bool:
        process = self._process or await self._start()
        self._count += 1
        self._verdict = asyncio.get_running_loop().create_future()
        config = {"max_new_tokens": 1, "do_sample": False}
        process.send({"add": self._count, "ids": [1], "config": config, "format": field})
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                return await self._verdict
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            # Its answer would be taken for the next one's.
            await self._stop()
            raise

    async def _start(self) -> ChildProcess:
        folder = await asyncio.to_thread(self._write_probe)
        process = ChildProcess(self._on_message, self._on_gone)
        try:
            options = orjson.dumps(self._options).decode()
            await process.start([WORKER, str(folder), options], _START_SECONDS)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._process = process
        return process

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await process.kill()

    def _write_probe(self) -> Path:
        """A model with one layer of one head, and the real tokenizer: all that compiling looks at."""
        import openvino as ov

        from model_service.prepare.compress import Weights
        from model_service.prepare.llama import LlamaShape, build_llama

        shape = LlamaShape(1, 8, 8, 1, 1, 8, self._vocabulary, 64, 1e-5, 10_000.0, True)
        layer = "model.layers.0."
        linear = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
        square = (*linear, "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
        weights: dict[str, Weights] = {
            f"{layer}{name}.weight": np.zeros((8, 8), np.float32) for name in square
        }
        norms = (f"{layer}input_layernorm", f"{layer}post_attention_layernorm", "model.norm")
        weights |= {f"{name}.weight": np.ones(8, np.float32) for name in norms}
        weights["model.embed_tokens.weight"] = np.zeros((self._vocabulary, 8), np.float32)
        folder = Path(tempfile.mkdtemp(prefix="sixfold-formats-"))
        ov.save_model(build_llama(shape, weights), folder / "openvino_model.xml")
        for graph in _GRAPHS:
            for suffix in (".xml", ".bin"):
                (folder / (graph + suffix)).symlink_to((self._folder / (graph + suffix)).absolute())
        return folder

    def _on_message(self, message: dict[str, Any]) -> None:
        if self._verdict is not None and not self._verdict.done():
            self._verdict.set_result("rows" in message)

    def _on_gone(self) -> None:
        self._process = None
        if self._verdict is not None and not self._verdict.done():
            self._verdict.set_result(False)


def _invalid(message: str) -> SixfoldError:
    return SixfoldError(Reason.INVALID_REQUEST, message, param="response_format")
