"""POST /v1/responses."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import orjson

from gateway.api.exchange import JSON, Exchange
from gateway.api.hot.deps import HotDeps, identify
from gateway.api.hot.generation import Run, generate
from gateway.api.hot.streaming import EVENT_STREAM
from gateway.events.completion import Completion
from gateway.openai.pieces import ServedBy
from gateway.openai.responses.events import ResponseEvents
from gateway.openai.responses.output import ResponseBuilder
from gateway.openai.responses.replay import stored_events
from gateway.openai.responses.request import ResponseRequest, parse_response
from gateway.responses.ports import Kept
from gateway.responses.service import Responses
from servicekit.errors import Reason, SixfoldError

_IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_NOT_KEPT = frozenset({Reason.CANCELLED.value, Reason.SLOW_READER.value})
"""Ends of answers that nobody got whole."""


class ResponseShape:
    """One response; see Shape. `builder` has what was said, once anything was."""

    operation = capability = "chat"
    prefix = "resp_"
    cites_at_once = True

    def __init__(self, request: ResponseRequest) -> None:
        self._request = request
        self.builder: ResponseBuilder | None = None

    def write(self, record: dict[str, Any], run: Run) -> bytes:
        model = record["served_by"][0]
        self.builder = builder = ResponseBuilder(self._request, run.identifier, run.created, model)
        grounded = run.grounded
        builder.begin(
            grounded.queries if grounded is not None else None,
            grounded.found.hits if grounded is not None else (),
        )
        builder.take(record["choices"][0])
        builder.finish(record["usage"])
        return orjson.dumps(builder.response)

    def chunks(self, by: ServedBy, run: Run) -> ResponseEvents:
        grounded = run.grounded
        events = ResponseEvents(
            self._request,
            run.identifier,
            run.created,
            by.model,
            grounded.queries if grounded is not None else None,
            grounded.found.hits if grounded is not None else (),
        )
        self.builder = events.builder
        return events


class ResponsesEndpoint:
    """The handler. A response is kept after it was answered, unless `store` is false."""

    def __init__(self, deps: HotDeps, responses: Responses) -> None:
        self._deps = deps
        self._responses = responses
        self._running: set[tuple[str, str]] = set()
        """Responses under an Idempotency-Key that are being made in this worker."""

    async def __call__(self, exchange: Exchange) -> None:
        """Answers one request."""
        deps, responses = self._deps, self._responses
        exchange.completion = completion = Completion("responses")
        principal = await identify(exchange, deps.authenticator, "chat:write")
        raw = await exchange.body(deps.limits.max_body, deps.limits.body_seconds)
        request = parse_response(raw)
        completion.requested_model, completion.stream = request.generation.model, request.generation.stream
        tenant = principal.tenant
        key = _idempotency_key(exchange) if request.store else None
        identifier = responses.new_id(tenant, key)
        fingerprint = hashlib.sha256(raw).digest() if key is not None else b""
        if key is not None and (first := await self._first(tenant, identifier, fingerprint)) is not None:
            completion.answer_id = identifier
            await _repeat(exchange, first, stream=request.generation.stream)
            return
        place = (tenant, identifier)
        self._running.add(place)
        try:
            earlier = await responses.conversation(tenant, request.previous) if request.previous else []
            request.follow(earlier)
            shape = ResponseShape(request)
            await generate(deps, shape, exchange, principal, request.generation, len(raw), identifier)
            if request.store and shape.builder is not None and exchange.reason not in _NOT_KEPT:
                await responses.keep(
                    tenant,
                    shape.builder.response,
                    request.items,
                    previous=request.previous,
                    fingerprint=fingerprint,
                )
        finally:
            self._running.discard(place)

    async def _first(self, tenant: str, identifier: str, fingerprint: bytes) -> Kept | None:
        """The answer that was given under this Idempotency-Key before."""
        if (tenant, identifier) in self._running:
            raise SixfoldError(
                Reason.CONFLICT,
                "A request with this Idempotency-Key is being answered.",
                param="Idempotency-Key",
                retry_after=1,
            )
        first = await self._responses.find(tenant, identifier)
        if first is not None and first.fingerprint != fingerprint:
            raise SixfoldError(
                Reason.ALREADY_EXISTS,
                "This Idempotency-Key was used for a different request.",
                param="Idempotency-Key",
            )
        return first


async def _repeat(exchange: Exchange, first: Kept, *, stream: bool) -> None:
    """Gives the first answer again; nothing is spent."""
    replayed = (b"idempotent-replayed", b"true")
    if stream:
        await exchange.start(200, [*EVENT_STREAM, replayed])
        await exchange.write(stored_events(orjson.loads(first.body)), more=False)
    else:
        await exchange.respond(200, first.body, [JSON, replayed])


def _idempotency_key(exchange: Exchange) -> bytes | None:
    key = exchange.headers.get(b"idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise SixfoldError(
            Reason.INVALID_REQUEST,
            "An Idempotency-Key has 1 to 255 printable characters without spaces.",
            param="Idempotency-Key",
        )
    return key
