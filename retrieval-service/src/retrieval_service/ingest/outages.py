"""What passes by itself, so that a file waits instead of failing."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from servicekit.errors import Reason, SixfoldError

_PASSING = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EAGAIN,
    errno.ETIMEDOUT,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EPIPE,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
}
_WORDS = ("disk is full", "no space left", "file too large", "disk i/o error", "quota exceeded")
"""How libraries without error numbers say that a disk is full."""


def is_outage(error: BaseException) -> bool:
    """Whether the same step may succeed later, whatever the file holds."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, SixfoldError):
            return current.status.retryable and current.reason is not Reason.INTERNAL
        if isinstance(current, TimeoutError | ConnectionError):
            return True
        if isinstance(current, OSError) and current.errno in _PASSING:
            return True
        if any(word in str(current).lower() for word in _WORDS):
            return True
        current = current.__cause__ or current.__context__
    return False


def check_room(folder: Path, min_free_bytes: int) -> None:
    """Raises SixfoldError(SERVICE_UNAVAILABLE) when less than this is free where the index is written."""
    if shutil.disk_usage(folder).free < min_free_bytes:
        raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "The disk of the index is full.")
