"""Reads foreign files. The service's own process never looks into one: children do, a few at a time."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.documents.parsed import Parsed
from retrieval_service.parsing.limits import ParserLimits
from retrieval_service.parsing.process import Gone, ParserProcess
from retrieval_service.parsing.wire import Malformed, read_answer
from servicekit.errors import Reason, SixfoldError
from servicekit.logs import get_logger

_COMMAND = ("-m", "retrieval_service.parsing.worker")
_STOPPED_FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}

_UNHEALTHY = {FileReason.PARSER_MEMORY, FileReason.PARSER_TIMEOUT, FileReason.PARSER_CRASHED}

log = get_logger(__name__)


class Parser:
    """A pool of warm children. One that fails in any way is replaced; the file that did it gets a reason."""

    def __init__(
        self, limits: ParserLimits | None = None, *, processes: int = 2, command: Sequence[str] = _COMMAND
    ) -> None:
        """`processes` is how many files are read at a time; each child starts when it is first needed.

        `command` is what the interpreter runs as a child: tests put others here.
        """
        self._limits = limits or ParserLimits()
        self._command = command
        self._free: asyncio.LifoQueue[ParserProcess | None] = asyncio.LifoQueue()
        for _ in range(processes):
            self._free.put_nowait(None)
        self._processes: set[ParserProcess] = set()
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """The children's process ids."""
        return [process.pid for process in self._processes if process.pid is not None]

    async def warm(self) -> None:
        """Start one child ahead of the first file."""
        process = await self._free.get()
        try:
            process = process or await self._start()
        finally:
            self._free.put_nowait(process)

    async def parse(self, path: Path, filename: str) -> Parsed:
        """Read one file. `filename` is what its owner calls it; only its extension matters.

        Raises DocumentError for this file's own faults, SixfoldError(SERVICE_UNAVAILABLE) if no child can be
        started, OSError if `path` cannot be opened.
        """
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise DocumentError(FileReason.EMPTY, "The file is empty.")
            if size > self._limits.input_bytes:
                raise DocumentError(
                    FileReason.TOO_LARGE, f"The file is larger than {self._limits.input_bytes} bytes."
                )
            try:
                return await self._parse(file.fileno(), filename)
            except Gone as gone:
                if gone.signal not in _STOPPED_FROM_OUTSIDE:
                    raise _crashed() from None
            # Somebody ended the child, which need not be the file's fault: memory was short, say.
            try:
                return await self._parse(file.fileno(), filename)
            except Gone:
                raise _crashed() from None

    async def close(self) -> None:
        """End all children. Files that are being read fail."""
        self._closed = True
        for process in list(self._processes):
            await self._end(process)

    async def _parse(self, descriptor: int, filename: str) -> Parsed:
        process = await self._free.get()
        healthy = False
        try:
            if process is not None and not process.alive:
                await self._end(process)
                process = None
            process = process or await self._start()
            body = await process.parse(descriptor, filename)
            parsed = await asyncio.to_thread(read_answer, body)  # up to tens of megabytes
            healthy = True
            return parsed
        except DocumentError as error:
            healthy = error.fault.reason not in _UNHEALTHY
            raise
        except TimeoutError:
            raise DocumentError(
                FileReason.PARSER_TIMEOUT, "Reading the file took longer than is allowed."
            ) from None
        except Malformed:
            log.error("parser process sent what is no message")
            raise _crashed() from None
        except Gone as gone:
            if gone.signal == signal.SIGXCPU:
                raise DocumentError(
                    FileReason.PARSER_TIMEOUT, "Reading the file took more processor time than is allowed."
                ) from None
            raise
        finally:
            if process is not None and (not healthy or process.parsed >= self._limits.documents_per_process):
                await self._end(process)
                process = None
            self._free.put_nowait(process)

    async def _start(self) -> ParserProcess:
        if self._closed:
            raise _cannot_start()
        process = ParserProcess(self._limits)
        self._processes.add(process)
        try:
            await process.start(self._command)
        except (OSError, TimeoutError, Gone, Malformed, ValueError) as error:
            self._processes.discard(process)
            log.error("parser process cannot start", error=type(error).__name__)
            raise _cannot_start() from error
        except BaseException:
            self._processes.discard(process)
            raise
        log.info("parser process started", guards=",".join(process.guards))
        return process

    async def _end(self, process: ParserProcess) -> None:
        self._processes.discard(process)
        await process.kill()


def _crashed() -> DocumentError:
    return DocumentError(FileReason.PARSER_CRASHED, "The parser failed on this file.")


def _cannot_start() -> SixfoldError:
    return SixfoldError(Reason.SERVICE_UNAVAILABLE, "The parser cannot be started.")
