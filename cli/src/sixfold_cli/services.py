"""Which services run on one machine, in the order in which they need each other."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from sixfold_cli.errors import CliError
from sixfold_cli.home import Home
from sixfold_cli.ports import free_port

OPTIONAL = ("retrieval-service", "training-service", "eval-service")
"""What the others go on without. Each is told where model-service is, and the gateway where each is."""
NAMES = ("model-service", *OPTIONAL, "gateway")
WITHOUT = "SIXFOLD_WITHOUT"
"""Names of optional services, with commas between them, that are not to be started."""


@dataclass(frozen=True)
class Service:
    """How one service is started and asked whether it is ready (`GET /readyz` at `ready`)."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    ready: tuple[str, int]
    ports: Mapping[str, int] = field(default_factory=dict)
    optional: bool = False
    """Nothing waits for it before it starts, and the others go on when it fails."""
    listens: tuple[tuple[str, int], ...] = ()
    """Addresses that must be free before it is started."""
    absent: str = ""
    """Why it is not to be started at all, in a few words."""


def local_services(home: Home, host: str, port: int, environ: Mapping[str, str]) -> list[Service]:
    """The services of this machine with their addresses. What the environment sets stays as it is.

    CliError for a name in SIXFOLD_WITHOUT that is no optional service's.
    """
    taken = {port}
    shared = {
        **with_bytecode(environ),
        "SIXFOLD_HOME": str(home.root),
        "SIXFOLD_HOST": host,
        "SIXFOLD_PORT": str(port),
        "SIXFOLD_LOG_FORMAT": "json",  # files are for machines; the foreground shows them to people
    }
    models = _behind("model-service", shared, environ, taken, {})
    models_at = _listens(models)
    left_out = _left_out(environ)
    optional = [
        _behind(name, shared, environ, taken, {f"{_prefix(name)}_MODEL_SERVICE": models_at}, left_out)
        for name in OPTIONAL
    ]
    reached = {
        f"SIXFOLD_GATEWAY_{_variable(each.name)}": _listens(each)
        for each in (models, *optional)
        if not each.absent
    }
    gateway = Service(
        "gateway",
        (sys.executable, "-m", "gateway"),
        {**shared, **_unless_set(reached, environ)},
        (_reach(host), port),
        {"http": port},
    )
    return [models, *optional, gateway]


def with_bytecode(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment, with leave to keep compiled Python: a start then takes half the time."""
    return {name: value for name, value in environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _behind(
    name: str,
    shared: Mapping[str, str],
    environ: Mapping[str, str],
    taken: set[int],
    peers: Mapping[str, str],
    left_out: tuple[str, ...] = (),
) -> Service:
    """A service that only other services talk to: one address for calls, one for whoever runs it."""
    prefix = _prefix(name)
    module = name.replace("-", "_")

    def address(variable: str) -> tuple[str, int]:
        given_host, _, given_port = environ.get(variable, "").rpartition(":")
        if given_host and given_port.isdigit():
            return given_host.strip("[]"), int(given_port)
        return "127.0.0.1", free_port(taken)

    rpc_host, rpc = address(f"{prefix}_LISTEN")
    ops_host, ops = address(f"{prefix}_OPS_LISTEN")
    own = {f"{prefix}_LISTEN": f"{rpc_host}:{rpc}", f"{prefix}_OPS_LISTEN": f"{ops_host}:{ops}"}
    absent = ""
    if name in left_out:
        absent = f"left out by {WITHOUT}"
    elif name in OPTIONAL and importlib.util.find_spec(module) is None:
        absent = "not installed"
    return Service(
        name,
        (sys.executable, "-m", module),
        {**shared, **own, **_unless_set(peers, environ)},
        (_reach(ops_host), ops),
        {"rpc": rpc, "ops": ops},
        optional=name in OPTIONAL,
        listens=((rpc_host, rpc), (ops_host, ops)),
        absent=absent,
    )


def _left_out(environ: Mapping[str, str]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in environ.get(WITHOUT, "").split(",") if name.strip())
    for name in names:
        if name not in OPTIONAL:
            raise CliError(
                f"{WITHOUT}={environ[WITHOUT]}: '{name}' is no service that can be left out.",
                f"There are: {', '.join(OPTIONAL)}.",
                reason="BAD_SETTING",
            )
    return names


def _unless_set(wanted: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ.get(name) or value for name, value in wanted.items()}


def _variable(name: str) -> str:
    return name.replace("-", "_").upper()


def _prefix(name: str) -> str:
    return f"SIXFOLD_{_variable(name)}"


def _listens(service: Service) -> str:
    """Where the others reach it."""
    host, port = service.listens[0]
    host = _reach(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reach(host: str) -> str:
    """Where a server that listens on `host` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
