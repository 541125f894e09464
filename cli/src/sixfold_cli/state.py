"""What the supervisor tells the other commands: `$SIXFOLD_HOME/run/state.json`, replaced whole."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from sixfold_cli.home import Home


@dataclass
class ServiceState:
    """One service as its supervisor sees it. Times are Unix seconds."""

    name: str
    state: str = "waiting"
    """waiting | starting | ready | restarting | stopped | failed | absent"""
    pid: int | None = None
    started_at: float = 0.0
    restarts: int = 0
    log: str = ""
    ready_host: str = ""
    ready_port: int = 0
    ports: dict[str, int] = field(default_factory=dict)
    note: str = ""
    """Why it does not run, in a few words."""


@dataclass
class State:
    """The whole house. `phase`: preparing | starting | ready | stopping | failed."""

    phase: str
    pid: int
    url: str
    home: str
    started_at: float = field(default_factory=time.time)
    message: str = ""
    hint: str = ""
    services: list[ServiceState] = field(default_factory=list)

    def write(self, home: Home) -> None:
        """Replaces the file, so that a reader sees one state or the next."""
        path = home.run / "state.json"
        draft = path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file)
        draft.replace(path)


def read_state(home: Home) -> State | None:
    """The last state written, by a supervisor that may be gone by now."""
    try:
        raw: dict[str, Any] = json.loads((home.run / "state.json").read_text())
        services = [ServiceState(**each) for each in raw.pop("services")]
        return State(**raw, services=services)
    except (OSError, ValueError, TypeError, KeyError):
        return None
