"""Ends what a supervisor that was killed may have left behind."""

from __future__ import annotations

import contextlib
import os

from sixfold_cli.home import Home
from sixfold_cli.state import read_state


def sweep(home: Home) -> list[int]:
    """Kills processes of the last run's groups that still carry this home; their ids.

    On Linux the kernel already ended the services themselves; this is for what they started, and for
    other systems. A process id that was given anew is safe: it does not carry this home in that group.
    """
    import psutil

    state = read_state(home)
    groups = {service.pid for service in state.services if service.pid} if state else set()
    killed = []
    for process in psutil.process_iter() if groups else ():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) in groups and process.environ().get("SIXFOLD_HOME") == str(home.root):
                process.kill()
                killed.append(process.pid)
    return killed
