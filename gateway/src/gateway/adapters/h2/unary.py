"""Calls whose answer is one message."""

from __future__ import annotations

from gateway.adapters.h2.call import Call
from servicekit.errors import Reason, SixfoldError


async def only_message(call: Call) -> bytes:
    """The answer of a call that has one. Raises SixfoldError; given up, the call is cancelled."""
    found: list[bytes] = []
    try:
        while (messages := await call.read()) is not None:
            found += messages
    finally:
        call.stop(SixfoldError(Reason.CANCELLED, "The call was given up."))
    if len(found) != 1:
        peer = call.peer
        raise SixfoldError(peer.broken, f"The {peer.name} did not answer with one message.", retry_after=1)
    return found[0]
