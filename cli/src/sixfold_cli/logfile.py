"""Following log files, showing their lines to people, and keeping them from growing without end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024
KEPT = 3
_CHUNK = 1024 * 1024
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_HIDDEN = {"time", "level", "service", "event", "logger", "trace_id", "span_id", "exception"}


class Tail:
    """Gives the lines appended to a file since the last call. Notices when it is cut."""

    def __init__(self, path: Path, *, from_end: bool = True) -> None:
        self.path = path
        self._offset = _size(path) if from_end else 0
        self._rest = b""

    def lines(self) -> list[str]:
        """Whole new lines, at most a megabyte at once."""
        size = _size(self.path)
        if size < self._offset:
            self._offset, self._rest = 0, b""
        if size == self._offset:
            return []
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(_CHUNK)
        except OSError:
            return []
        self._offset += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _CHUNK:
            self._rest = b""
        return [line.decode("utf-8", "replace") for line in whole]


def rotate(path: Path, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> bool:
    """Moves a large log aside as .1, .2, … and cuts the file that its writer holds open.

    The writer appends, so it goes on at the new end; lines written between copy and cut can be lost.
    """
    if _size(path) <= max_bytes:
        return False
    with contextlib.suppress(OSError):
        for number in range(kept - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        shutil.copy2(path, path.with_name(f"{path.name}.1"))
    with contextlib.suppress(OSError):  # a full disk must not keep the log growing
        os.truncate(path, 0)
    return True


def severity(line: str) -> int:
    """10 debug … 50 critical; 0 for a line that no service wrote as a record."""
    record = _record(line)
    return _LEVELS.get(str(record.get("level", "info")), 20) if record is not None else 0


def for_people(line: str) -> Iterator[str]:
    """One JSON record as readable lines; anything else as it is."""
    record = _record(line)
    if record is None:
        yield line
        return
    facts = " ".join(f"{name}={_short(value)}" for name, value in record.items() if name not in _HIDDEN)
    clock = str(record.get("time", ""))[11:19]
    yield f"{clock} {record.get('level', 'info'):<7} {record.get('event', '')}  {facts}".rstrip()
    if record.get("exception"):
        yield from (f"    {part}" for part in str(record["exception"]).splitlines())


def _record(line: str) -> dict[str, object] | None:
    if not line.startswith("{"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 200 else text[:199] + "…"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
