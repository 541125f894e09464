"""The service's end of a child process: start it, talk to it, notice when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from typing import Any, cast

from model_service.adapters.child.wire import Unpacker, pack
from servicekit.errors import Reason, SixfoldError

_EXIT_SECONDS = 5.0


class ChildProcess(asyncio.Protocol):
    """One child. `on_message` gets every message, `on_gone` is called once when the child ends by itself."""

    def __init__(self, on_message: Callable[[dict[str, Any]], None], on_gone: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_gone = on_gone
        self._unpacker = Unpacker()
        self._transport: asyncio.Transport | None = None
        self._child: asyncio.subprocess.Process | None = None
        self._ready: asyncio.Future[None] | None = None
        self._closing = False

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._child.pid if self._child else None

    async def start(self, command: list[str], timeout: float) -> None:
        """Start the child and wait until its model is loaded. Raises SixfoldError(ENGINE_UNAVAILABLE).

        `command` is a module and its arguments; the descriptor of its socket comes before them.
        """
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._child = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    command[0],
                    str(theirs.fileno()),
                    *command[1:],
                    pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                )
            await loop.create_connection(lambda: self, sock=ours)
            async with asyncio.timeout(timeout):
                await self._ready
        except (OSError, TimeoutError) as error:
            ours.close()
            await self.close()
            raise _cannot_start() from error
        except BaseException:
            await self.close()
            raise

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message; silently nothing once the child is gone (`on_gone` has said so)."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(pack(message))

    async def kill(self) -> None:
        """End the child at once, whatever it is doing."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()
        await self.close()

    async def close(self) -> None:
        """End the child: close the socket, wait a little, then kill."""
        self._closing = True
        if self._transport is not None:
            self._transport.close()
        child = self._child
        if child is None or child.returncode is not None:
            return
        try:
            async with asyncio.timeout(_EXIT_SECONDS):
                await child.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are none by type

    def data_received(self, data: bytes) -> None:
        for message in self._unpacker.feed(data):
            if self._ready is not None and not self._ready.done():
                if "ready" in message:
                    self._ready.set_result(None)
                elif "failed" in message:
                    self._ready.set_exception(_cannot_start())
            else:
                self._on_message(message)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(_cannot_start())
        elif not self._closing:
            self._closing = True
            self._on_gone()


def _cannot_start() -> SixfoldError:
    return SixfoldError(Reason.ENGINE_UNAVAILABLE, "The engine could not load the model.")
