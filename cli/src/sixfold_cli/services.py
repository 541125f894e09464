"""Which services run on one machine, in the order in which they need each other."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from sixfold_cli.home import Home
from sixfold_cli.ports import free_port


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


def local_services(home: Home, host: str, port: int, environ: Mapping[str, str]) -> list[Service]:
    """The services of this machine with their addresses. What the environment sets stays as it is."""
    taken = {port}
    shared = {
        **with_bytecode(environ),
        "SIXFOLD_HOME": str(home.root),
        "SIXFOLD_HOST": host,
        "SIXFOLD_PORT": str(port),
        "SIXFOLD_LOG_FORMAT": "json",  # files are for machines; the foreground shows them to people
    }

    def address(name: str) -> tuple[str, int]:
        given_host, _, given_port = environ.get(name, "").rpartition(":")
        if given_host and given_port.isdigit():
            return given_host.strip("[]"), int(given_port)
        return "127.0.0.1", free_port(taken)

    def reached(name: str, default: str) -> str:
        return environ.get(name) or default

    rpc_host, rpc = address("SIXFOLD_MODEL_SERVICE_LISTEN")
    ops_host, ops = address("SIXFOLD_MODEL_SERVICE_OPS_LISTEN")
    search_host, search = address("SIXFOLD_RETRIEVAL_SERVICE_LISTEN")
    search_ops_host, search_ops = address("SIXFOLD_RETRIEVAL_SERVICE_OPS_LISTEN")
    models_at, retrieval_at = f"{_reach(rpc_host)}:{rpc}", f"{_reach(search_host)}:{search}"
    models = {
        "SIXFOLD_MODEL_SERVICE_LISTEN": f"{rpc_host}:{rpc}",
        "SIXFOLD_MODEL_SERVICE_OPS_LISTEN": f"{ops_host}:{ops}",
    }
    retrieval = {
        "SIXFOLD_RETRIEVAL_SERVICE_LISTEN": f"{search_host}:{search}",
        "SIXFOLD_RETRIEVAL_SERVICE_OPS_LISTEN": f"{search_ops_host}:{search_ops}",
        "SIXFOLD_RETRIEVAL_SERVICE_MODEL_SERVICE": reached(
            "SIXFOLD_RETRIEVAL_SERVICE_MODEL_SERVICE", models_at
        ),
    }
    gateway = {
        "SIXFOLD_GATEWAY_MODEL_SERVICE": reached("SIXFOLD_GATEWAY_MODEL_SERVICE", models_at),
        "SIXFOLD_GATEWAY_RETRIEVAL_SERVICE": reached("SIXFOLD_GATEWAY_RETRIEVAL_SERVICE", retrieval_at),
    }
    return [
        Service(
            "model-service",
            (sys.executable, "-m", "model_service"),
            {**shared, **models},
            (_reach(ops_host), ops),
            {"rpc": rpc, "ops": ops},
        ),
        Service(
            "retrieval-service",
            (sys.executable, "-m", "retrieval_service"),
            {**shared, **retrieval},
            (_reach(search_ops_host), search_ops),
            {"rpc": search, "ops": search_ops},
            optional=True,
        ),
        Service(
            "gateway",
            (sys.executable, "-m", "gateway"),
            {**shared, **gateway},
            (_reach(host), port),
            {"http": port},
        ),
    ]


def with_bytecode(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment, with leave to keep compiled Python: a start then takes half the time."""
    return {name: value for name, value in environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _reach(host: str) -> str:
    """Where a server that listens on `host` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
