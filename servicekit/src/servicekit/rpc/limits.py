"""How much one gRPC server takes on."""

from __future__ import annotations

from dataclasses import dataclass

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MAX_METADATA_BYTES = 16 * 1024


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
