"""How much one gRPC server takes on."""

from __future__ import annotations

from dataclasses import dataclass

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MAX_METADATA_BYTES = 16 * 1024
WINDOW_BYTES = 256 * 1024
"""What one stream may have on the way before its reader takes some."""

TRANSPORT = (
    # Metadata over the limit fails always, not at random between a soft and a hard one.
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    # Left alone, the window grows until a reader that stands still holds 4 MB a stream.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
)
"""gRPC options that both ends share."""


@dataclass(frozen=True, slots=True)
class RpcLimits:
    """Limits of a server; deadlines in seconds."""

    max_concurrent: int = 512
    """Calls served at once; one more is refused with QUEUE_FULL."""
    default_deadline: float = 60
    """For a caller that gives none."""
    max_deadline: float = 600
    """A caller that asks for more gets this."""
    max_message_bytes: int = MAX_MESSAGE_BYTES
