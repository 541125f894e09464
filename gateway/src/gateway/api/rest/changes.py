"""What routes know of a request: who asks, and under which name it changes something.

Who may not ask is refused before the body is looked at.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
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


_Key = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A repeat with the same value has no second effect and gets the first answer, for a day.",
    ),
]
_Retry = Annotated[str | None, Header(include_in_schema=False)]


def reads(scope: str) -> Callable[..., Call]:
    """A call that looks at what `scope` opens."""

    def reading_with(request: Request, caller: Caller) -> Call:
        require(caller, scope)
        return _named(request, caller)

    return reading_with


def changes(scope: str) -> Callable[..., AsyncIterator[Call]]:
    """A call that changes what `scope` opens. What the official client sends again is known again."""

    async def changing(
        request: Request,
        caller: Caller,
        deps: Deps,
        idempotency_key: _Key = None,
        x_stainless_retry_count: _Retry = None,
    ) -> AsyncIterator[Call]:
        require(caller, scope)
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

    return changing


Reading = Annotated[Call, Depends(reading)]
Searching = Annotated[Call, Depends(searching)]
Changing = Annotated[Call, Depends(changes(STORES_WRITE))]
