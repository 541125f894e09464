"""A server as a child process: its own process group, a log file, ready when it answers, then stopped."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1
_SPAWNER = ThreadPoolExecutor(1, thread_name_prefix="spawner")
"""Starts every server: to the kernel, a child's parent is a thread, and this one lasts as long as the run."""


class PartFailed(Exception):
    """A server did not start. The message ends with the last lines of its log."""


def free_port() -> int:
    """A port of the loopback address that nobody listens on now.

    It lies below the range that systems take for outgoing connections, so that a server which is killed
    and started again finds its port still free.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def answers(port: int) -> bool:
    """Whether somebody accepts connections on this port of the loopback address."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True


@dataclass
class Process:
    """`stop_signal` asks the server to end; it is killed, with its whole group, when it does not."""

    args: Sequence[str | os.PathLike[str]]
    log: Path
    ready: Callable[[], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    user: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    start_seconds: float = 30
    stop_seconds: float = 10
    _child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None, "not started"
        return self._child.pid

    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Returns when `ready` says so. Raises PartFailed."""
        if self.running():
            return
        self._child = _SPAWNER.submit(self._spawn).result()
        until = time.monotonic() + self.start_seconds
        while not self.ready():
            if not self.running() or time.monotonic() > until:
                self.kill()
                raise PartFailed(f"{Path(self.args[0]).name} did not start:\n{self.tail()}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self._child is None:
            return
        self.resume()
        if self.running():
            self._child.send_signal(self.stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(self.stop_seconds)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the whole group, as a machine that loses power would."""
        if self._child is not None:
            self._signal(signal.SIGKILL)
            self._child.wait()
            self._child = None

    def pause(self) -> None:
        """Stand still without closing connections, as a server that hangs does."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def tail(self, lines: int = 20) -> str:
        return (
            "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""
        )

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.args,
                env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self.user,
                group=self.user,
                extra_groups=[] if self.user is not None else None,
                preexec_fn=self._end_with_parent,
            )

    def _end_with_parent(self) -> None:
        """Runs in the child: a test run that is killed leaves no server behind."""
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(self.stop_signal))
