"""What runs in a pod: `keep`, its first process, and `host`, which a worker starts in it and talks to.

`host` has the job's process and carries its words and files over its own standard streams, which the
cluster's API brings to the worker. They are not the container's own output: that is written to the node's
logs, and what jobs say is nobody's but their tenant's. `keep` lives as long as `host`, and the pod as long as
`keep`; `host` ends once its worker is gone or silent, and the job's process with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from servicekit.jobs.launchers.base import LaunchFailed
from servicekit.jobs.launchers.k8s.frames import BLOCK, HEAD, frame, lengths, read_header
from servicekit.jobs.launchers.k8s.manifest import VARIABLES
from servicekit.jobs.launchers.subprocess import SubprocessLauncher, SubprocessProcess

_LOCK = Path(".host")
_LOOK_SECONDS = 0.1
_MEMORY_SECONDS = 0.5
_PIECE = 32 * 1024


def keep(start_seconds: float) -> int:
    """Returns once the host that came has ended; 1 when none came in time."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # a first process has no other end
    with _LOCK.open("w") as handle:
        until = time.monotonic() + start_seconds
        while time.monotonic() < until:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                fcntl.flock(handle, fcntl.LOCK_EX)  # as long as the host lives
                return 0
            fcntl.flock(handle, fcntl.LOCK_UN)
            time.sleep(_LOOK_SECONDS)
    return 1


class Host:
    """One job's process, and the way to its worker."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silent_seconds: float
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._silent_seconds = silent_seconds
        self._sending = asyncio.Lock()

    async def run(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Until the worker says so, is gone, or says nothing for too long."""
        launcher = SubprocessLauncher(folder, environment, nice=0)
        process: SubprocessProcess | None = None
        telling: list[asyncio.Task[None]] = []
        try:
            try:
                process = await launcher.launch("job")
            except LaunchFailed as failed:
                await self._send({"t": "failed", "reason": failed.reason, "message": failed.message})
                return
            await self._send({"t": "up", "workdir": process.workdir})
            telling = [asyncio.create_task(self._pump(process)), asyncio.create_task(self._measure(process))]
            while (said := await self._hear()) is not None:
                header, body = said
                if header["t"] == "close":
                    return
                await self._do(process, header, body)
        except (OSError, ValueError):
            return  # nobody listens, or nobody that can be understood
        finally:
            for task in telling:
                task.cancel()
            if process is not None:
                await process.close()
            await launcher.close()

    async def _hear(self) -> tuple[dict[str, Any], bytes] | None:
        try:
            header, body = lengths(await self._take(HEAD.size))
            return read_header(await self._take(header)), await self._take(body)
        except (TimeoutError, asyncio.IncompleteReadError):
            return None

    async def _take(self, size: int) -> bytes:
        """Silence is counted from piece to piece: a slow way is no silence."""
        found = bytearray()
        while len(found) < size:
            async with asyncio.timeout(self._silent_seconds):
                found += await self._reader.readexactly(min(_PIECE, size - len(found)))
        return bytes(found)

    async def _send(self, header: Mapping[str, Any], body: bytes = b"") -> None:
        async with self._sending:
            self._writer.write(frame(header, body))
            await self._writer.drain()

    async def _do(self, process: SubprocessProcess, header: Mapping[str, Any], body: bytes) -> None:
        match header["t"]:
            case "line":
                await process.send(body)
            case "kill":
                await process.kill()
            case "block":
                await self._answer(header, self._block(process, header))
            case "append":
                await self._answer(header, self._append(process, header, body))

    async def _answer(self, header: Mapping[str, Any], work: Any) -> None:
        answer: dict[str, Any] = {"t": "answer", "id": header["id"]}
        content = b""
        try:
            content = await work
        except FileNotFoundError:
            answer["error"] = "missing"
        except PermissionError:
            answer["error"] = "outside"
        except LaunchFailed as failed:
            answer |= {"error": "failed", "reason": failed.reason, "message": failed.message}
        except OSError:
            answer |= {"error": "failed", "reason": "LAUNCH_FAILED", "message": "A file cannot be read."}
        await self._send(answer, content)

    async def _block(self, process: SubprocessProcess, header: Mapping[str, Any]) -> bytes:
        path = process.inside(str(header["name"]))

        def work() -> bytes:
            with path.open("rb") as file:
                file.seek(int(header["offset"]))
                return file.read(BLOCK)

        return await asyncio.to_thread(work)

    async def _append(self, process: SubprocessProcess, header: Mapping[str, Any], body: bytes) -> bytes:
        async def chunks() -> AsyncIterator[bytes]:
            yield body

        await process.place(str(header["name"]), chunks(), append=not header["first"])
        return b""

    async def _pump(self, process: SubprocessProcess) -> None:
        with contextlib.suppress(OSError):
            while True:
                try:
                    line = await process.read()
                except ValueError:
                    line = b"too long"
                if not line:
                    break
                await self._send({"t": "line"}, line)
            await self._send({"t": "exit", "code": await process.wait()})

    async def _measure(self, process: SubprocessProcess) -> None:
        with contextlib.suppress(OSError):
            while True:
                await self._send({"t": "memory", "bytes": process.memory()})
                await asyncio.sleep(_MEMORY_SECONDS)


async def host(silent_seconds: float) -> None:
    """Between this process's standard streams and the job's process."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2 * BLOCK)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(0), "rb"))
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(os.dup(1), "wb")
    )
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    names = [name for name in os.environ.get(VARIABLES, "").split(",") if name]
    environment = {name: os.environ[name] for name in names if name in os.environ}
    await Host(reader, writer, silent_seconds).run(Path.cwd() / "jobs", environment)


def main(arguments: list[str]) -> int:
    """The exit code."""
    match arguments:
        case ["keep", seconds]:
            return keep(float(seconds))
        case ["host", seconds]:
            with _LOCK.open("a") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                asyncio.run(host(float(seconds)))
            return 0
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
