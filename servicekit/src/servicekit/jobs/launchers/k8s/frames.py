"""What a worker and a pod say to each other: frames of a small JSON object and bytes, a stream each way."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from servicekit.jobs.lines import MAX_LINE

HEAD = struct.Struct("!II")
MAX_HEADER = 64 * 1024
MAX_BODY = MAX_LINE + 1024
BLOCK = 1024 * 1024
"""Bytes of a file that travel in one frame."""


def frame(header: Mapping[str, Any], body: bytes = b"") -> bytes:
    """ValueError for one that nobody would take."""
    told = orjson.dumps(header)
    if len(told) > MAX_HEADER or len(body) > MAX_BODY:
        raise ValueError("the frame is too long")
    return HEAD.pack(len(told), len(body)) + told + body


def lengths(head: bytes) -> tuple[int, int]:
    """Of header and body. ValueError when they are more than was agreed."""
    header, body = HEAD.unpack(head)
    if header > MAX_HEADER or body > MAX_BODY:
        raise ValueError("the frame is too long")
    return header, body


def read_header(data: bytes) -> dict[str, Any]:
    """ValueError for anything but an object with a type."""
    header = orjson.loads(data)
    if not isinstance(header, dict) or not isinstance(header.get("t"), str):
        raise ValueError("not an object with a type")
    return header


class Frames:
    """Takes a stream's pieces as they come, gives whole frames."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, piece: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
        """ValueError for what is no frame."""
        self._held += piece
        while len(self._held) >= HEAD.size:
            header, body = lengths(bytes(self._held[: HEAD.size]))
            end = HEAD.size + header + body
            if len(self._held) < end:
                return
            told = read_header(bytes(self._held[HEAD.size : HEAD.size + header]))
            content = bytes(self._held[HEAD.size + header : end])
            del self._held[:end]
            yield told, content
