"""The root application: request ids, hot routes, everything else to FastAPI, errors in one place."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway import metrics
from gateway.api.exchange import Disconnected, Exchange, Receive, Scope, Send
from gateway.api.observe import Observer
from gateway.api.raw import RawRoutes
from gateway.api.spans import request_span
from gateway.events.completion import Journal
from servicekit.errors import Reason, SixfoldError, internal
from servicekit.lifecycle import Lifecycle
from servicekit.logs import get_logger

_log = get_logger("gateway.http")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_MODELS = "/v1/models/"
_SHARED = frozenset({"/v1/responses"})
"""Hot paths of one method, whose other methods FastAPI serves."""
_OPS = frozenset({"/healthz", "/readyz", "/metrics"})

Handler = Callable[[Exchange], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class RootApp:
    """Dispatches by exact path. Hot handlers take an Exchange; the rest is an ASGI application of its own."""

    def __init__(
        self,
        hot: Mapping[str, tuple[str, Handler]],
        rest: App,
        lifecycle: Lifecycle,
        observer: Observer,
        *,
        max_in_flight: int,
        max_body: int,
        body_seconds: float,
        journal: Journal | None = None,
        raw: RawRoutes | None = None,
    ) -> None:
        self._hot = hot
        self._raw = raw or RawRoutes()
        self._model = hot[_MODELS]
        self._rest = rest
        self._lifecycle = lifecycle
        self._observer = observer
        self._max_in_flight = max_in_flight
        self._max_body = max_body
        self._body_seconds = body_seconds
        self._journal = journal
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":  # nothing here speaks it
            await send({"type": "websocket.close", "code": 1000})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, "")
        exchange.journal = self._journal
        given = exchange.headers.get(b"x-request-id")
        if given is not None and _REQUEST_ID.fullmatch(given):
            exchange.request_id = given.decode()
        else:
            exchange.request_id = "req_" + secrets.token_hex(12)
        self.in_flight += 1
        try:
            await self._dispatch(exchange, scope["path"])
        except SixfoldError as error:
            await exchange.fail(error)
        except Disconnected:
            exchange.status = exchange.status or 499
            exchange.code, exchange.reason = "client_left", Reason.CANCELLED.value
            metrics.DISCONNECTS.inc()
        except asyncio.CancelledError:
            exchange.code, exchange.reason = "cancelled", Reason.CANCELLED.value
            raise
        except Exception:
            _log.exception("request failed unexpectedly", request_id=exchange.request_id, path=exchange.label)
            await exchange.fail(internal())
        finally:
            self.in_flight -= 1
            exchange.settle()
            self._observer.ended(exchange)

    async def _dispatch(self, exchange: Exchange, path: str) -> None:
        entry = self._hot.get(path)
        if entry is not None and path in _SHARED and exchange.scope["method"] != entry[0]:
            entry = None
        if entry is None and path.startswith(_MODELS) and exchange.scope["method"] != "DELETE":
            entry = self._model
        if entry is None:
            if path not in _OPS:
                self._refuse_if_busy()
            found = self._raw.find(exchange.scope["method"], path)
            if found is not None:
                route, names = found
                exchange.label = route.path
                with request_span(exchange):
                    await route.handler(exchange, **names)
            elif path in _OPS:
                await self._pass_on(exchange, path)
            else:
                with request_span(exchange):
                    await self._pass_on(exchange, path)
            return
        method, handler = entry
        exchange.label = path if entry is not self._model else "/v1/models/{model}"
        self._refuse_if_busy()
        if exchange.scope["method"] != method:
            allowed = f"{method}, DELETE" if entry is self._model else method
            exchange.extra.append((b"allow", allowed.encode()))
            raise SixfoldError(Reason.METHOD_NOT_ALLOWED, f"This path answers {allowed} only.")
        await handler(exchange)

    def _refuse_if_busy(self) -> None:
        if self._lifecycle.draining:
            raise SixfoldError(Reason.DRAINING, "This server is about to stop; ask again.", retry_after=1)
        if self.in_flight > self._max_in_flight:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "Too many requests are in flight.", retry_after=1)

    async def _pass_on(self, exchange: Exchange, path: str) -> None:
        """Gives a request to FastAPI, its body read within the limits first."""
        scope = exchange.scope
        body = await exchange.body(self._max_body, self._body_seconds)
        pending = [{"type": "http.request", "body": body, "more_body": False}]
        scope.setdefault("state", {})["request_id"] = exchange.request_id

        async def receive() -> Any:
            return pending.pop() if pending else await exchange.receive()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", exchange.request_id.encode()),
                ]
            await exchange.send(message)

        try:
            await self._rest(scope, receive, send)
        finally:
            route = scope.get("route")
            exchange.label = getattr(route, "path", None) or (path if path in _OPS else "other")
