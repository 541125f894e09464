"""Messages between the service and an engine process: four bytes of length, then JSON."""

from __future__ import annotations

import struct
from typing import Any

import orjson

_LENGTH = struct.Struct("<I")


def pack(message: Any) -> bytes:
    """One message as bytes."""
    body = orjson.dumps(message)
    return _LENGTH.pack(len(body)) + body


class Unpacker:
    """Turns bytes as they come into whole messages."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """The messages that these bytes complete."""
        self._kept += data
        messages, at = [], 0
        while len(self._kept) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._kept, at)
            end = at + _LENGTH.size + length
            if len(self._kept) < end:
                break
            messages.append(orjson.loads(self._kept[at + _LENGTH.size : end]))
            at = end
        del self._kept[:at]
        return messages
