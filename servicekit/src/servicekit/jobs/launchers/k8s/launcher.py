"""Processes in pods of a Kubernetes cluster: a Job for each, talked to through the API.

The worker's words reach the pod through `exec`: nothing listens in the pod, nothing in it may call the
cluster, and what is said stands in no log.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

import aiohttp

from servicekit.jobs.launchers.base import LaunchFailed, Needs
from servicekit.jobs.launchers.k8s.address import Address, check_environment
from servicekit.jobs.launchers.k8s.api import STATUS, STDIN, STDOUT, Api, Refused
from servicekit.jobs.launchers.k8s.frames import BLOCK, Frames, frame
from servicekit.jobs.launchers.k8s.manifest import POD, job_manifest
from servicekit.logs import get_logger

_POLL_SECONDS = 0.5
_PIECE = 32 * 1024
"""Of one message to the API, which every server on the way takes."""
_LINES = 500
_EXIT_SECONDS = 5.0
_HOPELESS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
}
_log = get_logger("servicekit.jobs")


class KubernetesLauncher:
    """Each process has a Job and a pod of its own. `environment` must hold no password."""

    def __init__(self, address: Address, environment: Mapping[str, str]) -> None:
        check_environment(dict(environment))
        self._address = address
        self._environment = dict(environment)
        self._api = Api(address)

    async def launch(self, name: str, needs: Needs = Needs()) -> PodProcess:  # noqa: B008  frozen
        manifest = job_manifest(name, needs, self._address, self._environment)
        job = str(manifest["metadata"]["name"])
        try:
            await self._api.create(manifest)
        except Refused as refused:
            _log.warning("the cluster takes no job", status=refused.status, reason=refused.reason)
            raise LaunchFailed("LAUNCH_FAILED", "The cluster does not take the job.") from None
        try:
            async with asyncio.timeout(self._address.start_seconds):
                pod = await self._running(job)
                command = ["python", "-m", POD, "host", f"{self._address.silent_seconds:g}"]
                socket = await self._api.execute(pod, command)
                process = PodProcess(self._api, job, socket, self._address.silent_seconds)
                try:
                    await process.up()
                except BaseException:
                    await process.close()
                    raise
                return process
        except TimeoutError:
            why = LaunchFailed("LAUNCH_FAILED", "The cluster had no place for the job in time.")
        except Refused as refused:
            _log.warning("a job's pod cannot be used", job=job, status=refused.status, reason=refused.reason)
            why = LaunchFailed("LAUNCH_FAILED", "The job's process could not be started.")
        except LaunchFailed as failed:
            why = failed
        except asyncio.CancelledError:
            await self._remove(job)
            raise
        await self._remove(job)
        raise why

    async def close(self) -> None:
        await self._api.close()

    async def _running(self, job: str) -> str:
        """The name of its pod, once its container runs."""
        while True:
            pod = await self._api.pod(job)
            status: Mapping[str, Any] = (pod or {}).get("status") or {}
            for container in status.get("containerStatuses") or []:
                waiting = (container.get("state") or {}).get("waiting") or {}
                if waiting.get("reason") in _HOPELESS:
                    _log.warning("a job's pod does not start", job=job, reason=waiting["reason"])
                    raise LaunchFailed("LAUNCH_FAILED", f"The pod does not start: {waiting['reason']}.")
            if pod is not None and status.get("phase") == "Running":
                return str(pod["metadata"]["name"])
            if status.get("phase") in ("Failed", "Succeeded"):
                raise LaunchFailed("LAUNCH_FAILED", "The pod ended before the job began.")
            await asyncio.sleep(_POLL_SECONDS)

    async def _remove(self, job: str) -> None:
        with contextlib.suppress(Refused):  # what stays ends by itself and is swept by the cluster
            await self._api.delete(job)


class PodProcess:
    """The worker's end of it."""

    nice = 0

    def __init__(
        self, api: Api, job: str, socket: aiohttp.ClientWebSocketResponse, silent_seconds: float
    ) -> None:
        loop = asyncio.get_running_loop()
        self.workdir = ""
        self._api = api
        self._job = job
        self._socket = socket
        self._silent_seconds = silent_seconds
        self._sending = asyncio.Lock()
        self._lines: asyncio.Queue[bytes] = asyncio.Queue(_LINES)
        self._answers: dict[int, asyncio.Future[tuple[Mapping[str, Any], bytes]]] = {}
        self._number = 0
        self._memory = 0
        self._up: asyncio.Future[None] = loop.create_future()
        self._code: asyncio.Future[int] = loop.create_future()
        self._heard = time.monotonic()
        self._gone = False
        self._closed = False
        self._tasks = [
            asyncio.create_task(self._listen(), name=f"hear {job}"),
            asyncio.create_task(self._knock(), name=f"knock {job}"),
        ]

    async def up(self) -> None:
        """Returns once the process is there. LaunchFailed."""
        await self._up

    async def read(self) -> bytes:
        if self._gone and self._lines.empty():
            return b""
        return await self._lines.get()

    async def send(self, line: bytes) -> None:
        await self._say({"t": "line"}, line)

    async def open(self, name: str) -> AsyncGenerator[bytes, None]:
        offset = 0
        while block := await self._ask({"t": "block", "name": name, "offset": offset}):
            offset += len(block)
            yield block

    async def place(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        first = True
        async for chunk in chunks:
            for start in range(0, len(chunk), BLOCK):
                await self._append(name, chunk[start : start + BLOCK], first)
                first = False
        if first:
            await self._append(name, b"", True)

    def memory(self) -> int:
        """As it was told last."""
        return self._memory

    async def kill(self) -> None:
        if not await self._say({"t": "kill"}):
            await self._remove()

    async def wait(self) -> int:
        return await asyncio.shield(self._code)

    async def close(self) -> None:
        """The pod's own first process ends with the host; the Job goes in any case."""
        if self._closed:
            return
        self._closed = True
        await self._say({"t": "close"})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_EXIT_SECONDS):
                await asyncio.shield(self._tasks[0])
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._socket.close()
        await self._remove()

    async def _append(self, name: str, block: bytes, first: bool) -> None:
        await self._ask({"t": "append", "name": name, "first": first}, block)

    async def _ask(self, header: dict[str, Any], body: bytes = b"") -> bytes:
        """FileNotFoundError, PermissionError, LaunchFailed; WORKER_LOST once the pod is gone."""
        self._number += 1
        number = self._number
        answer: asyncio.Future[tuple[Mapping[str, Any], bytes]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            if not await self._say({**header, "id": number}, body):
                raise _lost()
            told, content = await answer
        finally:
            self._answers.pop(number, None)
        match told.get("error"):
            case None:
                return content
            case "missing":
                raise FileNotFoundError
            case "outside":
                raise PermissionError("a file outside the job's folder")
            case _:
                raise LaunchFailed(str(told["reason"]), str(told["message"]))

    async def _say(self, header: Mapping[str, Any], body: bytes = b"") -> bool:
        """False once nobody hears."""
        if self._gone:
            return False
        data = frame(header, body)
        try:
            async with self._sending:
                for start in range(0, len(data), _PIECE):
                    await self._socket.send_bytes(bytes((STDIN,)) + data[start : start + _PIECE])
        except (aiohttp.ClientError, OSError):
            self._end()
            return False
        return True

    async def _listen(self) -> None:
        frames = Frames()
        try:
            async for message in self._socket:
                if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                    continue
                self._heard = time.monotonic()
                stream, piece = message.data[0], message.data[1:]
                if stream == STDOUT:
                    for header, body in frames.feed(piece):
                        await self._take(header, body)
                elif stream == STATUS:
                    break  # the host has ended
        except (ValueError, KeyError, TypeError) as error:
            _log.warning("a pod says what nobody understands", job=self._job, error=type(error).__name__)
        except (aiohttp.ClientError, OSError):
            pass
        finally:
            self._end()
            # Whoever waits for a line hears of the end, behind what was said.
            with contextlib.suppress(asyncio.QueueFull):
                self._lines.put_nowait(b"")

    async def _take(self, header: Mapping[str, Any], body: bytes) -> None:
        match header["t"]:
            case "line":
                await self._lines.put(body)
            case "memory":
                self._memory = int(header["bytes"])
            case "answer":
                answer = self._answers.get(int(header["id"]))
                if answer is not None and not answer.done():
                    answer.set_result((header, body))
            case "exit":
                if not self._code.done():
                    self._code.set_result(int(header["code"]))
                await self._lines.put(b"")
            case "up":
                self.workdir = str(header["workdir"])
                if not self._up.done():
                    self._up.set_result(None)
            case "failed":
                if not self._up.done():
                    self._up.set_exception(LaunchFailed(str(header["reason"]), str(header["message"])))

    async def _knock(self) -> None:
        """The host ends without it. A pod that is not heard of is gone."""
        while not self._gone:
            await self._say({"t": "ping"})
            if time.monotonic() - self._heard > 2 * self._silent_seconds:
                _log.warning("a pod is not heard of any more", job=self._job)
                self._end()
                await self._socket.close()
                return
            await asyncio.sleep(self._silent_seconds / 5)

    def _end(self) -> None:
        self._gone = True
        if not self._code.done():
            self._code.set_result(-9)
        if not self._up.done():
            self._up.set_exception(LaunchFailed("LAUNCH_FAILED", "The job's process did not come up."))
            self._up.exception()  # nobody may be waiting for it
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(_lost())

    async def _remove(self) -> None:
        try:
            await self._api.delete(self._job)
        except Refused as refused:
            _log.warning("a job stays in the cluster for a while", job=self._job, status=refused.status)


def _lost() -> LaunchFailed:
    return LaunchFailed("WORKER_LOST", "The pod that ran the job is gone.")
