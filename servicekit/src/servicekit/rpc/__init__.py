"""gRPC between services: a server that guards every call, a channel that comes back fast, one error map.

What needs gRPC's library (15 MB) is loaded when it is first asked for: the gateway speaks to services
over a client of its own and takes only the rest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from servicekit.rpc.deadline import remaining
from servicekit.rpc.details import from_proto_error, from_status, to_proto_error
from servicekit.rpc.limits import RpcLimits
from servicekit.rpc.metadata import call_metadata
from servicekit.rpc.tls import Tls

if TYPE_CHECKING:
    from servicekit.rpc.channel import open_channel
    from servicekit.rpc.server import RpcServer
    from servicekit.rpc.status import from_rpc_error

__all__ = [
    "RpcLimits",
    "RpcServer",
    "Tls",
    "call_metadata",
    "from_proto_error",
    "from_rpc_error",
    "from_status",
    "open_channel",
    "remaining",
    "to_proto_error",
]

_LATER = {"RpcServer": "server", "from_rpc_error": "status", "open_channel": "channel"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
