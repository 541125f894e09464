"""Appends events to the open segment of a worker's folder."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Literal

from gateway import metrics
from gateway.adapters.spool.folders import Folder
from gateway.adapters.spool.frames import frame
from servicekit.logs import get_logger

Fsync = Literal["never", "interval", "always"]
_log = get_logger("gateway.spool")


class Writer:
    """For one thread. Only `sync` may run in another."""

    def __init__(self, folder: Folder, *, segment_bytes: int, max_bytes: int, fsync: Fsync) -> None:
        self.folder = folder
        self.waiting = 0
        """Bytes of this worker's that are not published yet."""
        self.appended = 0
        """Events that were ever kept."""
        self._segment_bytes = segment_bytes
        self._max_bytes = max_bytes
        self._fsync = fsync
        self._number = folder.next_number()
        self._fd = -1
        self._size = 0
        self._dirty = False
        self._sealed: list[int] = []
        self._refusing = ""

    @property
    def open_segment(self) -> Path | None:
        """The segment that is still written to, or None."""
        return self.folder.segment(self._number) if self._fd >= 0 else None

    def append(self, payload: bytes) -> bool:
        """Keeps one event, in one write; whether it is kept. Never raises.

        It is refused and counted when as much waits as may, or when the disk takes no more: what is kept
        already is worth as much as what comes, and a request is never held up or failed for it.
        """
        data = frame(payload)
        size = len(data)
        if self.waiting + size > self._max_bytes:
            return self._refuse("the spool is full")
        try:
            if self._fd < 0 or (self._size and self._size + size > self._segment_bytes):
                self._open_next()
            written = os.write(self._fd, data)
            if written == size and self._fsync == "always":
                os.fsync(self._fd)
        except OSError:
            written = 0
        if written != size:
            self._undo()
            return self._refuse("the disk takes no more")
        self._size += size
        self.waiting += size
        self.appended += 1
        self._dirty = True
        if self._refusing:
            self._refusing = ""
            _log.info("events are kept again")
        metrics.SPOOL_WRITTEN.inc()
        return True

    def seal(self) -> None:
        """Ends the open segment, so that it can be published."""
        if self._fd < 0:
            return
        if self._fsync == "never":
            os.close(self._fd)
        else:
            self._sealed.append(self._fd)
        self._fd, self._size = -1, 0
        self._number += 1

    def sync(self) -> None:
        """Forces to disk what was written, as far as the policy asks for it. Blocks; raises nothing."""
        sealed, self._sealed = self._sealed, []
        dirty, self._dirty = self._dirty, False
        fd = self._fd
        for ended in sealed:
            with contextlib.suppress(OSError):
                os.fsync(ended)
            os.close(ended)
        if dirty and self._fsync != "never":
            if fd >= 0:
                with contextlib.suppress(OSError):
                    os.fsync(fd)
            _sync_folder(self.folder.path)

    def published(self, size: int) -> None:
        """`size` bytes of this worker's wait no longer."""
        self.waiting -= size

    def close(self) -> None:
        """Ends the open segment for good."""
        self.seal()
        self.sync()

    def _open_next(self) -> None:
        self.seal()
        path = self.folder.segment(self._number)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = 0
        if self._fsync == "always":
            _sync_folder(self.folder.path)

    def _undo(self) -> None:
        """Takes half a frame back; where even that fails, the segment ends with it and a new one begins."""
        if self._fd < 0:
            return
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            self.seal()

    def _refuse(self, why: str) -> bool:
        metrics.SPOOL_REFUSED.inc()
        if why != self._refusing:
            self._refusing = why
            _log.warning("events are not kept", reason=why, waiting_bytes=self.waiting)
        return False


def _sync_folder(path: Path) -> None:
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
