"""What SQLite says when it cannot, in our words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servicekit.errors import Reason, SixfoldError
from servicekit.logs import get_logger

_log = get_logger("servicekit.bus")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """A file that is locked, full, damaged or away is SERVICE_UNAVAILABLE. The log says which."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        name = getattr(error, "sqlite_errorname", None) or type(error).__name__
        _log.warning("event log unavailable", path=path, error=name)
        full = name == "SQLITE_FULL"
        words = "The disk of the event log is full." if full else "The event log cannot be reached."
        raise SixfoldError(Reason.SERVICE_UNAVAILABLE, words) from error
