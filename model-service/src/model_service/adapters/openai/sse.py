"""Server-sent events from raw bytes: only what a model's stream needs, at the price of a split."""

from __future__ import annotations


class TooLong(Exception):
    """An event that is longer than the limit."""


class Events:
    """Bytes in as they come, the data of whole events out."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of every event that this piece completes. Raises TooLong."""
        lines = (self._rest + piece).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > self._max:
            raise TooLong
        found = []
        for line in lines:
            if line.startswith(b"data:"):
                data = line[5:].strip()
                self._size += len(data)
                if self._size > self._max:
                    raise TooLong
                self._data.append(data)
            elif self._data and line in (b"", b"\r"):
                found.append(self._take())
            # Comments keep connections open; ids, names and retry times mean nothing here.
        return found

    def end(self) -> list[bytes]:
        """An event that the stream's end completes: not every server sends the last empty line."""
        if self._rest.startswith(b"data:"):
            self._data.append(self._rest[5:].strip())
            self._rest = b""
        return [self._take()] if self._data else []

    def _take(self) -> bytes:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data, self._size = [], 0
        return data
