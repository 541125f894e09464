"""One supervisor for one home. The kernel frees the lock when its holder dies, so it is never stale."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from sixfold_cli.errors import CliError
from sixfold_cli.home import Home


def _path(home: Home) -> Path:
    return home.run / "supervisor.lock"


@contextlib.contextmanager
def hold(home: Home) -> Iterator[None]:
    """Holds the home's lock. CliError when another supervisor does."""
    descriptor = os.open(_path(home), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _acquire(descriptor):
            raise CliError(
                f"it already runs on {home.root} (process {holder(home) or 'unknown'}).",
                "See `sixfold status`; stop it with `sixfold down`; or use another home: SIXFOLD_HOME=/path",
                reason="ALREADY_RUNNING",
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int) -> bool:
    for _ in range(10):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)  # it may only be `holder` looking
        else:
            return True
    return False


def holder(home: Home) -> int | None:
    """The process id of the supervisor that runs on this home, if one does."""
    try:
        descriptor = os.open(_path(home), os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(descriptor)
