"""How events lie in a segment: a mark, length and CRC-32 of what follows, then the event's bytes.

A write that a power cut tore is recognised by what its head says; what lies behind it is found by the mark.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

_MARK = b"\xf6EV1"
_HEAD = struct.Struct("<4sII")


class Frames(NamedTuple):
    """What a segment holds."""

    payloads: list[bytes]
    torn: int
    """Bytes that belong to no whole frame."""


def frame(payload: bytes) -> bytes:
    """One event as it is written."""
    return _HEAD.pack(_MARK, len(payload), zlib.crc32(payload)) + payload


def read_frames(data: bytes) -> Frames:
    """Every whole frame of a segment, in order."""
    payloads: list[bytes] = []
    torn = at = 0
    view = memoryview(data)
    while at < len(data):
        end = _whole(view, at)
        if end:
            payloads.append(data[at + _HEAD.size : end])
            at = end
            continue
        following = data.find(_MARK, at + 1)
        following = len(data) if following < 0 else following
        torn += following - at
        at = following
    return Frames(payloads, torn)


def read_whole(data: bytes) -> tuple[list[bytes], int]:
    """The whole frames at the beginning of a segment that is still written to, and their bytes together."""
    payloads: list[bytes] = []
    at = 0
    view = memoryview(data)
    while end := _whole(view, at):
        payloads.append(data[at + _HEAD.size : end])
        at = end
    return payloads, at


def _whole(view: memoryview, at: int) -> int:
    """Where the frame at `at` ends; 0 when there is none that is whole."""
    start = at + _HEAD.size
    if start > len(view):
        return 0
    mark, size, check = _HEAD.unpack_from(view, at)
    end = start + size
    if mark != _MARK or end > len(view) or zlib.crc32(view[start:end]) != check:
        return 0
    return int(end)
