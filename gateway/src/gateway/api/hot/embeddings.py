"""POST /v1/embeddings."""

from __future__ import annotations

import base64
import time
from typing import Any

from gateway import metrics
from gateway.api.exchange import JSON, Exchange
from gateway.api.hot.deps import (
    HotDeps,
    asker_of,
    ends_at,
    identify,
    left_until,
    plan_of,
    route_of,
    served_headers,
)
from gateway.caching.exact import key_of, use_of
from gateway.events.completion import Completion
from gateway.openai.embedding import parse_embedding, write_embeddings
from gateway.openai.pieces import ServedBy, Usage
from gateway.openai.request import EmbeddingInput
from gateway.routing.flight import EmbeddingFlight
from gateway.routing.ports import Asker, Embedded, PendingEmbedding
from gateway.routing.router import Candidate, Plan
from servicekit.errors import Reason, SixfoldError

_OPERATION = "embeddings"
_BYTES_A_TOKEN = 4


class EmbeddingEndpoint:
    """The handler."""

    def __init__(self, deps: HotDeps) -> None:
        self._deps = deps

    async def __call__(self, exchange: Exchange) -> None:
        """Answers one request."""
        deps = self._deps
        completion = exchange.completion = Completion(_OPERATION)
        principal = await identify(exchange, deps.authenticator, "embeddings:write")
        raw = await exchange.body(deps.limits.max_body, deps.limits.body_seconds)
        request = parse_embedding(raw)
        completion.requested_model = request.model
        plan = await plan_of(deps, request.model, _OPERATION, exchange, principal)
        completion.release_id = plan.release_id
        end = ends_at(exchange, plan, deps.limits)
        ticket = await deps.admission.admit(
            principal, plan.candidates[0].card.name, len(raw) // _BYTES_A_TOKEN
        )
        exchange.extra += ticket.headers
        used = 0
        try:
            used = await self._answer(exchange, request, plan, asker_of(principal, exchange), end)
        finally:
            await ticket.settle(used)

    async def _answer(
        self, exchange: Exchange, request: EmbeddingInput, plan: Plan, asker: Asker, end: float
    ) -> int:
        """Sends vectors, kept or new; gives the tokens that it cost."""
        cache = self._deps.cache
        use = use_of(plan.cache, deterministic=True, cache_control=exchange.headers.get(b"cache-control"))
        key = ""
        if use != "bypass":
            card = plan.candidates[0].card
            body = {name: value for name, value in request.body.items() if name != "encoding_format"}
            key = key_of(asker.tenant, card, _OPERATION, body, request.extra)
            kept = await cache.get(key) if use == "both" else None
            if kept is not None:
                metrics.CACHE.labels("hit").inc()
                exchange.facts["cache"] = "hit"
                await self._send(exchange, request, plan, None, _from_record(kept), "hit")
                return 0
        word = "miss" if key else "bypass"
        metrics.CACHE.labels(word).inc()

        def start(candidate: Candidate) -> PendingEmbedding:
            return candidate.client.embed(request, candidate.card.name, asker, left_until(end))

        flight = EmbeddingFlight(plan, start, time.monotonic)
        stop_watching = exchange.watch(
            lambda: flight.stop(SixfoldError(Reason.CANCELLED, "The client left."))
        )
        try:
            embedded = await flight.result()
        finally:
            flight.close()
            stop_watching()
        if key:
            cache.keep(key, _record(embedded), plan.cache)
        total = exchange.elapsed
        metrics.operation(_OPERATION, embedded.served_by.model).done(
            total=total, first=None, called=total, prompt=embedded.usage.prompt_tokens, completion=0
        )
        await self._send(exchange, request, plan, flight, embedded, word)
        return embedded.usage.prompt_tokens

    async def _send(
        self,
        exchange: Exchange,
        request: EmbeddingInput,
        plan: Plan,
        flight: EmbeddingFlight | None,
        embedded: Embedded,
        cache: str,
    ) -> None:
        by = embedded.served_by
        if (completion := exchange.completion) is not None:
            completion.model, completion.model_version, completion.engine = by
            completion.route, completion.cache = route_of(plan, flight), cache
            completion.prompt_tokens = 0 if cache == "hit" else embedded.usage.prompt_tokens
        exchange.facts["model"], exchange.facts["prompt_tokens"] = by.model, embedded.usage.prompt_tokens
        body = write_embeddings(
            embedded.vectors,
            as_base64=request.base64,
            model=by.model,
            prompt_tokens=embedded.usage.prompt_tokens,
        )
        await exchange.respond(200, body, [JSON, *served_headers(plan, flight, by, cache)])


def _record(embedded: Embedded) -> dict[str, Any]:
    return {
        "vectors": [base64.b64encode(vector).decode() for vector in embedded.vectors],
        "usage": list(embedded.usage),
        "served_by": list(embedded.served_by),
    }


def _from_record(record: dict[str, Any]) -> Embedded:
    return Embedded(
        [base64.b64decode(vector) for vector in record["vectors"]],
        Usage(*record["usage"]),
        ServedBy(*record["served_by"]),
    )
