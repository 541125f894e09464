"""HTTP to one compatible server: a bounded pool, nothing followed, nothing kept, everything timed."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from time import monotonic
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson

from model_service.adapters.openai import failures
from model_service.adapters.openai.options import OpenAIOptions
from servicekit.errors import SixfoldError
from servicekit.telemetry import traceparent

_ERROR_BYTES = 64 << 10
_READ_BYTES = 256 << 10  # buffered of one answer while nobody reads; beyond, the server has to wait


class Client:
    """One server. The session opens on first use, inside the running loop."""

    def __init__(self, base: str, options: OpenAIOptions) -> None:
        self._base = base
        self._options = options
        self._session: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def send(
        self, method: str, path: str, body: Any, *, first: float, deadline: float
    ) -> AsyncIterator[Reply]:
        """An answer with status 200. Leaving before its end closes the connection at once.

        `first` is in seconds, `deadline` on the monotonic clock. Raises SixfoldError.
        """
        data = orjson.dumps(body) if body is not None else None
        response: aiohttp.ClientResponse | None = None
        try:
            async with _limit(first, deadline, begun=False):
                response = await self._request(method, self._base + path, data)
            if response.status != 200:
                raise await self._refusal(response, deadline)
            yield Reply(response, self._options, deadline)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise failures.unreachable() from error
        except (aiohttp.ClientError, OSError) as error:
            raise failures.cut(begun=False) from error
        finally:
            if response is not None:
                response.close() if not response.content.at_eof() else response.release()

    async def close(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            options = self._options
            headers = {
                "content-type": "application/json",
                "accept-encoding": "identity",
                "user-agent": "sixfold",
            }
            if (key := options.key()) is not None:
                headers["authorization"] = f"Bearer {key}"
            trust: ssl.SSLContext | bool = (
                ssl.create_default_context(cafile=options.ca_file) if options.ca_file else True
            )
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=options.max_running, ssl=trust, keepalive_timeout=30),
                headers={**headers, **options.headers},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=options.connect_timeout),
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[_note_kept_connections()],
                auto_decompress=False,
                read_bufsize=_READ_BYTES,
            )
        return self._session

    async def _request(self, method: str, url: str, data: bytes | None) -> aiohttp.ClientResponse:
        """Send it, on another connection where a kept one turns out to have been closed by the server."""
        for _ in range(self._options.max_running + 1):
            connection = SimpleNamespace(kept=False)
            trace = traceparent()
            try:
                return await self._open().request(
                    method,
                    url,
                    data=data,
                    headers={"traceparent": trace} if trace else None,
                    allow_redirects=False,
                    trace_request_ctx=connection,
                )
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if not connection.kept:
                    raise
        raise aiohttp.ServerDisconnectedError

    async def _refusal(self, response: aiohttp.ClientResponse, deadline: float) -> SixfoldError:
        body = b""
        with contextlib.suppress(SixfoldError, aiohttp.ClientError):
            async with _limit(self._options.chunk_timeout, deadline, begun=False):
                body = await response.content.read(_ERROR_BYTES)
        return failures.from_answer(response.status, response.headers, body)


class Reply:
    """The body of an answer."""

    def __init__(self, response: aiohttp.ClientResponse, options: OpenAIOptions, deadline: float) -> None:
        self._response = response
        self._options = options
        self._deadline = deadline
        self.streams = response.content_type == "text/event-stream"

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises SixfoldError for silence, a cut and too much of it."""
        size, begun = 0, False
        content = self._response.content
        while True:
            seconds = self._options.chunk_timeout if begun else self._options.first_token_timeout
            left = self._deadline - monotonic()
            try:
                async with asyncio.timeout(min(seconds, left)):
                    piece = await content.readany()
            except TimeoutError as error:
                raise (failures.too_late() if left <= seconds else failures.silent(begun=begun)) from error
            except (aiohttp.ClientError, OSError, RuntimeError) as error:  # the last is a closed session's
                raise failures.cut(begun=begun) from error
            if not piece:
                return
            begun = True
            size += len(piece)
            if size > self._options.max_body_bytes:
                raise failures.too_large()
            yield piece

    async def json(self) -> Any:
        """The whole body as JSON."""
        body = b"".join([piece async for piece in self.pieces()])
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise failures.malformed() from error


def _note_kept_connections() -> aiohttp.TraceConfig:
    """Tells each request whether its connection was open before."""

    async def kept(_session: Any, context: SimpleNamespace, _params: Any) -> None:
        context.trace_request_ctx.kept = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(kept)
    return trace


@contextlib.asynccontextmanager
async def _limit(seconds: float, deadline: float, *, begun: bool) -> AsyncIterator[None]:
    """Time for one step: its own limit, or what the deadline leaves."""
    left = deadline - monotonic()
    try:
        async with asyncio.timeout(max(min(seconds, left), 0)):
            yield
    except TimeoutError as error:
        raise (failures.too_late() if left <= seconds else failures.silent(begun=begun)) from error
