"""The service's end of one parser process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict

import orjson

from retrieval_service.parsing.limits import ParserLimits
from retrieval_service.parsing.wire import LENGTH, Malformed, pack

_READ = 1 << 18
_BYTES_PER_CHAR = 6  # JSON's \u00ff, the longest that a character can become
_BYTES_PER_BLOCK = 40
_EXIT_SECONDS = 5.0
_NAME_CHARS = 255
# Nothing of the service's environment: a parser needs no settings, and must not be able to tell secrets.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Gone(Exception):
    """The child has ended. `signal` is what ended it, 0 if it was its own doing."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


class ParserProcess:
    """One child; one file at a time."""

    def __init__(self, limits: ParserLimits) -> None:
        self._limits = limits
        self._child: asyncio.subprocess.Process | None = None
        self._socket: socket.socket | None = None
        self._answer_bytes = limits.text_chars * _BYTES_PER_CHAR + limits.blocks * _BYTES_PER_BLOCK
        self.parsed = 0
        """How many files it has been given."""
        self.guards: tuple[str, ...] = ()
        """What the kernel holds it back with, as it says itself once it is ready."""

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._child.pid if self._child else None

    @property
    def alive(self) -> bool:
        """Whether it has not ended, as far as is known."""
        return self._child is not None and self._child.returncode is None

    async def start(self, command: Sequence[str]) -> None:
        """Start the child and wait until it is ready. Raises Gone, TimeoutError or OSError."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._socket = ours
        try:
            with theirs:
                self._child = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-I",
                    "-X",
                    "utf8",
                    *command,
                    str(theirs.fileno()),
                    orjson.dumps(asdict(self._limits)).decode(),
                    pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                    env=_ENVIRONMENT,
                    cwd="/",
                )
            async with asyncio.timeout(self._limits.start_seconds):
                ready = orjson.loads(await self._read())
        except BaseException:
            await self.kill()
            raise
        self.guards = tuple(str(guard) for guard in ready.get("guards", ()))

    async def parse(self, descriptor: int, filename: str) -> bytes:
        """Have it read an open file; its answer, as yet unread. Raises Gone, Malformed or TimeoutError."""
        assert self._socket is not None
        self.parsed += 1
        # Only the extension matters; a name may be as long as its owner likes, and no text at all.
        name = filename[-_NAME_CHARS:].encode(errors="replace").decode()
        async with asyncio.timeout(self._limits.seconds):
            try:
                # The file goes over open, so the child needs no right to open anything.
                socket.send_fds(self._socket, [pack({"filename": name})], [descriptor])
            except OSError:
                raise Gone(await self._signal()) from None
            return await self._read()

    async def kill(self) -> None:
        """End it at once, whatever it is doing, and wait until it is gone."""
        if self._socket is not None:
            self._socket.close()
        if self._child is not None:
            if self._child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._child.send_signal(signal.SIGKILL)
            await asyncio.shield(self._child.wait())

    async def _read(self) -> bytes:
        (length,) = LENGTH.unpack(await self._exactly(LENGTH.size))
        if length > self._answer_bytes:
            raise Malformed
        return await self._exactly(length)

    async def _exactly(self, size: int) -> bytes:
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        taken = bytearray()
        while len(taken) < size:
            try:
                data = await loop.sock_recv(self._socket, min(size - len(taken), _READ))
            except OSError:
                data = b""
            if not data:
                raise Gone(await self._signal())
            taken += data
        return bytes(taken)

    async def _signal(self) -> int:
        """What ended a child whose socket is closed; SIGKILL's number for one that will not end."""
        assert self._child is not None
        try:
            async with asyncio.timeout(_EXIT_SECONDS):
                code = await self._child.wait()
        except TimeoutError:
            return int(signal.SIGKILL)
        return max(0, -code)
