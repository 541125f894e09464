"""One HTTP/2 connection, from the client's side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.adapters.h2 import frames
from gateway.adapters.h2.call import Call
from gateway.adapters.h2.headers import BadHeaders, HeaderReader

_CONNECTION_WINDOW = 16 * 1024 * 1024
_MAX_FRAME = 1024 * 1024
_MAX_BLOCK = 64 * 1024
_SILENCE_SECONDS = 10.0
"""A peer that says nothing for this long while it owes an answer is asked whether it is there."""
_PONG_SECONDS = 5.0


class Connection(asyncio.Protocol):
    """Carries calls until it is lost or sent away; `on_gone` is called once when no new call may use it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_gone: Callable[[Connection], None]) -> None:
        self._loop = loop
        self._on_gone = on_gone
        self._transport: asyncio.Transport | None = None
        self._headers = HeaderReader()
        self._calls: dict[int, Call] = {}
        self._blocked: dict[int, Call] = {}
        self._next = 1
        self._rest = b""
        self._block = b""
        self._block_stream = 0
        self._block_ends = False
        self._received = 0
        self._send_window = frames.DEFAULT_WINDOW
        self._stream_window = frames.DEFAULT_WINDOW
        self._frame_size = frames.DEFAULT_FRAME
        self._max_calls = 2**31
        self._heard = 0.0
        self._pinged = False
        self._watch: asyncio.TimerHandle | None = None
        self.gone = False
        """No new call may use it."""

    @property
    def full(self) -> bool:
        """Whether the peer takes no more calls at once."""
        return len(self._calls) >= self._max_calls

    # Sending.

    def send(self, call: Call, block: bytes, body: bytes) -> None:
        """Starts a call: its header block, then its one message."""
        assert self._transport is not None
        stream = call.stream = self._next
        self._next += 2
        call.connection = self
        call.send_window = self._stream_window
        if not self._calls and self._watch is None:
            self._heard = self._loop.time()
            self._watch = self._loop.call_later(_SILENCE_SECONDS, self._check)
        self._calls[stream] = call
        head = frames.frame(frames.HEADERS, frames.END_HEADERS, stream, block)
        data = frames.message(body)
        if len(data) <= min(self._send_window, call.send_window, self._frame_size) and not self._blocked:
            self._send_window -= len(data)
            self._transport.write(head + frames.frame(frames.DATA, frames.END_STREAM, stream, data))
        else:
            self._transport.write(head)
            call.unsent = memoryview(data)
            self._blocked[stream] = call
            self._flush()
        if self._next > frames.MAX_STREAM_ID - 1000:
            self._leave()

    def _flush(self) -> None:
        assert self._transport is not None
        for stream, call in list(self._blocked.items()):
            while call.unsent is not None:
                size = min(self._send_window, call.send_window, self._frame_size, len(call.unsent))
                if size <= 0:
                    break
                piece, rest = call.unsent[:size], call.unsent[size:]
                self._send_window -= size
                call.send_window -= size
                call.unsent = rest if len(rest) else None
                flags = 0 if len(rest) else frames.END_STREAM
                self._transport.write(frames.frame(frames.DATA, flags, stream, piece))
            if call.unsent is None:
                self._blocked.pop(stream, None)
            if self._send_window <= 0:
                return

    def abandon(self, call: Call) -> None:
        """Tells the peer that nobody waits for this call any more."""
        if self._calls.pop(call.stream, None) is not None:
            self._blocked.pop(call.stream, None)
            if self._transport is not None and not self._transport.is_closing():
                self._transport.write(frames.reset(call.stream, frames.CANCEL))
            self._close_if_idle()

    def credit(self, stream: int, size: int) -> None:
        """Lets the peer send `size` more bytes on a stream."""
        if stream in self._calls and self._transport is not None and size:
            self._transport.write(frames.window_update(stream, size))

    def close(self) -> None:
        """Ends the connection and every call on it."""
        self._leave()
        if self._transport is not None:
            self._transport.write(frames.goaway(frames.NO_ERROR))
            self._transport.close()

    # Receiving.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduces ourselves."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        values = {
            frames.SETTINGS_HEADER_TABLE_SIZE: 0,
            frames.SETTINGS_ENABLE_PUSH: 0,
            frames.SETTINGS_MAX_FRAME_SIZE: _MAX_FRAME,
            frames.SETTINGS_MAX_HEADER_LIST_SIZE: 16384,
        }
        grown = frames.window_update(0, _CONNECTION_WINDOW - frames.DEFAULT_WINDOW)
        self._transport.write(frames.PREFACE + frames.settings(values) + grown)  # type: ignore[union-attr]

    def connection_lost(self, exc: Exception | None) -> None:
        """Every call on it has failed."""
        self._leave()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        calls, self._calls = self._calls, {}
        self._blocked.clear()
        for call in calls.values():
            call.lost()

    def data_received(self, data: bytes) -> None:
        """Takes whole frames off what has arrived."""
        self._pinged = False
        self._heard = 0.0  # renewed by the watch; asking the clock for every packet is not worth it
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while end - at >= 9:
            size = int.from_bytes(data[at : at + 3], "big")
            stop = at + 9 + size
            if size > _MAX_FRAME:
                self._die(frames.FRAME_SIZE_ERROR)
                return
            if stop > end:
                break
            stream = int.from_bytes(data[at + 5 : at + 9], "big") & 0x7FFFFFFF
            try:
                self._frame(data[at + 3], data[at + 4], stream, data[at + 9 : stop])
            except (BadHeaders, IndexError, ValueError):
                self._die(frames.PROTOCOL_ERROR)
                return
            at = stop
        self._rest = data[at:]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == frames.DATA:
            self._data(flags, stream, payload)
        elif kind == frames.HEADERS:
            if flags & frames.PADDED:
                payload = _without_padding(payload)
            if flags & frames.PRIORITY_FLAG:
                payload = payload[5:]
            self._block_stream, self._block_ends = stream, bool(flags & frames.END_STREAM)
            self._header_piece(payload, flags)
        elif kind == frames.CONTINUATION:
            if stream != self._block_stream:
                raise ValueError
            self._header_piece(payload, flags)
        elif kind == frames.WINDOW_UPDATE:
            self._grow(stream, frames.read_u32(payload.ljust(4, b"\0")) & 0x7FFFFFFF)
        elif kind == frames.PING and not flags & frames.ACK:
            self._write(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.SETTINGS and not flags & frames.ACK:
            self._settings(payload)
        elif kind == frames.RST_STREAM:
            call = self._calls.pop(stream, None)
            self._blocked.pop(stream, None)
            if call is not None:
                call.reset(frames.read_u32(payload.ljust(4, b"\0")))
                self._close_if_idle()
        elif kind == frames.GOAWAY:
            self._goaway(frames.read_u32(payload.ljust(8, b"\0")) & 0x7FFFFFFF)

    def _data(self, flags: int, stream: int, payload: bytes) -> None:
        flow = len(payload)
        self._received += flow
        if self._received > _CONNECTION_WINDOW // 4:
            self._write(frames.window_update(0, self._received))
            self._received = 0
        if flags & frames.PADDED:
            payload = _without_padding(payload)
        call = self._calls.get(stream)
        if call is not None:
            call.data(payload, flow)
            if flags & frames.END_STREAM:
                self._calls.pop(stream, None)
                call.end()

    def _header_piece(self, payload: bytes, flags: int) -> None:
        self._block += payload
        if len(self._block) > _MAX_BLOCK:
            raise ValueError
        if not flags & frames.END_HEADERS:
            return
        block, self._block = self._block, b""
        headers = self._headers.read(block)
        call = self._calls.get(self._block_stream)
        if call is None:
            return
        if self._block_ends:
            del self._calls[self._block_stream]
            self._blocked.pop(self._block_stream, None)
            self._close_if_idle()
        call.headers(headers, end=self._block_ends)

    def _settings(self, payload: bytes) -> None:
        for key, value in frames.read_settings(payload[: len(payload) // 6 * 6]):
            if key == frames.SETTINGS_INITIAL_WINDOW_SIZE:
                change, self._stream_window = value - self._stream_window, value
                for call in self._calls.values():
                    call.send_window += change
            elif key == frames.SETTINGS_MAX_FRAME_SIZE:
                self._frame_size = max(frames.DEFAULT_FRAME, min(value, _MAX_FRAME))
            elif key == frames.SETTINGS_MAX_CONCURRENT_STREAMS:
                self._max_calls = value
        self._write(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self._flush()

    def _grow(self, stream: int, increment: int) -> None:
        if stream == 0:
            self._send_window += increment
        elif (call := self._calls.get(stream)) is not None:
            call.send_window += increment
        if self._blocked:
            self._flush()

    def _goaway(self, last: int) -> None:
        self._leave()
        for stream in [stream for stream in self._calls if stream > last]:
            self._calls.pop(stream).lost()
            self._blocked.pop(stream, None)
        self._close_if_idle()

    # Life.

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _leave(self) -> None:
        if not self.gone:
            self.gone = True
            self._on_gone(self)

    def _close_if_idle(self) -> None:
        if self.gone and not self._calls and self._transport is not None:
            self._transport.close()

    def _die(self, code: int) -> None:
        self._leave()
        self._write(frames.goaway(code))
        if self._transport is not None:
            self._transport.abort()

    def _check(self) -> None:
        """Looks whether the peer is still there, as long as calls wait for it."""
        self._watch = None
        if not self._calls:
            return
        now = self._loop.time()
        if self._heard == 0.0:
            self._heard = now
        elif self._pinged:
            self._die(frames.NO_ERROR)
            return
        elif now - self._heard >= _SILENCE_SECONDS - 0.5:
            self._pinged = True
            self._write(frames.frame(frames.PING, 0, 0, b"sixfold!"))
        self._watch = self._loop.call_later(_PONG_SECONDS if self._pinged else _SILENCE_SECONDS, self._check)


def _without_padding(payload: bytes) -> bytes:
    """What a padded frame carries. Raises ValueError when there is more padding than frame."""
    if payload[0] >= len(payload):
        raise ValueError
    return payload[1 : len(payload) - payload[0]]
