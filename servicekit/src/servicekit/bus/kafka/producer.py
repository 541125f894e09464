"""The writing end: acknowledged by all replicas, idempotent, and bounded in what it holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import Any, NamedTuple

from kafka import KafkaProducer
from kafka.errors import MessageSizeTooLargeError

from servicekit.bus.kafka.admin import Admin
from servicekit.bus.kafka.clients import make, translated
from servicekit.bus.kafka.options import KafkaOptions
from servicekit.bus.wire import Entry
from servicekit.errors import Reason, SixfoldError

_MAX_ENTRIES = 20_000
_MAX_BYTES = 64 * 1024 * 1024
_DELIVERY_SECONDS = 120.0
"""How long the client goes on trying, whether a caller still waits or not."""
_STUCK_SECONDS = _DELIVERY_SECONDS + 15
_FAILURES_UNTIL_NEW = 3


class _OnItsWay(NamedTuple):
    """An entry that was given to the client, and is neither acknowledged nor given up."""

    sent: Any
    since: float
    size: int


class Producer:
    """Sends from one thread, in the order of the calls.

    An entry that is still on its way when its caller tries again is not sent twice: the caller waits for
    the one that is there. A client that keeps failing, or holds an entry for too long, is replaced.
    """

    def __init__(self, options: KafkaOptions, admin: Admin) -> None:
        self._options = options
        self._admin = admin
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bus-produce")
        self._client: Any = None
        self._failures = 0
        self._lock = Lock()
        self._on_its_way: dict[tuple[str, str], _OnItsWay] = {}
        self._bytes = 0
        self._queued = 0

    async def append(self, topic: str, entries: Sequence[Entry], timeout: float) -> None:
        """Returns when the broker has acknowledged every entry; SERVICE_UNAVAILABLE otherwise."""
        self._queue(entries)
        acknowledged: Future[None] = Future()
        sending = self._thread.submit(self._send, topic, entries, acknowledged)
        sending.add_done_callback(lambda sent: self._unqueue(sent, entries, acknowledged))
        waiting = asyncio.wrap_future(acknowledged)
        waiting.add_done_callback(_look_at)
        try:
            async with asyncio.timeout(timeout):
                # Shielded: what is on its way stays so, whether its caller waits or not.
                await asyncio.shield(waiting)
        except TimeoutError:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "The event log did not answer in time.") from None
        finally:
            sending.cancel()  # what is not yet on its way need not go

    async def close(self) -> None:
        """Waits for what is on its way, within the timeout."""
        await asyncio.wrap_future(self._thread.submit(self._disconnect, self._options.timeout))
        self._thread.shutdown(wait=False)

    def _queue(self, entries: Sequence[Entry]) -> None:
        with self._lock:
            size = self._bytes + sum(map(_size, entries))
            if len(self._on_its_way) + self._queued + len(entries) > _MAX_ENTRIES or size > _MAX_BYTES:
                raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "Too many events wait for the event log.")
            self._queued += len(entries)

    def _unqueue(self, sent: Future[None], entries: Sequence[Entry], acknowledged: Future[None]) -> None:
        with self._lock:
            self._queued -= len(entries)
        if sent.cancelled():
            acknowledged.cancel()
        elif (error := sent.exception()) is not None:
            acknowledged.set_exception(error)

    # In the thread, and in the client's own.

    def _send(self, topic: str, entries: Sequence[Entry], acknowledged: Future[None]) -> None:
        with translated():
            if self._failures >= _FAILURES_UNTIL_NEW or self._stuck():
                self._disconnect(0)
            self._admin.ensure(topic)
            client = self._connected()
            waiting = _Waiting(len(entries), lambda error: self._ended(acknowledged, error))
            for entry in entries:
                try:
                    sent = self._sent(client, topic, entry)
                except Exception as error:
                    waiting.failed(error)
                else:
                    sent.add_callback(waiting.done)
                    sent.add_errback(waiting.failed)

    def _sent(self, client: Any, topic: str, entry: Entry) -> Any:
        name = (topic, entry.id)
        with self._lock:
            if (there := self._on_its_way.get(name)) is not None:
                return there.sent
        sent = client.send(topic, entry.value, key=entry.key, headers=list(entry.headers))
        with self._lock:
            self._on_its_way[name] = _OnItsWay(sent, time.monotonic(), _size(entry))
            self._bytes += _size(entry)
        sent.add_both(lambda _: self._arrived(name))
        return sent

    def _arrived(self, name: tuple[str, str]) -> None:
        with self._lock:
            self._bytes -= self._on_its_way.pop(name).size

    def _ended(self, acknowledged: Future[None], error: BaseException | None) -> None:
        if error is None:
            self._failures = 0
            acknowledged.set_result(None)
            return
        try:
            with translated():
                raise error
        except BaseException as known:
            self._failures += not isinstance(error, MessageSizeTooLargeError)
            acknowledged.set_exception(known)

    def _stuck(self) -> bool:
        with self._lock:
            first = next(iter(self._on_its_way.values()), None)
        return first is not None and time.monotonic() - first.since > _STUCK_SECONDS

    def _connected(self) -> Any:
        if self._client is None:
            milliseconds = round(1000 * self._options.timeout)
            settings = self._options.connection()
            settings["request_timeout_ms"] = max(1000, milliseconds // 2)
            self._client = make(
                KafkaProducer,
                **settings,
                metrics_enabled=False,
                acks="all",
                enable_idempotence=True,
                allow_auto_create_topics=False,
                linger_ms=2,
                batch_size=128 * 1024,
                delivery_timeout_ms=round(1000 * _DELIVERY_SECONDS),
                max_block_ms=max(1000, milliseconds // 2),
            )
            self._failures = 0
        return self._client

    def _disconnect(self, seconds: float) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        with suppress(Exception):
            client.flush(timeout=seconds)
        with suppress(Exception):
            # Closing by itself gives up while entries are left, and leaves the client alive. This fails
            # them first, so that their callers know.
            client._sender.force_close()
            client._sender.join(5)
            client.close(timeout=1)


class _Waiting:
    """Calls back once all of some entries have ended; with the first error, if there was one."""

    def __init__(self, count: int, ended: Callable[[BaseException | None], None]) -> None:
        self._left = count
        self._error: BaseException | None = None
        self._ended = ended
        self._lock = Lock()

    def done(self, _metadata: Any) -> None:
        self._one()

    def failed(self, error: BaseException) -> None:
        self._error = self._error or error
        self._one()

    def _one(self) -> None:
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            self._ended(self._error)


def _look_at(ended: asyncio.Future[None]) -> None:
    """So that nobody complains of a failure that came after its caller had left."""
    if not ended.cancelled():
        ended.exception()


def _size(entry: Entry) -> int:
    return len(entry.value) + 500
