"""HTTP/2 frames (RFC 9113) and gRPC's message prefix, as bytes."""

from __future__ import annotations

from struct import Struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY_FLAG = 0x20

SETTINGS_HEADER_TABLE_SIZE = 1
SETTINGS_ENABLE_PUSH = 2
SETTINGS_MAX_CONCURRENT_STREAMS = 3
SETTINGS_INITIAL_WINDOW_SIZE = 4
SETTINGS_MAX_FRAME_SIZE = 5
SETTINGS_MAX_HEADER_LIST_SIZE = 6

NO_ERROR = 0
PROTOCOL_ERROR = 1
FLOW_CONTROL_ERROR = 3
FRAME_SIZE_ERROR = 6
REFUSED_STREAM = 7
CANCEL = 8
COMPRESSION_ERROR = 9
ENHANCE_YOUR_CALM = 11

DEFAULT_WINDOW = 65535
DEFAULT_FRAME = 16384
MAX_WINDOW = 2**31 - 1
MAX_STREAM_ID = 2**31 - 1

_head = Struct(">HBBBI")
_u32 = Struct(">I")
_setting = Struct(">HI")
_prefix = Struct(">BI")


def frame(kind: int, flags: int, stream: int, payload: bytes | memoryview = b"") -> bytes:
    """One whole frame."""
    length = len(payload)
    return _head.pack(length >> 8, length & 0xFF, kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_setting.pack(key, value) for key, value in values.items()))


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """The values of a SETTINGS frame."""
    return list(_setting.iter_unpack(payload))


def window_update(stream: int, increment: int) -> bytes:
    """Lets the peer send `increment` more bytes."""
    return frame(WINDOW_UPDATE, 0, stream, _u32.pack(increment))


def reset(stream: int, code: int) -> bytes:
    """Ends a stream at once."""
    return frame(RST_STREAM, 0, stream, _u32.pack(code))


def goaway(code: int) -> bytes:
    """Ends the connection; no stream of the peer's was taken."""
    return frame(GOAWAY, 0, 0, _u32.pack(0) + _u32.pack(code))


def read_u32(payload: bytes, at: int = 0) -> int:
    """An unsigned number of four bytes."""
    value: int = _u32.unpack_from(payload, at)[0]
    return value


def message(body: bytes) -> bytes:
    """A gRPC message with its prefix: not compressed, length, body."""
    return _prefix.pack(0, len(body)) + body
