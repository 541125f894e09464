"""A connection to one service that comes back by itself."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence

from gateway.adapters.h2 import headers
from gateway.adapters.h2.call import Call
from gateway.adapters.h2.connection import Connection
from gateway.adapters.h2.peer import MODEL_SERVICE, Peer
from servicekit.errors import Reason, SixfoldError
from servicekit.rpc import Tls

_CONNECT_SECONDS = 3.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0


class Channel:
    """Calls to `host:port`. Connects at the first call; while a service is away, calls fail at once.

    After an outage the next call connects anew, at most ten times a second at first and once a second later.
    """

    def __init__(self, target: str, *, tls: Tls | None = None, peer: Peer = MODEL_SERVICE) -> None:
        self.target = target
        self._peer = peer
        host, _, port = target.removeprefix("dns:///").rpartition(":")
        if not host or not port.isdigit():
            raise SixfoldError(Reason.INVALID_REQUEST, f"The address of a {peer.name} is host:port.")
        self._host, self._port = host.strip("[]"), int(port)
        self._authority = f"{host}:{port}".encode()
        self._ssl = _client_context(tls) if tls is not None else None
        self._heads: dict[bytes, bytes] = {}
        self._connection: Connection | None = None
        self._waiting: list[tuple[Call, bytes, bytes]] = []
        self._connecting: asyncio.Task[None] | None = None
        self._pause = 0.0
        self._not_before = 0.0
        self._closed = False

    def call(self, path: bytes, metadata: Sequence[tuple[str, str]], body: bytes, deadline: float) -> Call:
        """Starts a call with one message; `deadline` in seconds. Never waits; failures come from `read`."""
        loop = asyncio.get_running_loop()
        call = Call(loop, deadline, self._peer)
        block = self._block(path, metadata, deadline)
        connection = self._connection
        if connection is not None and not connection.gone:
            self._send(connection, call, block, body)
        elif self._closed or (self._connecting is None and loop.time() < self._not_before):
            call.lost()
        else:
            self._waiting.append((call, block, body))
            if self._connecting is None:
                self._connecting = loop.create_task(self._connect())
        return call

    def _block(self, path: bytes, metadata: Sequence[tuple[str, str]], deadline: float) -> bytes:
        head = self._heads.get(path)
        if head is None:
            head = self._heads[path] = headers.request_head(path, self._authority, tls=self._ssl is not None)
        parts = [head, headers.timeout(deadline)]
        for name, value in metadata:
            write = headers.secret if name == "authorization" else headers.literal
            parts.append(write(name.encode(), value.encode("latin-1", "replace")))
        return b"".join(parts)

    def _send(self, connection: Connection, call: Call, block: bytes, body: bytes) -> None:
        if len(block) > headers.MAX_LIST_BYTES:
            call.fail(
                SixfoldError(Reason.REQUEST_TOO_LARGE, "The call's metadata is larger than a service takes.")
            )
        elif connection.full:
            call.fail(
                SixfoldError(
                    Reason.QUEUE_FULL, f"The {self._peer.name} has no room for the call.", retry_after=1
                )
            )
        else:
            connection.send(call, block, body)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        connection: Connection | None = None
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                transport, connection = await loop.create_connection(
                    lambda: Connection(loop, self._gone),
                    self._host,
                    self._port,
                    ssl=self._ssl,
                    server_hostname=self._host if self._ssl is not None else None,
                )
            raw = transport.get_extra_info("socket")
            if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, TimeoutError, ssl.SSLError):
            connection = None
        finally:
            self._connecting = None
        waiting, self._waiting = self._waiting, []
        if connection is None or connection.gone or self._closed:
            self._pause = min(self._pause * 2 or _FIRST_PAUSE, _LONGEST_PAUSE)
            self._not_before = loop.time() + self._pause
            for call, _, _ in waiting:
                call.lost()
            return
        self._pause = 0.0
        self._connection = connection
        for call, block, body in waiting:
            if not call.over:
                self._send(connection, call, block, body)

    def _gone(self, connection: Connection) -> None:
        if self._connection is connection:
            self._connection = None

    async def close(self) -> None:
        """Ends the connection; running calls fail."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.close()
        for call, _, _ in self._waiting:
            call.lost()


def _client_context(tls: Tls) -> ssl.SSLContext:
    """Mutual TLS 1.2 or newer; the peer must speak HTTP/2."""
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(tls.ca))
        context.load_cert_chain(str(tls.cert), str(tls.key))
    except (OSError, ssl.SSLError) as error:
        raise SystemExit(
            f"the TLS files cannot be used ({type(error).__name__}): {tls.ca}, {tls.cert}, {tls.key}"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    return context
