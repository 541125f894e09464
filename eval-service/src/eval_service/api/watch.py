"""A bell that wakes everybody who waits for it."""

from __future__ import annotations

import asyncio


class Bell:
    """Ask for `next()` before looking, await it afterwards: no ring in between is missed."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wakes all who wait now."""
        self._event.set()
        self._event = asyncio.Event()

    def next(self) -> asyncio.Event:
        """Set at the next ring."""
        return self._event
