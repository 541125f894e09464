"""The child's side: take signals the right way, and never outlive the service."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
from collections.abc import Callable

from model_service.adapters.child.wire import pack


def run(descriptor: int, work: Callable[[socket.socket], None]) -> None:
    """Call `work` with the socket to the service, and end the process when it returns or fails.

    Destructors are not waited for: what they would free goes with the process.
    """
    # A Ctrl-C reaches the whole group; the service drains first and closes the socket afterwards.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _die_with_parent()
    link = socket.socket(fileno=descriptor)
    try:
        work(link)
    except Exception as error:
        with contextlib.suppress(OSError):
            link.sendall(pack({"failed": type(error).__name__}))
        os._exit(1)
    os._exit(0)


def _die_with_parent() -> None:
    """Ask Linux to end this process when the service is killed, even in the middle of a computation."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
