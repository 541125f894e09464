"""One core kept busy beside a measurement: what a shared machine looks like."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LOOP = """
import os, time
parent, end = os.getppid(), time.monotonic() + 900
while time.monotonic() < end and os.getppid() == parent:
    sum(range(9999))
"""


@contextmanager
def busy(active: bool) -> Iterator[None]:
    """Runs one endless loop beside the block, if asked to. It ends by itself with its parent."""
    if not active:
        yield
        return
    loop = subprocess.Popen([sys.executable, "-I", "-c", LOOP], stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        loop.kill()
        loop.wait()
