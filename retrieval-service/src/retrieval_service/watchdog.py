"""Ends a process that stands still, so that whoever supervises it starts another.

The embedded vector database can hang for good after a write that the disk refused, and may hold the
interpreter while it does. No exception comes of that, and no thread can be stopped; but everything that this
service does can be done again after a kill.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
from typing import NoReturn

from servicekit.logs import get_logger

EXIT_CODE = 70
_log = get_logger(__name__)


class Watchdog:
    """While it runs, the loop must turn at least every `seconds`; otherwise the process writes where its
    threads stand and exits. The timer is the interpreter's own and needs no lock of it.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Needs a running loop."""
        self._task = asyncio.create_task(self._turn(), name="watchdog")

    async def stop(self) -> None:
        """Nobody watches from now on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        faulthandler.cancel_dump_traceback_later()

    async def _turn(self) -> None:
        while True:
            faulthandler.dump_traceback_later(self._seconds, exit=True, file=sys.stderr)
            await asyncio.sleep(self._seconds / 10)


def stuck(what: str) -> NoReturn:
    """A thread does not come back: the process ends at once."""
    _log.critical("a call does not come back; the process ends to be started again", call=what)
    os._exit(EXIT_CODE)
