"""Makes a page in a process of its own: the service itself never loads matplotlib."""

from __future__ import annotations

import asyncio
import sys

from servicekit.errors import Reason, SixfoldError
from servicekit.logs import get_logger

_log = get_logger("eval_service.reports")


class PageProcess:
    """One page at a time; a second one waits, within its caller's deadline."""

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._turn = asyncio.Semaphore(1)

    async def render(self, facts: bytes) -> bytes:
        """The page of a report's facts. INTERNAL where it cannot be made, DEADLINE_EXCEEDED in time."""
        async with self._turn:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "eval_service.reports.page",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                async with asyncio.timeout(self._seconds):
                    page, _ = await child.communicate(facts)
            except TimeoutError:
                raise SixfoldError(
                    Reason.DEADLINE_EXCEEDED, "The report could not be made in time."
                ) from None
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()
        if child.returncode != 0:
            _log.error("report_failed", exit_code=child.returncode)
            raise SixfoldError(Reason.INTERNAL, "The report could not be made.")
        return page
