"""`sixfold status`: what the supervisor wrote, checked against what is really there."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from sixfold_cli import lock
from sixfold_cli.home import Home
from sixfold_cli.probe import is_ready
from sixfold_cli.state import ServiceState, read_state


@dataclass
class ServiceFound:
    """One service, asked just now. Memory in bytes, its workers included; uptime in seconds."""

    state: ServiceState
    ready: bool
    reason: str
    memory: int
    uptime: float

    @property
    def why(self) -> str:
        """Why it is not ready, in a few words; "" when it is."""
        return "" if self.ready else self.state.note or self.reason or self.state.state


@dataclass
class Found:
    """The house, asked just now."""

    running: bool
    phase: str = "stopped"
    message: str = ""
    url: str = ""
    home: str = ""
    pid: int | None = None
    memory: int = 0
    uptime: float = 0.0
    services: list[ServiceFound] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """What is not installed here, or left out, is missed by nobody."""
        needed = [each for each in self.services if each.state.state != "absent"]
        return self.running and self.phase == "ready" and all(each.ready for each in needed)

    def rows(self) -> list[tuple[str, ...]]:
        """One line of a table for each process."""
        rows: list[tuple[str, ...]] = []
        rows.append(("supervisor", "-", str(self.pid), _mb(self.memory), _clock(self.uptime), "-", "-"))
        for each in self.services:
            ports = " ".join(f"{name}:{port}" for name, port in each.state.ports.items())
            word = "yes" if each.ready else f"no ({each.why})"
            pid = str(each.state.pid or "-")
            rows.append(
                (
                    each.state.name,
                    word,
                    pid,
                    _mb(each.memory),
                    _clock(each.uptime),
                    str(each.state.restarts),
                    ports,
                )
            )
        return rows

    def as_json(self) -> dict[str, Any]:
        services = [
            {
                "name": each.state.name, "state": each.state.state, "ready": each.ready,
                "reason": each.why,
                "pid": each.state.pid, "memory_bytes": each.memory, "uptime_seconds": round(each.uptime, 1),
                "ops": f"http://{_host(each.state)}:{each.state.ready_port}",
                "restarts": each.state.restarts, "ports": each.state.ports, "log": each.state.log,
            }
            for each in self.services
        ]  # fmt: skip
        supervisor = {"pid": self.pid, "memory_bytes": self.memory, "uptime_seconds": round(self.uptime, 1)}
        return {
            "running": self.running, "ready": self.ready, "phase": self.phase, "message": self.message,
            "url": self.url, "home": self.home, "supervisor": supervisor if self.running else None,
            "services": services,
        }  # fmt: skip


def take(home: Home) -> Found:
    """Looks at the home's supervisor and asks each service whether it is ready."""
    pid, state = lock.holder(home), read_state(home)
    if pid is None or state is None or state.pid != pid:
        message = state.message if state and pid is None and state.phase == "failed" else ""
        phase = "starting" if pid else "stopped"
        return Found(running=pid is not None, phase=phase, message=message, home=str(home.root), pid=pid)
    answers = asyncio.run(_ask(state.services))
    services = [
        ServiceFound(each, ok, why, _memory(each.pid), time.time() - each.started_at if each.pid else 0.0)
        for each, (ok, why) in zip(state.services, answers, strict=True)
    ]
    return Found(
        True, state.phase, state.message, state.url, state.home, pid,
        _memory(pid, alone=True), time.time() - state.started_at, services,
    )  # fmt: skip


async def _ask(services: list[ServiceState]) -> list[tuple[bool, str]]:
    async def one(service: ServiceState) -> tuple[bool, str]:
        if service.pid is None:
            return False, service.state
        return await is_ready(service.ready_host, service.ready_port)

    return list(await asyncio.gather(*(one(each) for each in services)))


def _memory(pid: int | None, *, alone: bool = False) -> int:
    """Resident bytes of a process and its descendants; 0 when it is gone."""
    import psutil

    if pid is None:
        return 0
    try:
        process = psutil.Process(pid)
        family = [process] if alone else [process, *process.children(recursive=True)]
        return sum(int(each.memory_info().rss) for each in family)
    except psutil.Error:
        return 0


def _host(state: ServiceState) -> str:
    return f"[{state.ready_host}]" if ":" in state.ready_host else state.ready_host


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size else "-"


def _clock(seconds: float) -> str:
    if seconds <= 0:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {rest}s" if minutes else f"{rest}s"
