"""`kill -9` of a supervisor leaves no process; the next start sweeps up what other systems would leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from sixfold_cli.home import Home
from sixfold_cli.orphans import end_marked
from sixfold_cli.services import Service

_SUPERVISE = """
import asyncio, os, sys
from pathlib import Path
from sixfold_cli.console import Console
from sixfold_cli.home import Home
from sixfold_cli.services import Service
from sixfold_cli.state import State
from sixfold_cli.supervisor import Supervisor
home = Home(Path(sys.argv[1]))
port = int(sys.argv[3])
env = {**os.environ, "SIXFOLD_HOME": str(home.root)}
service = Service("alpha", (sys.executable, "-S", sys.argv[2], str(port), "alpha"), env, ("127.0.0.1", port))
state = State("preparing", os.getpid(), "", str(home.root))
supervisor = Supervisor(home, [service], state, Console(sys.stderr))
asyncio.run(supervisor.run(lambda: print(state.services[0].pid, flush=True)))
"""


Processes = Callable[[Home], list[psutil.Process]]


def supervise_outside(home: Home, service: Service) -> subprocess.Popen[str]:
    """A supervisor in a process of its own; it prints its service's process id when that is ready."""
    arguments = [str(home.root), service.command[2], str(service.ready[1])]
    command = [sys.executable, "-c", _SUPERVISE, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_children_end_with_a_killed_supervisor(
    home: Home, make_service: Any, processes_of: Processes
) -> None:
    service = make_service("alpha", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    arguments = [str(home.root), service.command[2], str(service.ready[1])]
    with subprocess.Popen(
        [sys.executable, "-c", _SUPERVISE, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        stderr=subprocess.DEVNULL,
    ) as supervisor:
        assert supervisor.stdout
        child = psutil.Process(int(supervisor.stdout.readline()))
        assert child.is_running()
        supervisor.kill()
        supervisor.wait()
    psutil.wait_procs([child], timeout=30)
    assert processes_of(home) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_both(
    home: Home, make_service: Any, processes_of: Processes, number: signal.Signals
) -> None:
    service = make_service("alpha")
    arguments = [str(home.root), service.command[2], str(service.ready[1])]
    with subprocess.Popen(
        [sys.executable, "-c", _SUPERVISE, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        stderr=subprocess.DEVNULL,
    ) as supervisor:
        assert supervisor.stdout
        supervisor.stdout.readline()
        supervisor.send_signal(number)
        assert supervisor.wait() == 0
    assert (home.root / "ends").read_text() == "alpha\n"
    assert processes_of(home) == []


def test_the_sweep_takes_only_what_carries_this_home(home: Home, tmp_path: Path) -> None:
    sleep = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]

    def start(**names: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(sleep, env={**os.environ, **names}, start_new_session=True)

    root = str(home.root)
    ours = start(SIXFOLD_HOME=root, SIXFOLD_SUPERVISED="gateway")
    others = [start(SIXFOLD_HOME=root), start(SIXFOLD_HOME=str(tmp_path), SIXFOLD_SUPERVISED="gateway")]
    try:
        assert end_marked(root, "model-service") == []
        assert end_marked(root) == [ours.pid]
        assert ours.wait() == -signal.SIGKILL
        assert [process.poll() for process in others] == [None, None]
    finally:
        for process in (ours, *others):
            process.kill()
            process.wait()
