"""As much of a Kubernetes cluster as a launcher meets: the API over HTTP, and pods that are processes here.

It takes only manifests that follow Kubernetes' own schema, strictly, only calls with its token, and speaks
the streaming protocol of `exec`. A pod's processes end with its first one, as in a container.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kubernetes_validate
import psutil
from aiohttp import WSMsgType, web

VERSION = "1.36"
NAMESPACE = "jobs"


@dataclass
class Pod:
    """A Job with its one pod. `phase` tells what a kubelet would."""

    manifest: dict[str, Any]
    folder: Path
    env: dict[str, str]
    first: asyncio.subprocess.Process | None = None
    others: list[asyncio.subprocess.Process] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    watcher: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def container(self) -> dict[str, Any]:
        (container,) = self.manifest["spec"]["template"]["spec"]["containers"]
        return dict(container)

    @property
    def phase(self) -> str:
        if self.first is None:
            return "Pending"
        code = self.first.returncode
        return "Running" if code is None else "Succeeded" if code == 0 else "Failed"

    def pids(self) -> list[int]:
        """Of everything that runs in it."""
        found = []
        for process in (self.first, *self.others):
            if process is not None and process.returncode is None:
                with contextlib.suppress(psutil.Error):
                    found += [process.pid, *(each.pid for each in psutil.Process(process.pid).children(True))]
        return found

    def kill(self) -> None:
        """What the end of a container's first process does to all others."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)


class Cluster:
    """Listens on the loopback address. `jobs` are those that are there, `seen` all manifests ever."""

    def __init__(self, folder: Path, kept: Mapping[tuple[str, str], str] | None = None) -> None:
        """`kept` are its secrets' values, by name and key."""
        self.folder = folder
        self.token_file = folder / "token"
        self.jobs: dict[str, Pod] = {}
        self.seen: list[dict[str, Any]] = []
        self.refused: list[str] = []
        self.no_image = False
        self.kept = dict(kept or {})
        self.port = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._token = secrets.token_hex(16)
        self.token_file.write_text(self._token + "\n")
        self._runner: web.AppRunner | None = None

    def url(self, **options: str | float) -> str:
        """Of a launcher."""
        given = {
            "image": "registry.example/sixfold/training-service:0.1.0",
            "token_file": str(self.token_file),
        }
        query = "&".join(f"{name}={value}" for name, value in {**given, **options}.items())
        return f"k8s+http://127.0.0.1:{self.port}/{NAMESPACE}?{query}"

    async def start(self) -> None:
        app = web.Application(client_max_size=4 * 1024**2)
        jobs, pods = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs", f"/api/v1/namespaces/{NAMESPACE}/pods"
        app.router.add_post(jobs, self._create)
        app.router.add_delete(jobs + "/{name}", self._delete)
        app.router.add_get(pods, self._pods)
        app.router.add_get(pods + "/{name}/exec", self._exec)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        for name in list(self.jobs):
            await self._remove(name)
        if self._runner is not None:
            await self._runner.cleanup()

    async def cut(self) -> None:
        """Breaks every connection to pods, as a network would; nobody says goodbye."""
        for pod in self.jobs.values():
            for socket in pod.sockets:
                if (request := socket._req) is not None and request.transport is not None:
                    request.transport.abort()

    def _may(self, request: web.Request) -> None:
        if request.headers.get("authorization") != f"Bearer {self._token}":
            raise web.HTTPUnauthorized(text='{"kind":"Status","reason":"Unauthorized"}')

    async def _create(self, request: web.Request) -> web.Response:
        self._may(request)
        manifest = await request.json()
        try:
            kubernetes_validate.validate(manifest, VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            self.refused.append(str(error))
            return web.json_response({"kind": "Status", "reason": "Invalid"}, status=422)
        name = manifest["metadata"]["name"]
        if name in self.jobs:
            return web.json_response({"kind": "Status", "reason": "AlreadyExists"}, status=409)
        self.seen.append(manifest)
        folder = self.folder / name
        await asyncio.to_thread(folder.mkdir)
        pod = Pod(manifest, folder, self._environment(manifest, folder))
        self.jobs[name] = pod
        if not self.no_image:
            pod.first = await self._run(pod, pod.container["command"], piped=False)
            pod.watcher = asyncio.create_task(self._watch(pod))
        return web.json_response(manifest, status=201)

    def _environment(self, manifest: dict[str, Any], folder: Path) -> dict[str, str]:
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        (mount,) = container["volumeMounts"]
        env = {"PATH": os.environ["PATH"]}
        for variable in container["env"]:
            if "value" in variable:
                value = variable["value"]
                env[variable["name"]] = str(folder) if value == mount["mountPath"] else value
            else:
                source = variable["valueFrom"]["secretKeyRef"]
                env[variable["name"]] = self.kept[source["name"], source["key"]]
        return env

    async def _run(self, pod: Pod, command: list[str], *, piped: bool) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE if piped else asyncio.subprocess.DEVNULL
        program = sys.executable if command[0] == "python" else command[0]
        return await asyncio.create_subprocess_exec(
            program, *command[1:],
            cwd=pod.folder, env=pod.env, stdin=pipe, stdout=pipe,
            stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    async def _watch(self, pod: Pod) -> None:
        assert pod.first is not None
        await pod.first.wait()
        pod.kill()

    async def _pods(self, request: web.Request) -> web.Response:
        self._may(request)
        name = request.query["labelSelector"].removeprefix("batch.kubernetes.io/job-name=")
        items = []
        if pod := self.jobs.get(name):
            status: dict[str, Any] = {"phase": pod.phase}
            if self.no_image:
                waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
                status["containerStatuses"] = [{"name": "job", "state": {"waiting": waiting}}]
            items.append({"metadata": {"name": f"{name}-abcde", "creationTimestamp": "x"}, "status": status})
        return web.json_response({"kind": "PodList", "items": items})

    async def _delete(self, request: web.Request) -> web.Response:
        self._may(request)
        assert (await request.json())["propagationPolicy"] == "Background", "or the pod stays"
        found = await self._remove(request.match_info["name"])
        return web.json_response({"kind": "Status"}, status=200 if found else 404)

    async def _remove(self, name: str) -> bool:
        pod = self.jobs.pop(name, None)
        if pod is None:
            return False
        pod.kill()
        if pod.watcher is not None:
            await pod.watcher
        for process in pod.others:
            await process.wait()
        return True

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        self._may(request)
        pod = self.jobs.get(request.match_info["name"].removesuffix("-abcde"))
        if pod is None or pod.phase != "Running":
            return web.json_response({"kind": "Status", "reason": "NotFound"}, status=404)
        assert request.query["container"] == pod.container["name"]
        assert (request.query["stdin"], request.query["stdout"], request.query["tty"]) == (
            "true",
            "true",
            "false",
        )
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",), max_msg_size=64 * 1024)
        await socket.prepare(request)
        assert socket.ws_protocol == "v4.channel.k8s.io"
        process = await self._run(pod, request.query.getall("command"), piped=True)
        pod.others.append(process)
        pod.sockets.append(socket)
        assert process.stdin is not None
        talking = asyncio.create_task(self._talk(socket, process))
        try:
            async for message in socket:
                if message.type is WSMsgType.BINARY and message.data[:1] == b"\0":
                    process.stdin.write(message.data[1:])
                    with contextlib.suppress(ConnectionError):
                        await process.stdin.drain()
        finally:
            process.stdin.close()  # and nothing else: what runs in a pod outlives its visitors
        await talking
        return socket

    async def _talk(self, socket: web.WebSocketResponse, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        with contextlib.suppress(ConnectionError, RuntimeError):
            while piece := await process.stdout.read(16 * 1024):
                await socket.send_bytes(b"\1" + piece)
        code = await process.wait()
        status: dict[str, Any] = {"metadata": {}, "status": "Success"}
        if code:
            causes = [{"reason": "ExitCode", "message": str(code)}]
            status = {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}
        with contextlib.suppress(ConnectionError, RuntimeError):
            await socket.send_bytes(b"\3" + json.dumps(status).encode())
            await socket.close()


async def gone(pids: list[int], seconds: float = 20) -> None:
    """Returns once none of these processes lives."""
    until = time.monotonic() + seconds
    while left := [
        pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"
    ]:
        assert time.monotonic() < until, f"still there: {left}"
        await asyncio.sleep(0.1)
