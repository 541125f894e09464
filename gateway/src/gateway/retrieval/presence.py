"""Whether a part is there that some calls need, for those who ask how the gateway is. Nothing hangs on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from servicekit.errors import SixfoldError
from servicekit.logs import get_logger

_log = get_logger("gateway.presence")


class Presence:
    """Asks again and again. Calls do not wait for it: each finds out for itself."""

    def __init__(self, name: str, check: Callable[[], Awaitable[None]], *, period: float = 5.0) -> None:
        """`check` raises SixfoldError when the part is unwell; `period` is in seconds."""
        self._name = name
        self._check = check
        self._period = period
        self._word = "not_asked"

    def notes(self) -> dict[str, str]:
        """What readiness tells of it."""
        return {self._name: self._word}

    async def look(self) -> None:
        """Asks once."""
        word = "ok"
        try:
            await self._check()
        except SixfoldError as error:
            word = error.reason.value.lower()
        if word != self._word and not (self._word == "not_asked" and word == "ok"):
            note = _log.info if word == "ok" else _log.warning
            note("part changed", part=self._name, state=word)
        self._word = word

    async def run(self) -> None:
        """Asks until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._period)
