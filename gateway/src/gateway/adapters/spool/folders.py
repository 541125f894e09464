"""One folder a worker, locked while it lives; what a dead one left can be taken over."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

_LOCK = "lock"
_SEGMENT = ".seg"


class Folder:
    """A locked folder of segments."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    def segments(self) -> list[Path]:
        """Its segments, oldest first."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(path for path in self.path.iterdir() if path.suffix == _SEGMENT)
        return []

    def segment(self, number: int) -> Path:
        """Where the segment of this number is."""
        return self.path / f"{number:012d}{_SEGMENT}"

    def next_number(self) -> int:
        """One more than the highest number there is."""
        held = self.segments()
        return int(held[-1].stem) + 1 if held else 1

    def release(self) -> None:
        """Lets go of it; an empty one is removed. Whoever waits for the lock then finds nothing."""
        if self._lock < 0:
            return
        with contextlib.suppress(OSError), _exclusive(self.path.parent):
            if not self.segments():
                (self.path / _LOCK).unlink(missing_ok=True)
                self.path.rmdir()
        os.close(self._lock)
        self._lock = -1


class Folders:
    """All workers' folders. Every method blocks, for as long as file systems do."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def make(self) -> Folder:
        """A folder for this worker. Raises OSError."""
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _exclusive(self._root):
            path = self._root / f"{os.getpid()}-{secrets.token_hex(4)}"
            path.mkdir(mode=0o700)
            lock = _try_lock(path / _LOCK, os.O_CREAT)
            assert lock is not None  # nobody else looks while the root is held
            return Folder(path, lock)

    def abandoned(self) -> Iterator[Folder]:
        """Folders whose worker is dead, each locked for whoever asked."""
        try:
            paths = sorted(path for path in self._root.iterdir() if path.is_dir())
        except OSError:
            return
        for path in paths:
            try:
                with _exclusive(self._root):
                    lock = _try_lock(path / _LOCK, 0)
            except OSError:
                continue
            if lock is not None:
                yield Folder(path, lock)


@contextlib.contextmanager
def _exclusive(root: Path) -> Iterator[None]:
    """While a folder is made, taken or removed, so that nobody meets half of it."""
    fd = os.open(root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _try_lock(path: Path, flags: int) -> int | None:
    """The lock's descriptor, or None while somebody holds it. Raises OSError when there is no such file."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd
