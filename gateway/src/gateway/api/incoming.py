"""A large request body in pieces: bounded in size before it is read where that is known, and in slowness."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from gateway.api.exchange import Disconnected, Exchange
from servicekit.errors import Reason, SixfoldError


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow a sender may be."""

    idle: float
    """Seconds of silence."""
    slowest: float
    """Bytes a second on the whole, beyond the first `idle` seconds."""
    longest: float
    """Seconds that the body may take in any case."""


def declared(exchange: Exchange, limit: int) -> int:
    """The size that the head tells, 0 when it tells none. Raises REQUEST_TOO_LARGE: nothing was read yet."""
    length = exchange.headers.get(b"content-length")
    if length is None:
        return 0
    if not length.isdigit() or len(length) > 18 or int(length) > limit:
        exchange.unread = True
        raise _too_large(limit)
    return int(length)


async def pieces(exchange: Exchange, limit: int, pace: Pace) -> AsyncGenerator[bytes, None]:
    """The body as it comes; reading the next piece is what lets the sender go on.

    Raises REQUEST_TOO_LARGE as soon as that is known, DEADLINE_EXCEEDED for a sender that is too slow,
    Disconnected for one that left. Only time spent waiting for the sender counts as the sender's.
    """
    declared(exchange, limit)
    exchange.unread = True
    size, waited = 0, 0.0
    while True:
        left = min(pace.longest, pace.idle + size / pace.slowest) - waited
        began = time.perf_counter()
        try:
            async with asyncio.timeout(max(0.001, min(pace.idle, left))):
                message = await exchange.receive()
        except TimeoutError:
            raise SixfoldError(Reason.DEADLINE_EXCEEDED, "The body arrives too slowly.") from None
        waited += time.perf_counter() - began
        if message["type"] == "http.disconnect":
            raise Disconnected
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            exchange.unread = False
            if piece:
                yield piece
            return
        if piece:
            yield piece


def _too_large(limit: int) -> SixfoldError:
    return SixfoldError(
        Reason.REQUEST_TOO_LARGE, f"The body is larger than {limit} bytes.", metadata={"limit": str(limit)}
    )
