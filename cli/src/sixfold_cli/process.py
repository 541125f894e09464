"""One child process: in its own session, writing its own log file, gone when its supervisor is gone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sixfold_cli.orphans import MARK, end_marked

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded before any fork


def die_with(parent: int) -> Callable[[], None]:
    """For a child, between fork and exec: SIGKILL when `parent` ends, however it ends (Linux only)."""

    def ask_kernel() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it ended before we asked
                os._exit(1)

    return ask_kernel


class Child:
    """A process that can be started again and again.

    It writes straight into its log file, never through a pipe: a supervisor that is slow, paused by its
    terminal or dead can then never block a service.
    """

    # `env` names the home, by which (and by `name`) its descendants are found.
    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.pid: int | None = None
        self.started_at = 0.0
        """Unix time of the last start."""
        self.log_start = 0
        """Where in the log the last start's lines begin, in bytes."""
        self._command = list(command)
        self._env = {**env, MARK: name}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it. OSError when the program cannot be run."""
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self.log_start = os.fstat(descriptor).st_size
            self._process = subprocess.Popen(
                self._command,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
                preexec_fn=die_with(os.getpid()),  # safe: the supervisor has no threads
            )
        finally:
            os.close(descriptor)
        self.pid = self._process.pid
        self.started_at = time.time()

    def exit_code(self) -> int | None:
        """None while it runs or before it ran; negative: the signal that ended it."""
        return self._process.poll() if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def terminate(self) -> None:
        """Asks the process itself to drain and end."""
        if self._process and self.running:
            self._process.terminate()

    def kill(self) -> None:
        """Ends the process and whatever it started, at once."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        end_marked(self._env["SIXFOLD_HOME"], self.name)

    def last_lines(self, count: int = 12) -> list[str]:
        """The end of what it wrote since its last start."""
        try:
            with self.log.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(self.log_start if self.log_start <= size else 0, size - 16_384))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return []
        return [line for line in lines if line.strip()][-count:]


def describe_exit(code: int) -> str:
    """ "exit code 1", "signal SIGKILL"."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
