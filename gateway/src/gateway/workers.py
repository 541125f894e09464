"""Several processes behind one listening socket.

Each worker is a fresh process, so nothing (a connection, a thread, an event loop) is ever carried over a
fork. A worker that dies is started again; a parent that dies takes its workers along.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

from gateway.settings import GatewaySettings
from servicekit.logs import get_logger

LISTEN_FD = "SIXFOLD_GATEWAY_LISTEN_FD"
LIFE_FD = "SIXFOLD_GATEWAY_LIFE_FD"
_METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"
_FIRST_PAUSE, _LONGEST_PAUSE, _HEALTHY_SECONDS = 0.5, 10.0, 30.0
_GRACE_SECONDS = 5.0

_log = get_logger("gateway.workers")


class _Worker:
    """One child and its history."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.began = 0.0
        self.not_before = 0.0
        self.pause = _FIRST_PAUSE


class _Supervisor:
    def __init__(self, settings: GatewaySettings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._life_read, self._life_write = os.pipe()
        self._stopping = False
        self._workers = [_Worker() for _ in range(settings.workers)]
        # a folder of our own, whatever the environment names: it is emptied
        self._metrics = settings.home.resolve() / "run" / f"metrics-{os.getpid()}"

    def run(self) -> int:
        shutil.rmtree(self._metrics, ignore_errors=True)
        self._metrics.mkdir(parents=True)
        os.environ[_METRICS_DIR] = str(self._metrics)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        try:
            while not self._stopping:
                for worker in self._workers:
                    self._look_after(worker)
                time.sleep(0.1)
            return self._end()
        finally:
            shutil.rmtree(self._metrics, ignore_errors=True)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _look_after(self, worker: _Worker) -> None:
        now = time.monotonic()
        if worker.process is not None:
            code = worker.process.poll()
            if code is None:
                return
            self._bury(worker.process.pid)
            worker.pause = (
                _FIRST_PAUSE
                if now - worker.began > _HEALTHY_SECONDS
                else min(worker.pause * 2, _LONGEST_PAUSE)
            )
            worker.not_before = now + worker.pause
            worker.process = None
            _log.error(
                "worker ended and will be started again", exit_code=code, seconds=round(worker.pause, 1)
            )
        if now >= worker.not_before:
            worker.began = now
            worker.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        fd = self._listener.fileno()
        environment = {**os.environ, LISTEN_FD: str(fd), LIFE_FD: str(self._life_read)}
        # Its own session: Ctrl-C reaches the parent alone, which then asks each worker once.
        return subprocess.Popen(
            [sys.executable, "-m", "gateway"],
            env=environment,
            pass_fds=(fd, self._life_read),
            start_new_session=True,
        )

    def _bury(self, pid: int) -> None:
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(pid, str(self._metrics))  # type: ignore[no-untyped-call]

    def _end(self) -> int:
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._settings.drain_seconds + _GRACE_SECONDS
        clean = True
        for process in running:
            try:
                clean &= process.wait(max(0.0, deadline - time.monotonic())) == 0
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                clean = False
        return 0 if clean else 1


def supervise(settings: GatewaySettings, listener: socket.socket) -> int:
    """Runs `settings.workers` workers until stopped."""
    return _Supervisor(settings, listener).run()
