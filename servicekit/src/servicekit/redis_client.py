"""One way to a Redis server for everything that uses one: bounded, impatient, and back by itself.

While the server is away a call costs nothing: it is refused at once, and one small task asks every
half second whether the server is there again, so that no caller pays for finding out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

SECOND_PROBE_SECONDS = 0.05
PROBE_SECONDS = 0.5

T = TypeVar("T")
_log = structlog.get_logger("servicekit.redis")


class RedisAway(Exception):
    """The server did not answer in time, or refused. The log has the reason."""


class RedisLink:
    """A bounded pool of connections to one server, with a breaker.

    `timeout` is in seconds and bounds a whole call: waiting for a connection, connecting, sending and
    reading. Nothing is sent twice: a caller cannot know whether the first one was carried out.
    """

    def __init__(self, url: str, *, timeout: float, max_connections: int = 32) -> None:
        self._timeout = timeout
        parts = urlsplit(url)
        self._where = f"{parts.hostname}:{parts.port or 6379}"  # never the URL itself, which holds a password
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            health_check_interval=15,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._client: Redis = Redis.from_pool(pool)
        self._prober: asyncio.Task[None] | None = None
        self._refusing = False
        self._closed = False

    @property
    def away(self) -> bool:
        return self._prober is not None

    async def call(self, command: Callable[[Redis], Awaitable[T]]) -> T:
        """What `command` returns. RedisAway within the timeout, or at once while the server is away."""
        if self._prober is not None or self._closed:
            raise RedisAway
        try:
            async with asyncio.timeout(self._timeout):
                result = await command(self._client)
        except (RedisConnectionError, RedisTimeoutError, OSError, TimeoutError) as error:
            self._trip(error)
            raise RedisAway from None
        except RedisError as error:
            await self._refused(error)
            raise RedisAway from None
        self._refusing = False
        return result

    async def close(self) -> None:
        self._closed = True
        if self._prober is not None:
            self._prober.cancel()
            await asyncio.wait([self._prober])
            self._prober = None
        await self._client.aclose(close_connection_pool=True)

    def _trip(self, error: Exception) -> None:
        if self._prober is None and not self._closed:
            _log.warning("redis_away", server=self._where, error=type(error).__name__)
            self._prober = asyncio.create_task(self._probe(), name="redis-probe")

    async def _refused(self, error: RedisError) -> None:
        """The server is there and says no: out of memory, read only, a script that failed."""
        if not self._refusing:
            self._refusing = True
            _log.error("redis_refused", server=self._where, error=type(error).__name__)
        if isinstance(error, ReadOnlyError):  # the primary has moved: connect anew
            await self._client.connection_pool.disconnect(inuse_connections=False)

    async def _probe(self) -> None:
        delay = 0.0  # at once: it may have been this process that was slow, and not the server
        while True:
            await asyncio.sleep(delay)
            delay = min(PROBE_SECONDS, max(SECOND_PROBE_SECONDS, delay * 2))
            try:
                async with asyncio.timeout(max(self._timeout, PROBE_SECONDS)):
                    await self._client.ping()
            except (RedisError, OSError, TimeoutError):
                continue
            break
        self._prober = None
        _log.warning("redis_back", server=self._where)
