"""Whether the retrieval service is there, for those who ask how the gateway is. Nothing hangs on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from servicekit.errors import SixfoldError
from servicekit.logs import get_logger

_log = get_logger("gateway.retrieval")


class Presence:
    """Asks again and again. Calls do not wait for it: each finds out for itself."""

    def __init__(self, check: Callable[[], Awaitable[None]], *, period: float = 5.0) -> None:
        """`check` raises SixfoldError when the service is unwell; `period` is in seconds."""
        self._check = check
        self._period = period
        self._word = "not_asked"

    def notes(self) -> dict[str, str]:
        """What readiness tells of it."""
        return {"retrieval-service": self._word}

    async def look(self) -> None:
        """Asks once."""
        word = "ok"
        try:
            await self._check()
        except SixfoldError as error:
            word = error.reason.value.lower()
        if word != self._word and not (self._word == "not_asked" and word == "ok"):
            note = _log.info if word == "ok" else _log.warning
            note("retrieval service changed", state=word)
        self._word = word

    async def run(self) -> None:
        """Asks until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._period)
