"""`sixfold down`: ends the supervisor of a home, and what it should have ended."""

from __future__ import annotations

import os
import signal
import time

from sixfold_cli import lock
from sixfold_cli.errors import CliError, Exit
from sixfold_cli.home import Home
from sixfold_cli.orphans import end_marked


def stop(home: Home, timeout: float, *, now: bool) -> bool:
    """Ends the supervisor of this home; False when none runs. Kills it after `timeout` seconds."""
    pid = lock.holder(home)
    if pid is None:
        return False
    try:
        os.kill(pid, signal.SIGTERM)
        limit = time.monotonic() + timeout
        hurried = not now
        while lock.holder(home) == pid and time.monotonic() < limit:
            time.sleep(0.1)
            if not hurried:
                os.kill(pid, signal.SIGTERM)
                hurried = True
        if lock.holder(home) == pid:
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise CliError(
            f"process {pid} is not yours to stop.", reason="NOT_YOURS", code=Exit.REFUSED
        ) from None
    end_marked(str(home.root))
    return True
