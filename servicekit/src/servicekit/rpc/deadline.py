"""How long the running call may still take."""

from __future__ import annotations

import time
from contextvars import ContextVar

_deadline: ContextVar[float] = ContextVar("sixfold_deadline")


def set_deadline(seconds: float) -> None:
    """Starts the clock of the running task's call."""
    _deadline.set(time.monotonic() + seconds)


def remaining() -> float:
    """Seconds left of the running RPC's deadline, never below 0. Raises RuntimeError outside an RPC."""
    try:
        return max(0.0, _deadline.get() - time.monotonic())
    except LookupError:
        raise RuntimeError("no RPC is running in this task") from None
