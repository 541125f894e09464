"""Processes of this machine: each leads a group of its own and dies with the worker."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from uuid import uuid4

from servicekit.jobs.launchers.base import LaunchFailed, Needs
from servicekit.jobs.lines import MAX_LINE
from servicekit.logs import get_logger

INHERITED = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
)
"""What a job's process finds of the worker's environment; everything else may hold secrets."""
_BLOCK = 1024 * 1024
_EXIT_SECONDS = 5.0
_POLL_SECONDS = 0.02
_log = get_logger("servicekit.jobs")


class SubprocessLauncher:
    """One a process. Folders that a killed worker left are removed at the first launch."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *, nice: int) -> None:
        self._root = folder
        self._environment = dict(environment)
        self._nice = nice
        self._own: Path | None = None
        self._lock = -1

    async def launch(self, name: str, needs: Needs = Needs()) -> SubprocessProcess:  # noqa: B008  frozen
        try:
            own = await asyncio.to_thread(self._prepare)
            workdir = own / name
            await asyncio.to_thread(workdir.mkdir, mode=0o700)
        except OSError as error:
            raise _cannot(error) from None
        environment = {key: os.environ[key] for key in INHERITED if key in os.environ}
        environment |= {"HOME": str(workdir), "TMPDIR": str(workdir), "PYTHONUNBUFFERED": "1"}
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "servicekit.jobs.entry",
                str(os.getpid()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,  # what libraries print may quote what people wrote
                cwd=workdir,
                env=environment | self._environment,
                start_new_session=True,
                limit=MAX_LINE,
            )
        except OSError as error:
            await asyncio.to_thread(shutil.rmtree, workdir, ignore_errors=True)
            raise _cannot(error) from None
        return SubprocessProcess(process, workdir, self._nice)

    async def close(self) -> None:
        if self._own is not None:
            own, self._own = self._own, None
            await asyncio.to_thread(shutil.rmtree, own, ignore_errors=True)
            os.close(self._lock)

    def _prepare(self) -> Path:
        """A folder that is locked for as long as this process lives; those of the dead go."""
        if self._own is not None:
            return self._own
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for other in self._root.iterdir():
            with contextlib.suppress(OSError):
                handle = _lock(other)
                shutil.rmtree(other, ignore_errors=True)
                os.close(handle)
        own = self._root / f"w-{uuid4().hex[:12]}"
        own.mkdir(mode=0o700)
        self._lock = _lock(own)
        self._own = own
        return own


class SubprocessProcess:
    """A running process and its folder."""

    def __init__(self, process: asyncio.subprocess.Process, workdir: Path, nice: int) -> None:
        self._process = process
        self._folder = workdir
        self.workdir = str(workdir)
        self.nice = nice
        self._closed = False

    async def read(self) -> bytes:
        assert self._process.stdout is not None
        try:
            return await self._process.stdout.readline()
        except ConnectionError:
            return b""

    async def send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError, RuntimeError):
            self._process.stdin.write(line)
            await self._process.stdin.drain()

    async def open(self, name: str) -> AsyncGenerator[bytes, None]:
        path = self.inside(name)
        file = await asyncio.to_thread(path.open, "rb")
        try:
            while block := await asyncio.to_thread(file.read, _BLOCK):
                yield block
        finally:
            file.close()

    async def place(self, name: str, chunks: AsyncIterator[bytes], *, append: bool = False) -> None:
        path = self.inside(name)
        try:
            file = await asyncio.to_thread(path.open, "ab" if append else "wb")
            try:
                async for chunk in chunks:
                    await asyncio.to_thread(file.write, chunk)
            finally:
                await asyncio.to_thread(file.close)
        except OSError as error:
            raise _cannot(error) from None

    def memory(self) -> int:
        return _resident(self._process.pid)

    async def kill(self) -> None:
        if not self._closed:  # its number may be another's by now
            self._kill_group()

    async def wait(self) -> int:
        # Its own `wait` also waits for the pipes, which a child of the process may hold open.
        while (code := self._process.returncode) is None:  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(_POLL_SECONDS)
        return code

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._kill_group()  # also what the process left behind in its group
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_EXIT_SECONDS):
                await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def inside(self, name: str) -> Path:
        """The job names its files; it must not name others'."""
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder.resolve()) or path == self._folder:
            raise PermissionError("a file outside the job's folder")
        return path


def _cannot(error: OSError) -> LaunchFailed:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LaunchFailed("DISK_FULL", "The worker found no room on the disk.")
    _log.warning("a job's process cannot be started", error=type(error).__name__, errno=error.errno)
    return LaunchFailed("LAUNCH_FAILED", "The job's process could not be started.")


def _lock(folder: Path) -> int:
    """OSError for a folder whose owner lives."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def _resident(pid: int) -> int:
    """Resident bytes of a process and all below it. What ended meanwhile counts nothing."""
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
    return total
