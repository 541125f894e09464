"""uvicorn's HTTP protocol with the bounds that it lacks: size and time of a request's head, open connections,
and a way to drop a connection whose client does not read."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.openai.errors import error_body
from servicekit.errors import Reason, SixfoldError

_MAX_HEADERS = 100


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds of a connection; seconds and bytes."""

    max_head: int = 32 * 1024
    head_seconds: float = 10.0
    max_connections: int = 1000


def protocol_class(limits: HttpLimits) -> type[HttpToolsProtocol]:
    """The protocol with these limits, as uvicorn wants it: a class."""

    class Protocol(BoundedProtocol):
        bounds = limits

    return Protocol


class BoundedProtocol(HttpToolsProtocol):
    """Refuses heads that are too large or too slow, and connections beyond the limit, with a clear answer."""

    bounds = HttpLimits()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._refused = False

    def connection_made(self, transport: Any) -> None:
        """Counts the connection and waits for its first head."""
        super().connection_made(transport)
        if len(self.connections) > self.bounds.max_connections:
            self._refuse(
                503, SixfoldError(Reason.SERVICE_UNAVAILABLE, "This server has too many open connections.")
            )
            return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the timer."""
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses, unless the connection was refused."""
        if not self._refused:
            super().data_received(data)

    def on_message_begin(self) -> None:
        """A new head begins."""
        super().on_message_begin()
        self.scope["sixfold.transport"] = self.transport  # type: ignore[typeddict-unknown-key]
        self._head_bytes = 0
        if self._head_timer is None:
            self._wait_for_head()

    def on_url(self, url: bytes) -> None:
        """Counts the target as part of the head."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts a header line."""
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there in time."""
        self._head_arrived()
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of the body."""
        if not self._refused:
            super().on_message_complete()

    def timeout_keep_alive_handler(self) -> None:
        """An idle connection ends; one whose client never read its answer is dropped."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self.bounds.max_head or len(self.headers) > _MAX_HEADERS:
            self._refuse(
                431,
                SixfoldError(
                    Reason.REQUEST_TOO_LARGE, "The request's head is larger than this server takes."
                ),
            )

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(self.bounds.head_seconds, self._head_late)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: int, error: SixfoldError) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._head_arrived()
        body = error_body(error)
        phrase = {431: b"Request Header Fields Too Large", 503: b"Service Unavailable"}[status]
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"x-should-retry: %s\r\nconnection: close\r\n\r\n%s"
            % (status, phrase, len(body), b"true" if status == 503 else b"false", body)
        )
        self.transport.close()
