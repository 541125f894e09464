"""Processes on a Ray cluster: an actor on some node starts the process there and carries its words and files.

Ray is loaded only where this launcher is chosen; its nodes have the service's package installed. An actor
that loses its node, or its worker, ends its process with it: the attempt is lost, and another one follows.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from servicekit.jobs.launchers.base import LaunchFailed, Needs, Process
from servicekit.jobs.launchers.subprocess import SubprocessLauncher
from servicekit.logs import get_logger

_BLOCK = 4 * 1024 * 1024
_LINES = 500
_POLL_SECONDS = 1.0
_MEMORY_SECONDS = 0.5
_log = get_logger("servicekit.jobs")


class RayLauncher:
    """Connects at the first launch. `address` is "local" or a cluster's `host:port` for clients.

    Each process has `cpus` and `gpus` of the cluster to itself, waits `start_seconds` for them at most, and
    is ended once its worker has not been heard of for `silent_seconds`, which is less than the lease.
    """

    def __init__(
        self,
        address: str,
        environment: Mapping[str, str],
        *,
        nice: int = 0,
        cpus: float = 1,
        gpus: float = 0,
        start_seconds: float = 60,
        silent_seconds: float = 5,
    ) -> None:
        self._address = address
        self._environment = dict(environment)
        self._nice = nice
        self._cpus = cpus
        self._gpus = gpus
        self._start_seconds = start_seconds
        self._silent_seconds = silent_seconds
        self._ray: Any = None
        self._connecting = asyncio.Lock()

    async def launch(self, name: str, needs: Needs = Needs()) -> Process:  # noqa: B008  frozen
        ray = await self._connect()
        host = None
        try:
            has = {"num_cpus": self._cpus, "num_gpus": self._gpus}
            actor = ray.remote(max_restarts=0, max_concurrency=16, **has)(Host)
            host = await asyncio.to_thread(actor.remote, self._environment, self._nice, self._silent_seconds)
            async with asyncio.timeout(self._start_seconds):
                workdir = await host.start.remote(name)
        except (ray.exceptions.RayError, TimeoutError) as error:
            if host is not None:
                with contextlib.suppress(Exception):
                    ray.kill(host)
            _log.warning("a job's process cannot be started on the cluster", error=type(error).__name__)
            raise LaunchFailed("LAUNCH_FAILED", "The job's process could not be started.") from None
        return RayProcess(ray, host, workdir, self._nice)

    async def close(self) -> None:
        if self._ray is not None:
            ray, self._ray = self._ray, None
            await asyncio.to_thread(ray.shutdown)

    async def _connect(self) -> Any:
        async with self._connecting:
            if self._ray is None:
                try:
                    self._ray = await asyncio.to_thread(_connect, self._address)
                except Exception as error:
                    _log.warning("the cluster cannot be reached", error=type(error).__name__)
                    raise LaunchFailed("LAUNCH_FAILED", "The cluster cannot be reached.") from None
            return self._ray


def _connect(address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers
    import ray

    where = "local" if address == "local" else f"ray://{address}"
    local = {"include_dashboard": False} if address == "local" else {}
    ray.init(address=where, log_to_driver=False, configure_logging=False, **local)
    return ray


class Host:
    """The actor: has one process on its node. Its methods run in Ray's loop."""

    def __init__(self, environment: Mapping[str, str], nice: int, silent_seconds: float) -> None:
        folder = Path(tempfile.gettempdir()) / f"sixfold-jobs-{os.getuid()}"
        self._launcher = SubprocessLauncher(folder, environment, nice=nice)
        self._silent_seconds = silent_seconds
        self._process: Any = None
        self._lines: asyncio.Queue[bytes] = asyncio.Queue(_LINES)
        self._heard = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, name: str) -> str:
        self._heard = time.monotonic()
        self._process = await self._launcher.launch(name)
        self._tasks = [asyncio.create_task(self._pump()), asyncio.create_task(self._guard())]
        return str(self._process.workdir)

    async def read(self) -> list[bytes]:
        """What was said since the last time, after a while at most; an empty line at the end."""
        self._heard = time.monotonic()
        lines = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS):
                lines.append(await self._lines.get())
        while not self._lines.empty():
            lines.append(self._lines.get_nowait())
        return lines

    async def send(self, line: bytes) -> None:
        self._heard = time.monotonic()
        await self._process.send(line)

    async def block(self, name: str, offset: int) -> bytes:
        self._heard = time.monotonic()
        path = self._process.inside(name)

        def work() -> bytes:
            with path.open("rb") as file:
                file.seek(offset)
                return bytes(file.read(_BLOCK))

        return await asyncio.to_thread(work)

    async def append(self, name: str, block: bytes, first: bool) -> tuple[str, str] | None:
        """Why it cannot be written, or None."""
        self._heard = time.monotonic()

        async def chunks() -> AsyncIterator[bytes]:
            yield block

        try:
            await self._process.place(name, chunks(), append=not first)
        except LaunchFailed as failed:
            return failed.reason, failed.message
        return None

    async def memory(self) -> int:
        return int(self._process.memory())

    async def kill(self) -> None:
        await self._process.kill()

    async def wait(self) -> int:
        return int(await self._process.wait())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._process.close()
        await self._launcher.close()

    async def _pump(self) -> None:
        while True:
            try:
                line = await self._process.read()
            except ValueError:
                line = b"too long"
            await self._lines.put(line)
            if not line:
                return

    async def _guard(self) -> None:
        """Nobody listens any more: the job's lease runs out, and another worker will have it."""
        while time.monotonic() - self._heard < self._silent_seconds:  # noqa: ASYNC110
            await asyncio.sleep(self._silent_seconds / 10)
        await self._process.kill()


class RayProcess:
    """The worker's end of it."""

    def __init__(self, ray: Any, host: Any, workdir: str, nice: int) -> None:
        self._ray = ray
        self._host = host
        self.workdir = workdir
        self.nice = nice
        self._said: list[bytes] = []
        self._memory = 0
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None
        self._gone = False
        self._closed = False

    async def read(self) -> bytes:
        while not self._said:
            lines = await self._ask(self._host.read)
            if lines is None:
                return b""
            self._said = list(lines)
        return self._said.pop(0)

    async def send(self, line: bytes) -> None:
        await self._ask(self._host.send, line)

    async def open(self, name: str) -> AsyncGenerator[bytes, None]:
        offset = 0
        while block := await self._ask(self._host.block, name, offset):
            offset += len(block)
            yield block
        if self._gone:
            raise LaunchFailed("WORKER_LOST", "The node that ran the job is gone.")

    async def place(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        first = True
        async for chunk in chunks:
            why = await self._ask(self._host.append, name, chunk, first)
            if why is not None:
                raise LaunchFailed(*why)
            first = False
        if first:
            await self._ask(self._host.append, name, b"", True)
        if self._gone:
            raise LaunchFailed("WORKER_LOST", "The node that ran the job is gone.")

    def memory(self) -> int:
        """As it was told last; asked for anew meanwhile."""
        if time.monotonic() - self._asked_at > _MEMORY_SECONDS and (
            self._asking is None or self._asking.done()
        ):
            self._asked_at = time.monotonic()
            self._asking = asyncio.get_running_loop().create_task(self._measure())
        return self._memory

    async def kill(self) -> None:
        await self._ask(self._host.kill)

    async def wait(self) -> int:
        code = await self._ask(self._host.wait)
        return -9 if code is None else int(code)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._asking is not None:
            self._asking.cancel()
        await self._ask(self._host.close)
        with contextlib.suppress(Exception):
            await asyncio.to_thread(self._ray.kill, self._host)

    async def _measure(self) -> None:
        memory = await self._ask(self._host.memory)
        self._memory = memory or self._memory

    async def _ask(self, method: Any, *arguments: Any) -> Any:
        """None once the actor is gone. What the actor's method raised comes through."""
        try:
            answer = method.remote(*arguments)
        except Exception:  # Ray has no type for an actor that it has forgotten
            self._gone = True
            return None
        try:
            return await answer
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, OSError | ValueError) else error
            raise cause from None
        except self._ray.exceptions.RayError:
            self._gone = True
            return None
