"""A child process that is started again whenever it ends by itself."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from model_service.adapters.child.process import ChildProcess
from servicekit.errors import Reason, SixfoldError
from servicekit.logs import get_logger

_PAUSES = (0.0, 1.0, 5.0, 15.0, 60.0)

log = get_logger(__name__)


class KeptProcess:
    """One child at a time. `on_gone` is called each time it is lost, before it is started again."""

    def __init__(
        self,
        model: str,
        command: list[str],
        *,
        on_message: Callable[[dict[str, Any]], None],
        on_gone: Callable[[], None],
        timeout: float,
    ) -> None:
        """`command` is a module and its arguments; the socket's descriptor comes first among them."""
        self._model = model
        self._command = command
        self._on_message = on_message
        self._on_gone = on_gone
        self._timeout = timeout
        self._process: ChildProcess | None = None
        self._ended: ChildProcess | None = None
        self._restart: asyncio.Task[None] | None = None
        self._seconds = 1.0

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        return self._process.pid if self._process else None

    def check(self) -> None:
        """Raise SixfoldError(ENGINE_UNAVAILABLE) while there is no child, with the time a start takes."""
        if self._process is None:
            raise SixfoldError(
                Reason.ENGINE_UNAVAILABLE,
                "The model's engine is not running.",
                retry_after=self._seconds if self._restart is not None else None,
            )

    async def start(self) -> None:
        """Start the child and wait until it is ready. Raises SixfoldError(ENGINE_UNAVAILABLE)."""
        begun = time.monotonic()
        process = ChildProcess(self._take, self._lost)
        await process.start(self._command, self._timeout)
        self._seconds = time.monotonic() - begun
        self._process = process

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message; silently nothing while there is no child (`on_gone` has said so)."""
        if self._process is not None:
            self._process.send(message)

    async def close(self) -> None:
        """End the child for good."""
        restart, self._restart = self._restart, None
        process, self._process = self._process, None
        if restart is not None:
            restart.cancel()
            with suppress(asyncio.CancelledError):
                await restart
        for child in (process, self._ended):
            if child is not None:
                await child.close()

    def _take(self, message: dict[str, Any]) -> None:
        if "failed" in message:
            log.error("engine failed", model=self._model, error=message["failed"])
        else:
            self._on_message(message)

    def _lost(self) -> None:
        self._ended, self._process = self._process, None
        log.error("engine process ended", model=self._model)
        self._on_gone()
        self._restart = asyncio.create_task(self._start_again())

    async def _start_again(self) -> None:
        if self._ended is not None:
            await self._ended.close()  # its memory is free before the next one takes as much
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            await asyncio.sleep(pause)
            with suppress(SixfoldError):
                await self.start()
                self._restart = None
                log.info("engine process started again", model=self._model)
                return
