"""One gRPC call: a request, then the messages of its answer as they come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.adapters.h2 import frames
from gateway.adapters.h2.headers import Headers, binary
from gateway.adapters.h2.peer import MODEL_SERVICE, Peer
from servicekit.errors import Reason, SixfoldError
from servicekit.rpc import from_status

if TYPE_CHECKING:
    from gateway.adapters.h2.connection import Connection

MAX_MESSAGE = 16 * 1024 * 1024
_RESET_REASONS = {
    frames.CANCEL: Reason.CANCELLED,
    frames.ENHANCE_YOUR_CALM: Reason.QUEUE_FULL,
}


class Call:
    """`read` gives every message that has arrived; what is not read holds the sender back.

    Unread bytes are bounded by the stream's window: the connection tells the peer to go on only when
    messages were taken.
    """

    __slots__ = (
        "_buffer", "_deadline", "_done", "_error", "_loop", "_messages", "_poked", "_received", "_stopped",
        "_waiter", "any", "connection", "peer", "send_window", "stream", "unsent",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, deadline: float, peer: Peer = MODEL_SERVICE) -> None:
        self._loop = loop
        self.peer = peer
        self._messages: list[bytes] = []
        self._buffer = b""
        self._received = 0
        self._waiter: asyncio.Future[None] | None = None
        self._poked = False
        self._done = False
        self._stopped: SixfoldError | None = None
        self._error: SixfoldError | None = None
        self.any = False
        """Whether a message has arrived."""
        self.connection: Connection | None = None
        self.stream = 0
        self.send_window = 0
        self.unsent: memoryview | None = None
        self._deadline = loop.call_later(deadline, self._expired)

    # For the caller.

    async def read(self) -> list[bytes] | None:
        """Waits for messages. Empty after `wake`; None at the end. Raises SixfoldError."""
        while True:
            if self._stopped is not None:
                raise self._stopped
            if self._messages:
                taken, self._messages = self._messages, []
                if self._received > frames.DEFAULT_WINDOW // 4:
                    self._credit()
                return taken
            if self._done:
                if self._error is not None:
                    raise self._error
                return None
            if self._poked:
                self._poked = False
                return []
            self._waiter = waiter = self._loop.create_future()
            try:
                await waiter
            finally:
                self._waiter = None

    def wake(self) -> None:
        """Makes `read` return even if nothing has arrived."""
        self._poked = True
        self._notify()

    def stop(self, error: SixfoldError) -> None:
        """Cancels the call; `read` raises `error` from now on."""
        if self._stopped is not None:
            return
        self._stopped = error
        if not self._done:
            self._finish()
            if self.connection is not None:
                self.connection.abandon(self)
        self._notify()

    # For the connection.

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self._done

    def headers(self, headers: Headers, *, end: bool) -> None:
        """The head of the answer, or its trailers."""
        if end:
            self._trailers(headers)
        elif headers.get(b":status") != b"200":
            self.fail(
                SixfoldError(self.peer.away, f"The {self.peer.name} did not answer as one.", retry_after=1)
            )

    def data(self, payload: bytes, flow: int) -> None:
        """The next bytes of the answer; `flow` is what they cost of the window."""
        self._received += flow
        data = self._buffer + payload if self._buffer else payload
        at, end = 0, len(data)
        while end - at >= 5:
            size = int.from_bytes(data[at + 1 : at + 5], "big")
            if data[at] or size > MAX_MESSAGE:
                self.fail(
                    SixfoldError(
                        self.peer.broken, f"The {self.peer.name} sent a message that cannot be read."
                    )
                )
                return
            stop = at + 5 + size
            if stop > end:
                break
            self._messages.append(data[at + 5 : stop])
            at = stop
        self._buffer = data[at:]
        if self._messages:
            self.any = True
            self._notify()
        elif self._received > frames.DEFAULT_WINDOW // 2:
            self._credit()  # a message larger than the window

    def end(self) -> None:
        """The stream ended without trailers."""
        self.fail(self._cut())

    def reset(self, code: int) -> None:
        """The peer reset the stream."""
        reason = self.peer.away if code == frames.REFUSED_STREAM else _RESET_REASONS.get(code)
        self._finish(
            self._cut() if reason is None else SixfoldError(reason, f"The {self.peer.name} ended the call.")
        )

    def lost(self) -> None:
        """The connection is gone."""
        self._finish(self._cut())

    def fail(self, error: SixfoldError) -> None:
        """Ends the call from this side because of what the peer sent."""
        if not self._done:
            self._finish(error)
            if self.connection is not None:
                self.connection.abandon(self)

    def _trailers(self, headers: Headers) -> None:
        status = headers.get(b"grpc-status")
        if status == b"0":
            self._finish()
            return
        if status is None or not status.isdigit():
            self._finish(self._cut())
            return
        details = headers.get(b"grpc-status-details-bin")
        error = from_status(
            int(status),
            headers.get(b"grpc-message", b"").decode("latin-1"),
            None if details is None else binary(details),
        )
        if error.reason is Reason.SERVICE_UNAVAILABLE and not error.metadata:
            error = self._cut()
        self._finish(error)

    def _cut(self) -> SixfoldError:
        if self.any:
            return SixfoldError(
                self.peer.cut, f"The answer broke off: its {self.peer.name} went away.", retry_after=1
            )
        return SixfoldError(self.peer.away, f"The {self.peer.name} cannot be reached.", retry_after=1)

    def _expired(self) -> None:
        self.stop(
            SixfoldError(Reason.DEADLINE_EXCEEDED, "The deadline passed before the answer was complete.")
        )

    def _finish(self, error: SixfoldError | None = None) -> None:
        self._done = True
        self._error = error
        self.unsent = None
        self._deadline.cancel()
        self._notify()

    def _credit(self) -> None:
        received, self._received = self._received, 0
        if self.connection is not None and not self._done:
            self.connection.credit(self.stream, received)

    def _notify(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
