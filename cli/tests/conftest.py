"""A home of its own for each test, and small services written as scripts that run as real processes."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from sixfold_cli.console import Console
from sixfold_cli.home import Home
from sixfold_cli.ports import free_port
from sixfold_cli.services import Service
from sixfold_cli.state import State
from sixfold_cli.supervisor import Patience, Supervisor

# Answers /readyz on its port. BEHAVIOUR runs first and may end the process or change how it stops.
_SERVICE = """
import http.server, os, signal, sys, threading, time
from pathlib import Path
home = Path(os.environ["SIXFOLD_HOME"])
with (home / "starts").open("a") as file:
    file.write(sys.argv[2] + "\\n")
starts = (home / "starts").read_text().split().count(sys.argv[2])
def ended(number, frame):
    with (home / "ends").open("a") as file:
        file.write(sys.argv[2] + "\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, ended)
status = 200
BEHAVIOUR
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with (home / "asked").open("a") as file:
            file.write(sys.argv[2] + "\\n")
        body = b'{"ready": false, "checks": {"engine": "loading"}}' if status != 200 else b"{}"
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""

MakeService = Callable[..., Service]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    for name in [name for name in os.environ if name.startswith("SIXFOLD_")]:
        monkeypatch.delenv(name)
    place = Home(tmp_path / "home")
    place.create(needed_gb=0)
    yield place
    left = carriers(place)
    for process in left:
        process.kill()
    assert not left, "a process outlived its test"


def carriers(home: Home) -> list[psutil.Process]:
    """Processes, other than this one, that carry this home in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            carries = process.environ().get("SIXFOLD_HOME") == str(home.root)
            if carries and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def make_service(home: Home, tmp_path: Path) -> MakeService:
    """A service by name; `behaviour` is Python run before it listens (it sees `starts`, `status`, `home`)."""
    taken: set[int] = set()

    def make(name: str = "alpha", behaviour: str = "", *, optional: bool = False) -> Service:
        script = tmp_path / f"{name}.py"
        script.write_text(_SERVICE.replace("BEHAVIOUR", textwrap.dedent(behaviour)))
        port = free_port(taken)
        command = (sys.executable, "-S", str(script), str(port), name)
        env = {**os.environ, "SIXFOLD_HOME": str(home.root)}
        return Service(name, command, env, ("127.0.0.1", port), {"http": port}, optional)

    return make


class Running:
    """A supervisor running as a task, with what it printed."""

    def __init__(self, home: Home, services: list[Service], patience: Patience) -> None:
        self.output = io.StringIO()
        self.state = State("preparing", os.getpid(), "http://127.0.0.1:1", str(home.root))
        self.supervisor = Supervisor(home, services, self.state, Console(self.output), patience)
        self.ready = asyncio.Event()
        self.task = asyncio.create_task(self.supervisor.run(self.ready.set))

    async def until_ready(self) -> None:
        waiting = asyncio.create_task(self.ready.wait())
        await asyncio.wait([waiting, self.task], return_when=asyncio.FIRST_COMPLETED, timeout=30)
        waiting.cancel()
        if self.task.done():
            self.task.result()
        assert self.ready.is_set()

    async def stop(self) -> None:
        self.supervisor.stop()
        await self.task


async def until(condition: Callable[[], bool]) -> None:
    """Returns once the condition holds; the test's own time limit is the deadline."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


@pytest.fixture
def quick() -> Patience:
    return Patience(start=20, drain=5, settled=0.3, first_delay=0.02, longest_delay=0.1, tries=3, tick=0.02)


@pytest.fixture
def supervise(home: Home, quick: Patience) -> Callable[..., Running]:
    def start(*services: Service, patience: Patience | None = None) -> Running:
        return Running(home, list(services), patience or quick)

    return start


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], object]:
    return until


@pytest.fixture
def processes_of() -> Callable[[Home], list[psutil.Process]]:
    return carriers
