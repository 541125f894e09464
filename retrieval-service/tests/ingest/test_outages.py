"""What makes a file wait, and what fails it."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from retrieval_service.ingest.outages import check_room, is_outage
from servicekit.errors import Reason, SixfoldError


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EFBIG, "File too large"),
        ConnectionRefusedError(),
        TimeoutError(),
        SixfoldError(Reason.SERVICE_UNAVAILABLE, "x"),
        SixfoldError(Reason.QUEUE_FULL, "x"),
        SixfoldError(Reason.DEADLINE_EXCEEDED, "x"),
        sqlite3.OperationalError("database or disk is full"),
    ],
)
def test_what_passes_by_itself(error: Exception) -> None:
    assert is_outage(error)
    try:
        try:
            raise error
        except Exception as cause:
            raise RuntimeError("wrapped") from cause
    except RuntimeError as wrapped:
        assert is_outage(wrapped)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        FileNotFoundError(errno.ENOENT, "x"),
        SixfoldError(Reason.INTERNAL, "x"),
        SixfoldError(Reason.INVALID_REQUEST, "x"),
        MemoryError(),
    ],
)
def test_what_does_not(error: Exception) -> None:
    assert not is_outage(error)


def test_too_little_room_is_an_outage(tmp_path: Path) -> None:
    check_room(tmp_path, 0)
    with pytest.raises(SixfoldError) as full:
        check_room(tmp_path, 1 << 62)
    assert is_outage(full.value)
