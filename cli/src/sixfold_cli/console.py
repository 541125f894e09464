"""Lines on the terminal: progress with elapsed seconds, prefixed and coloured lines of services."""

from __future__ import annotations

import os
import sys
import time
from typing import TextIO

_COLOURS = {
    "model-service": "36", "retrieval-service": "32", "gateway": "35", "prepare": "34",
    "warn": "33", "bad": "31", "good": "32",
}  # fmt: skip


class Console:
    """Writes whole lines. Colours only on a terminal, and never with NO_COLOR."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._colour = self._stream.isatty() and not os.environ.get("NO_COLOR")
        self._start = time.monotonic()

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{_COLOURS.get(colour, '37')}m{text}\x1b[0m" if self._colour else text

    def step(self, text: str) -> None:
        """One step of a longer way."""
        self.write(f"[{time.monotonic() - self._start:6.1f}s] {text}")

    def service(self, name: str, text: str, colour: str = "") -> None:
        """A line that a service wrote, or that tells of one."""
        body = self.paint(text, colour) if colour else text
        self.write(f"{self.paint(f'{name:<17} |', name)} {body}")

    def write(self, text: str) -> None:
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except OSError:
            pass  # the terminal is gone; the services are not
