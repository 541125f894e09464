"""What comes out of the object store, on its way to a client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from urllib.parse import quote

from gateway.api.exchange import Disconnected, Exchange, Header
from gateway.api.hot.deps import identify
from gateway.identity.authenticator import Authenticator
from gateway.identity.principal import Principal
from gateway.limits.admission import Admission
from servicekit.errors import Reason, SixfoldError

_FIELD_BYTES = 256


@asynccontextmanager
async def admitted(
    exchange: Exchange, authenticator: Authenticator, admission: Admission, scope: str
) -> AsyncIterator[Principal]:
    """Who calls; the request counts against the tenant's limits. Nothing of the body was read yet."""
    exchange.unread = exchange.scope["method"] == "POST"
    caller = await identify(exchange, authenticator, scope)
    ticket = await admission.admit(caller, "", 0)
    exchange.extra += ticket.headers
    try:
        yield caller
    finally:
        await ticket.settle(0)


async def no_body(exchange: Exchange, seconds: float) -> None:
    """Reads the body, of which there is none: before that, nobody can be seen to leave."""
    await exchange.body(_FIELD_BYTES, seconds)


async def send_stored(
    exchange: Exchange, content: AsyncGenerator[bytes, None], headers: list[Header], *, slow_reader: float
) -> None:
    """Answers with `content`, and closes it. `slow_reader` is how many seconds a client may leave it unread.

    What is missing or damaged at once is still an answer. What turns out damaged later ends the connection
    before its end, so that nobody takes a part for the whole.
    """
    left = asyncio.Event()
    stop_watching = exchange.watch(left.set)
    sent = 0
    try:
        async with aclosing(content):
            piece = await anext(content, b"")
            await exchange.start(200, [*headers, (b"x-content-type-options", b"nosniff")])
            while piece:
                if left.is_set():
                    raise Disconnected
                try:
                    async with asyncio.timeout(slow_reader):
                        await exchange.write(piece, more=True)
                except TimeoutError:
                    raise SixfoldError(Reason.SLOW_READER, "The client does not read.") from None
                sent += len(piece)
                piece = await anext(content, b"")
        await exchange.write(b"", more=False)
    finally:
        exchange.facts["bytes"] = sent
        stop_watching()


def attachment(filename: str) -> Header:
    """RFC 6266: a plain name for old clients, the real one for all others."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in filename)
    value = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
    return b"content-disposition", value.encode()
