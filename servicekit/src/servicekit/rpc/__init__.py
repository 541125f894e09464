"""gRPC between services: a server that guards every call, a channel that comes back fast, one error map."""

from servicekit.rpc.channel import open_channel
from servicekit.rpc.limits import RpcLimits
from servicekit.rpc.metadata import call_metadata
from servicekit.rpc.server import RpcServer
from servicekit.rpc.status import from_proto_error, from_rpc_error, to_proto_error
from servicekit.rpc.steps import remaining
from servicekit.rpc.tls import Tls

__all__ = [
    "RpcLimits",
    "RpcServer",
    "Tls",
    "call_metadata",
    "from_proto_error",
    "from_rpc_error",
    "open_channel",
    "remaining",
    "to_proto_error",
]
