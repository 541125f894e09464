"""Objects in a folder of this machine, through fsspec's local file system."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from servicekit.objects.base import Full, Sink, Source
from servicekit.objects.names import INCOMING

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Folder:
    """A `Place` below `root`, which is made with mode 0700 when it is first written to."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = LocalFileSystem(auto_mkdir=False, skip_instance_cache=True)

    def create(self, name: str) -> Sink:
        path = self._root / name
        self._make(path.parent)
        try:
            return _FileSink(self._files.open(str(path), "wb"), path)
        except OSError as error:
            raise _told(error) from error

    def publish(self, temporary: str, name: str) -> None:
        target = self._root / name
        self._make(target.parent)
        (self._root / temporary).replace(target)  # within one file system: whole or not at all
        _settle(target.parent)

    def open(self, name: str) -> Source:
        source: Source = self._files.open(str(self._root / name), "rb")
        return source

    def names(self, folder: str) -> Iterator[str]:
        for path in self._files.find(str(self._root / folder)):
            yield str(Path(path).relative_to(self._root))

    def remove(self, folder: str) -> None:
        with suppress(FileNotFoundError):
            self._files.rm(str(self._root / folder), recursive=True)

    def stale(self, seconds: float) -> Iterator[str]:
        before = time.time() - seconds
        with suppress(FileNotFoundError), os.scandir(self._root / INCOMING) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.stat().st_mtime < before:
                        yield f"{INCOMING}/{entry.name}"

    def discard(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)

    def check(self) -> None:
        self._make(self._root)
        if not os.access(self._root, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError

    def close(self) -> None:
        return None

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _told(error) from error


class _FileSink:
    def __init__(self, file: Any, path: Path) -> None:
        self._file = file
        self._path = path

    def write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise _told(error) from error

    def finish(self) -> None:
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise _told(error) from error

    def drop(self) -> None:
        with suppress(OSError):  # closing writes what is buffered, and the disk may be full
            self._file.close()
        self._path.unlink(missing_ok=True)


def _told(error: OSError) -> Exception:
    return Full() if error.errno in _NO_ROOM else error


def _settle(folder: Path) -> None:
    """Makes a new name in `folder` outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
