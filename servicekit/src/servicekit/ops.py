"""A small HTTP server beside a gRPC service: /healthz, /readyz and /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import orjson

from servicekit.lifecycle import Lifecycle
from servicekit.metrics import render

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_JSON = "application/json"


class OpsServer:
    """Answers probes and Prometheus, on loopback or a pod's own address, never a public one."""

    def __init__(self, host: str, port: int, lifecycle: Lifecycle) -> None:
        self._address = (host, port)
        self._lifecycle = lifecycle
        self._server: Any = None
        self._task: asyncio.Task[None] | None = None
        self.port = port

    async def start(self) -> int:
        """Listens; returns the port, a free one where 0 was asked for. Exits with one line if it is taken."""
        import uvicorn

        class Quiet(uvicorn.Server):
            @contextlib.contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield  # the lifecycle owns the signals

        host, port = self._address
        try:
            listening = socket.create_server((host, port), family=_family(host), backlog=64)
        except OSError as error:
            raise SystemExit(f"cannot listen on {host}:{port}: {error.strerror}.") from None
        self.port = listening.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            limit_concurrency=32,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=1,
            server_header=False,
        )
        self._server = Quiet(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]), name="ops server")
        while not self._server.started and not self._task.done():  # noqa: ASYNC110  uvicorn has no event
            await asyncio.sleep(0.01)
        return self.port

    async def stop(self) -> None:
        """Closes the listener and what is left of its connections."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task
            self._task = None

    async def _app(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            return
        status, kind, body = await self._answer(scope["method"], scope["path"])
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})

    async def _answer(self, method: str, path: str) -> tuple[int, str, bytes]:
        if method not in ("GET", "HEAD"):
            return 405, _JSON, b'{"error":"METHOD_NOT_ALLOWED"}'
        if path == "/healthz":
            return 200, _JSON, b'{"status":"ok"}'
        if path == "/readyz":
            found = await self._lifecycle.readiness()
            body = orjson.dumps({"ready": found.ready, "state": found.state, "checks": found.checks})
            return 200 if found.ready else 503, _JSON, body
        if path == "/metrics":
            page, kind = render()
            return 200, kind, page
        return 404, _JSON, b'{"error":"NOT_FOUND"}'


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
