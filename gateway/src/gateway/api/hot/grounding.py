"""The search before an answer: one span, its figures, and what the caller is told of it."""

from __future__ import annotations

import time
from typing import Any

from opentelemetry.trace import SpanKind, Status, StatusCode

from gateway import metrics
from gateway.api.exchange import Exchange
from gateway.events.completion import Source
from gateway.grounding.flight import CitedFlight
from gateway.grounding.ground import Grounded, Grounder
from gateway.openai.request import Generation
from gateway.routing.ports import Asker
from gateway.routing.router import Plan
from servicekit import telemetry
from servicekit.errors import SixfoldError

_OPERATION = "retrieval"
HEADER = b"x-sixfold-grounding"


async def search(
    grounder: Grounder, exchange: Exchange, request: Generation, plan: Plan, asker: Asker, seconds: float
) -> Grounded:
    """Grounds a request. Every answer to it then says on how many passages it stands."""
    assert request.search is not None
    began = time.perf_counter()
    with telemetry.tracer("gateway").start_as_current_span(
        _OPERATION,
        kind=SpanKind.CLIENT,
        attributes={
            "gen_ai.operation.name": _OPERATION,
            "gen_ai.data_source.id": ",".join(request.search.store_ids),
            "sixfold.request_id": exchange.request_id,
        },
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            grounded = await grounder.ground(request, plan, asker, seconds)
        except SixfoldError as error:
            metrics.GROUNDING.labels(error.reason.value.lower()).inc()
            span.set_attribute("error.type", error.reason.value)
            span.set_status(Status(StatusCode.ERROR))
            raise
        found = grounded.found
        span.set_attribute("sixfold.retrieval.hits", len(found.hits))
        span.set_attribute("sixfold.retrieval.relevant", found.relevant)
        span.set_attribute("sixfold.retrieval.vectors_used", found.vectors_used)
        span.set_attribute("sixfold.retrieval.passages", sum(len(source.hits) for source in grounded.sources))
    metrics.CLIENT_DURATION.labels(_OPERATION, found.embedding_model).observe(time.perf_counter() - began)
    _tell(exchange, grounded)
    return grounded


def _tell(exchange: Exchange, grounded: Grounded) -> None:
    if not grounded.sources:
        metrics.GROUNDING.labels("nothing_found").inc()
        exchange.extra.append((HEADER, b"nothing_found"))
        exchange.facts["grounding"] = "nothing_found"
        return
    passages = sum(len(source.hits) for source in grounded.sources)
    files = len({hit.file_id for source in grounded.sources for hit in source.hits})
    metrics.GROUNDING.labels("grounded").inc()
    metrics.GROUNDING_PASSAGES.observe(passages)
    exchange.extra.append((HEADER, b"passages=%d; files=%d" % (passages, files)))
    exchange.facts["passages"] = passages


def cited_in(record: dict[str, Any]) -> set[str]:
    """The passages that a kept answer cites."""
    found = (entry for choice in record["choices"] for entry in choice["extra"].get("annotations", ()))
    return {entry["passage_id"] for entry in found if "passage_id" in entry}


def note(exchange: Exchange, grounded: Grounded, flight: object, cited: set[str]) -> None:
    """Tells whoever follows the request on what its answer stands; `cited` is what a kept answer cites."""
    if isinstance(flight, CitedFlight):
        cited = {citation.hit.passage.id for citation in flight.cited}
    if (completion := exchange.completion) is not None:
        completion.sources = [
            Source(
                hit.store_id, hit.file_id, hit.passage.id, hit.score, hit.passage.id in cited, hit.filename
            )
            for source in grounded.sources
            for hit in source.hits
        ]


def count(flight: object) -> None:
    """Counts the references of a complete answer."""
    if isinstance(flight, CitedFlight):
        metrics.CITATIONS.labels("given").inc(len(flight.cited))
        metrics.CITATIONS.labels("removed").inc(flight.removed)
