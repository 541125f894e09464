"""Finds processes by the mark that services get from their supervisor and hand on to what they start."""

from __future__ import annotations

import contextlib
import os

MARK = "SIXFOLD_SUPERVISED"
"""Environment variable: the name of the service that a process belongs to."""


def end_marked(home: str, name: str | None = None) -> list[int]:
    """Kills the processes of one service of a home, or of all its services; their process ids.

    Only for services whose own process is gone: this is for workers in sessions of their own, and for
    what a killed supervisor left behind on systems that do not end children with their parent.
    """
    import psutil

    killed = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            mark = process.environ()
            ours = mark.get("SIXFOLD_HOME") == home and (mark.get(MARK) == name if name else MARK in mark)
            if ours and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                process.kill()
                killed.append(process.pid)
    return killed
