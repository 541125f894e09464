"""Tokens to the client as server-sent events, as they come."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from gateway import metrics
from gateway.api.exchange import Header
from gateway.api.hot.deps import served_headers
from gateway.openai.answer import Gathered
from gateway.openai.chunks import KEEP_ALIVE, Writer
from gateway.routing.flight import AnswerFlight
from servicekit.errors import Reason, SixfoldError

if TYPE_CHECKING:
    from gateway.api.hot.generation import Run

EVENT_STREAM: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


class Stream:
    """One streamed answer.

    What has arrived in one turn of the loop goes out in one send. While a client does not read, the send
    waits, unread pieces hold the engine back through the call's window, and after `slow_reader` seconds the
    stream is cut. One timer a stream looks after that and after silence.
    """

    def __init__(self, run: Run, flight: AnswerFlight, gathered: Gathered | None) -> None:
        """`gathered` takes the answer in for the cache, while it is small enough to be kept."""
        self._run = run
        self._exchange = run.exchange
        self._flight = flight
        self._gathered = gathered
        self._writer: Writer | None = None
        self._sent = time.perf_counter()
        self._slow = False
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        limits = run.deps.limits
        self._heartbeat, self._patience = limits.heartbeat, limits.slow_reader
        self._period = min(limits.heartbeat, limits.slow_reader) / 2

    async def run(self) -> None:
        """Streams until the answer's end. Raises SixfoldError only while nothing has been sent."""
        self._task = asyncio.current_task()
        self._arm()
        try:
            await self._pass_on()
        except SixfoldError as error:
            if not self._exchange.status:
                raise
            await self._break_off(error)
        except asyncio.CancelledError:
            if self._task is not None:
                self._task.uncancel()
            if self._slow:
                self._cut_slow_reader()
            elif self._exchange.status:
                await self._break_off(
                    SixfoldError(Reason.DRAINING, "This server had to stop.", retry_after=1)
                )
            else:
                raise SixfoldError(Reason.DRAINING, "This server had to stop.", retry_after=1) from None
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def _pass_on(self) -> None:
        flight, exchange, gathered, run = self._flight, self._exchange, self._gathered, self._run
        limit = min(run.plan.cache.max_entry_bytes, run.deps.limits.max_answer)
        while (deltas := await flight.read()) is not None:
            if not deltas:
                await self._keep_alive()
                continue
            writer = self._writer
            if writer is None:
                writer = await self._begin()
            run.took(deltas)
            if gathered is not None:
                gathered.add(deltas)
                if gathered.size > limit:
                    gathered = self._gathered = None
            await exchange.write(b"".join(writer.pieces(deltas)), more=True)
            self._sent = time.perf_counter()
        writer = self._writer or await self._begin()
        run.ended(flight, gathered)
        assert run.usage is not None
        await exchange.write(writer.end(run.usage), more=False)

    async def _begin(self) -> Writer:
        run = self._run
        by = run.served_by(self._flight)
        run.first = self._exchange.elapsed
        self._writer = writer = run.shape.chunks(by, run)
        if not self._exchange.status:
            await self._exchange.start(
                200, [*EVENT_STREAM, *served_headers(run.plan, self._flight, by, run.cache)]
            )
        if opening := writer.begin():
            await self._exchange.write(opening, more=True)
        return writer

    async def _keep_alive(self) -> None:
        """Says that the answer is still being made. The head goes out first, with the target being asked."""
        if not self._exchange.status:
            by = self._run.served_by(self._flight)
            await self._exchange.start(
                200, [*EVENT_STREAM, *served_headers(self._run.plan, self._flight, by, self._run.cache)]
            )
        await self._exchange.write(KEEP_ALIVE, more=True)
        self._sent = time.perf_counter()

    async def _break_off(self, error: SixfoldError) -> None:
        """Ends an answer that has begun with an error, and without its usual end."""
        self._exchange.blame(error)
        self._run.note()
        if error.reason is Reason.CANCELLED:
            metrics.DISCONNECTS.inc()
        writer = self._writer or self._run.shape.chunks(self._run.served_by(self._flight), self._run)
        await self._exchange.write(writer.broken(error), more=False)

    def _cut_slow_reader(self) -> None:
        error = SixfoldError(Reason.SLOW_READER, "The stream was not read in time.")
        self._exchange.blame(error)
        metrics.SLOW_READERS.inc()
        self._flight.stop(error)
        self._exchange.abort()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._period, self._look)

    def _look(self) -> None:
        now = time.perf_counter()
        since = self._exchange.sending_since
        if since and now - since > self._patience:
            self._slow = True
            self._flight.stop(SixfoldError(Reason.SLOW_READER, "The stream was not read in time."))
            if self._task is not None:
                self._task.cancel()
            return
        if not since and now - self._sent >= self._heartbeat - 0.001:
            self._flight.wake()
        self._arm()
