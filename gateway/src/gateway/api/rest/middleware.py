"""Around every REST route: no exception text outside, and headers that every answer has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gateway.api.rest.errors import respond
from servicekit.errors import internal
from servicekit.logs import get_logger

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = MutableMapping[str, Any]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = get_logger(__name__)


class Edge:
    """The outermost layer of the REST app. Request ids and body limits are the root application's."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_marked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), (b"x-content-type-options", b"nosniff")]
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        except Exception:
            if started:
                raise  # half an answer: the root application ends the connection
            request_id = scope.get("state", {}).get("request_id")
            _log.exception("rest_request_failed", path=_route(scope), request_id=request_id)
            await respond(internal())(scope, receive, send_marked)


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "other")
