"""One HTTP request and its answer, over raw ASGI."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gateway.events.completion import Completion, Journal, Outcome
from gateway.openai.errors import code_of, error_body, retry_headers
from servicekit.errors import Reason, SixfoldError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
_VERSION: Header = (b"openai-version", b"2020-10-01")
_LINGER_BYTES = 16 * 1024 * 1024
_LINGER_SECONDS = 2.0


class Disconnected(Exception):
    """The client is gone; there is nobody to answer."""


class Exchange:
    """What one request has and says. `status` is 0 until an answer began."""

    __slots__ = (
        "began",
        "code",
        "complete",
        "completion",
        "extra",
        "facts",
        "headers",
        "journal",
        "label",
        "reason",
        "receive",
        "request_id",
        "scope",
        "send",
        "sending_since",
        "status",
        "unread",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.request_id = request_id
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.began = time.perf_counter()
        self.status = 0
        self.complete = False
        self.unread = False
        """Whether the client may still send its body while it is answered."""
        self.code = ""
        self.reason = ""
        """The reason of a failure, as events tell it."""
        self.completion: Completion | None = None
        """What the journal is told of this request; None for those that it does not follow."""
        self.journal: Journal | None = None
        self.label = "other"
        """The path as metrics name it."""
        self.facts: dict[str, Any] = {}
        """What the access log tells beyond status and time."""
        self.extra: list[Header] = []
        """Headers that every answer to this request carries, errors too."""
        self.sending_since = 0.0
        """When a send began that has not ended (perf_counter); 0 otherwise."""

    @property
    def elapsed(self) -> float:
        """Seconds since the request's head was there."""
        return time.perf_counter() - self.began

    async def body(self, limit: int, seconds: float) -> bytes:
        """The whole body. Raises REQUEST_TOO_LARGE (as soon as known), DEADLINE_EXCEEDED, Disconnected."""
        length = self.headers.get(b"content-length")
        if length is not None and (not length.isdigit() or int(length) > limit):
            raise _too_large(limit)
        try:
            async with asyncio.timeout(seconds):
                message = await self.receive()
                if message["type"] == "http.request" and not message.get("more_body"):
                    body: bytes = message.get("body", b"")
                    if len(body) > limit:
                        raise _too_large(limit)
                    return body
                return await self._long_body(message, limit)
        except TimeoutError:
            raise SixfoldError(
                Reason.DEADLINE_EXCEEDED, f"The body did not arrive within {seconds:g} seconds."
            ) from None

    async def _long_body(self, message: MutableMapping[str, Any], limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise Disconnected
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)
            message = await self.receive()

    def watch(self, left: Callable[[], None]) -> Callable[[], None]:
        """Calls `left` if the client goes away. The body must have been read. Returns what ends the watch."""
        watcher: asyncio.Future[MutableMapping[str, Any]] = asyncio.ensure_future(self.receive())

        def seen(done: asyncio.Future[MutableMapping[str, Any]]) -> None:
            if not done.cancelled() and not done.exception() and not self.complete:
                left()

        watcher.add_done_callback(seen)
        return watcher.cancel  # type: ignore[return-value]

    async def start(self, status: int, headers: list[Header]) -> None:
        """Sends the head of the answer."""
        self.status = status
        head = [
            (b"x-request-id", self.request_id.encode()),
            (b"openai-processing-ms", b"%d" % (self.elapsed * 1000)),
            _VERSION,
            *headers,
            *self.extra,
        ]
        await self.send({"type": "http.response.start", "status": status, "headers": head})

    async def write(self, body: bytes, *, more: bool) -> None:
        """Sends a piece of the answer's body; waits while the client does not read."""
        if not more:
            self.complete = True
            self.settle()
        self.sending_since = time.perf_counter()
        await self.send({"type": "http.response.body", "body": body, "more_body": more})
        self.sending_since = 0.0

    async def respond(self, status: int, body: bytes, headers: list[Header]) -> None:
        """Sends a whole answer."""
        await self.start(status, [(b"content-length", b"%d" % len(body)), *headers])
        await self.write(body, more=False)

    def blame(self, error: SixfoldError) -> None:
        """Takes note of what the request failed of."""
        self.code = code_of(error)
        self.reason = error.reason.value

    def settle(self) -> None:
        """Tells the journal how the request ended, once.

        That is before the last bytes go out: what was answered in full is kept, whatever becomes of this
        process.
        """
        completion, self.completion = self.completion, None
        if completion is not None and completion.tenant and self.journal is not None:
            self.journal.add(completion, Outcome(self.request_id, self.status, self.reason, self.elapsed))

    async def fail(self, error: SixfoldError) -> None:
        """Answers with an error, if no answer has begun; otherwise ends the connection."""
        self.blame(error)
        if self.status:
            self.abort()
            return
        body = error_body(error)
        headers = [JSON, *retry_headers(error), *getattr(error, "headers", ())]
        if error.reason is not Reason.REQUEST_TOO_LARGE and not self.unread:
            await self.respond(error.status.http, body, headers)
            return
        # Closing on a client that still sends would reset the connection and take the answer with it, so
        # the answer goes first and a bounded rest of the body is thrown away.
        headers += [(b"connection", b"close"), (b"content-length", b"%d" % len(body))]
        await self.start(error.status.http, headers)
        await self.write(body, more=True)
        await self._linger()
        await self.write(b"", more=False)

    async def _linger(self) -> None:
        size = 0
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while size < _LINGER_BYTES:
                    message = await self.receive()
                    size += len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body"):
                        return
        except TimeoutError:
            return

    def abort(self) -> None:
        """Drops the connection, with whatever the client has not read."""
        transport = self.scope.get("sixfold.transport")
        if transport is not None:
            transport.abort()


def _too_large(limit: int) -> SixfoldError:
    return SixfoldError(
        Reason.REQUEST_TOO_LARGE, f"The body is larger than {limit} bytes.", metadata={"limit": str(limit)}
    )
