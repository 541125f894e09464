"""Unary calls to one service of the platform, over the gateway's own HTTP/2."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import Message

from gateway.adapters.h2.channel import Channel
from gateway.adapters.h2.unary import only_message
from gateway.routing.ports import Asker
from servicekit.errors import Reason, SixfoldError
from servicekit.identity import ServiceIdentity
from servicekit.rpc import call_metadata

_HEALTH, _SERVING = b"/grpc.health.v1.Health/Check", b"\x08\x01"
"""Asked with an empty message; the answer's one field is `status`. Its own generated code would load gRPC."""
R = TypeVar("R", bound=Message)


class ServiceClient:
    """One channel. Tokens name the gateway, tenant and subject."""

    def __init__(self, channel: Channel, identity: ServiceIdentity, *, audience: str, service: str) -> None:
        """`audience` is whom tokens are for, `service` the contract's full name."""
        self._channel = channel
        self._identity = identity
        self._audience = audience
        self._path = f"/{service}/"

    async def ask(self, asker: Asker, method: str, request: Message, answer: type[R], deadline: float) -> R:
        """The answer to `request`. Raises SixfoldError. `deadline` is in seconds."""
        metadata = call_metadata(
            self._identity, self._audience, asker.tenant, subject=asker.subject, request_id=asker.request_id
        )
        path = (self._path + method).encode()
        call = self._channel.call(path, metadata, request.SerializeToString(), deadline)
        raw = await only_message(call)
        try:
            return answer.FromString(raw)
        except Exception:  # protobuf raises DecodeError
            raise SixfoldError(
                call.peer.broken, f"The {call.peer.name} sent a message that cannot be read.", retry_after=1
            ) from None

    async def check(self) -> None:
        """Whether the service serves. Raises SixfoldError otherwise."""
        call = self._channel.call(_HEALTH, (), b"", 1.0)
        if await only_message(call) != _SERVING:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, f"The {call.peer.name} is not ready.")

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close()
