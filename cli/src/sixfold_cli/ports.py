"""Ports: is the public one free, who has it, and free ones for the inside."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence

from sixfold_cli.errors import CliError

# Below the range that kernels give to outgoing connections. A port from that range could be taken by a
# connection (even by the gateway's own attempt to reach it) while its service restarts.
_INTERNAL = range(20_000, 32_000)


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(taken: set[int]) -> int:
    """A free loopback port outside the ephemeral range; adds it to `taken`."""
    for port in random.sample(_INTERNAL, 200):
        if port not in taken and is_free("127.0.0.1", port):
            taken.add(port)
            return port
    raise CliError("no free port between 20000 and 32000 was found.", "Stop something.", reason="NO_PORT")


def taken(addresses: Sequence[tuple[str, int]]) -> str:
    """What is in the way of a server that would listen on all of these, in a few words; "" for nothing."""
    for host, port in addresses:
        if not is_free(host, port):
            return f"port {port} on {host} is taken{_owner(port)}"
    return ""


def require_free(host: str, port: int) -> None:
    """CliError, naming the port and its process, when the public port is taken or cannot be listened on."""
    if not 1 <= port <= 65_535:
        raise CliError(f"{port} is no port.", "Set SIXFOLD_PORT between 1 and 65535.", reason="BAD_PORT")
    if is_free(host, port):
        return
    if port < 1024:
        message = f"port {port} on {host} is taken, or only root may use it."
    else:
        message = f"port {port} on {host} is taken{_owner(port)}."
    other = port + 1 if 1024 <= port < 65_535 else 8081
    raise CliError(
        message, f"Stop that, or use another port: SIXFOLD_PORT={other} make run", reason="PORT_TAKEN"
    )


def _owner(port: int) -> str:
    """ " by nginx (process 812)" where the system tells."""
    import psutil

    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return ""
    for connection in connections:
        here = connection.laddr and connection.laddr.port == port
        if here and connection.status == psutil.CONN_LISTEN and connection.pid:
            try:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
            except psutil.Error:
                return f" by process {connection.pid}"
    return ""
