"""One process at a time: an advisory lock on a folder, gone with the process that holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from servicekit.errors import Reason, SixfoldError


class FolderLock:
    """Held from when it is made until `release`.

    Making it raises SixfoldError SERVICE_UNAVAILABLE if another process, or this one, already has it.
    """

    def __init__(self, folder: Path, what: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file: int | None = os.open(folder / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            self._file = None
            raise SixfoldError(
                Reason.SERVICE_UNAVAILABLE, f"Another process is writing {what}; only one may."
            ) from None

    def release(self) -> None:
        """Lets another process have it. Again is no error."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
