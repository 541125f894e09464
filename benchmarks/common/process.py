"""Processes under measurement: started, watched until they answer, asked what they used, ended."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


def free_port() -> int:
    """A loopback port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Process:
    """One process and whatever it started."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(
        cls, name: str, command: Sequence[str | Path], *, folder: Path, env: Mapping[str, str] | None = None
    ) -> Process:
        """Runs a command in its own session; its output goes to `folder/name.log`."""
        log = folder / f"{name}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [str(part) for part in command],
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        return cls(name, popen, log)

    def stop(self, seconds: float = 20) -> None:
        """SIGTERM, then SIGKILL to what is left of the session."""
        if self.popen.poll() is None:
            self.popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()

    def family(self) -> list[int]:
        """Ids of the process and of its descendants."""
        try:
            root = psutil.Process(self.popen.pid)
            return [root.pid, *(child.pid for child in root.children(recursive=True))]
        except psutil.NoSuchProcess:
            return []

    def cpu_seconds(self) -> float:
        """CPU time that the living family has used, user and system, in seconds."""
        return sum(_cpu(pid) for pid in self.family())

    def rss_mib(self) -> float:
        """Resident memory of the family, in MiB; pages that two of them share count twice."""
        total = 0
        for pid in self.family():
            try:
                total += psutil.Process(pid).memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total / 2**20

    def tail(self, lines: int = 15) -> str:
        """The last lines of its output, without those that only inform."""
        every = self.log.read_text(errors="replace").splitlines()
        telling = [line for line in every if '"level":"info"' not in line]
        return "\n".join(telling[-lines:])


def _end_with_parent() -> None:
    """Runs in the child: a measurement that is killed leaves nothing behind (Linux)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _cpu(pid: int) -> float:
    """Nanosecond clock of another process (Linux: `CPUCLOCK_SCHED`), in seconds; 0 once it is gone."""
    try:
        return time.clock_gettime_ns((~pid << 3) | 2) / 1e9
    except OSError:
        return 0.0


def wait_for(url_host: str, port: int, path: str, process: Process, seconds: float) -> float:
    """Seconds until `path` answers 200; raises with the process's last lines when it never does."""
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        if process.popen.poll() is not None:
            raise RuntimeError(f"{process.name} ended with {process.popen.returncode}:\n{process.tail()}")
        connection = http.client.HTTPConnection(url_host, port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return time.monotonic() - begin
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    raise RuntimeError(f"{process.name} did not answer {path} within {seconds:.0f} s:\n{process.tail()}")
