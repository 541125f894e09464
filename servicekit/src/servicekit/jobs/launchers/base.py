"""What a worker needs of the place where a job's process runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Protocol


class LaunchFailed(Exception):
    """The process did not come up, or its files cannot be moved. Another attempt may do better."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Needs:
    """Whose process it is, and how much it may take; a launcher uses what its place has a use for."""

    job: str = ""
    kind: str = ""
    tenant: str = ""
    memory_bytes: int = 0
    seconds: float = 0
    """Left to the job; 0 for no limit."""


class Process(Protocol):
    """One process, with a folder of its own. It ends when whoever started it does."""

    nice: int
    workdir: str
    """Its folder, as the process sees it."""

    async def read(self) -> bytes:
        """The next line that it says; empty once it has ended. ValueError for one that is too long."""

    async def send(self, line: bytes) -> None:
        """Says a line to it. One that has ended hears nothing, and that is fine."""

    def open(self, name: str) -> AsyncGenerator[bytes, None]:
        """The content of a file of its folder. FileNotFoundError, or PermissionError for one outside."""

    async def place(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Writes a file into its folder. LaunchFailed DISK_FULL; what `chunks` raises comes through."""

    def memory(self) -> int:
        """Bytes that it and its children have in memory."""

    async def kill(self) -> None:
        """Ends it and its children at once."""

    async def wait(self) -> int:
        """Its exit code once it has ended; the signal's number below zero for one that was killed."""

    async def close(self) -> None:
        """Ends what is left of it and removes its folder. Calling it twice is fine."""


class Launcher(Protocol):
    """Starts processes that run `servicekit.jobs.entry`."""

    async def launch(self, name: str, needs: Needs = Needs()) -> Process:
        """A process that waits for its first line. `name` is unique. Raises `LaunchFailed`."""

    async def close(self) -> None:
        """Lets go of everything."""
