"""What the routes of vector stores know of a request: who asks, and under which name it changes something.

Who may not ask is refused before the body is looked at.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header, Request

from gateway.api.rest.deps import Caller, Deps, request_id_of
from gateway.identity.principal import Principal, require
from gateway.identity.roles import SEARCH_READ, STORES_READ, STORES_WRITE
from gateway.retrieval.repeats import digest, keyed
from gateway.retrieval.service import Call


def _named(request: Request, caller: Principal, change: str = "") -> Call:
    return Call(caller, request_id_of(request), change)


def reading(request: Request, caller: Caller) -> Call:
    """A call that looks at stores. The service asks for the scope again, as below."""
    require(caller, STORES_READ)
    return _named(request, caller)


def searching(request: Request, caller: Caller) -> Call:
    """A call that searches."""
    require(caller, SEARCH_READ)
    return _named(request, caller)


async def changing(
    request: Request,
    caller: Caller,
    deps: Deps,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            pattern=r"^[\x21-\x7e]+$",
            description="A repeat with the same value has no second effect and gets the first answer, "
            "for a day.",
        ),
    ] = None,
    x_stainless_retry_count: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> AsyncIterator[Call]:
    """A call that changes stores. What the official client sends again by itself is known again."""
    require(caller, STORES_WRITE)
    method, path = request.method, request.url.path
    if idempotency_key is not None:
        yield _named(request, caller, keyed(caller, method, path, idempotency_key))
        return
    same = digest(caller, method, path, await request.body())
    change = deps.repeats.begin(same, repeated=x_stainless_retry_count not in (None, "", "0"))
    answered = False
    try:
        yield _named(request, caller, change)
        answered = True
    finally:
        deps.repeats.ended(same, change, answered=answered)


Reading = Annotated[Call, Depends(reading)]
Searching = Annotated[Call, Depends(searching)]
Changing = Annotated[Call, Depends(changing)]
