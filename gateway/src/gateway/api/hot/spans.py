"""One span a request, in the words of OpenTelemetry's GenAI conventions. Content is never recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from gateway.api.exchange import Exchange
from gateway.openai.request import Generation
from servicekit import telemetry
from servicekit.errors import SixfoldError

if TYPE_CHECKING:
    from gateway.api.hot.generation import Run


class NoSpan:
    """What is used while nobody records traces."""

    def done(self, run: Any) -> None:
        """Nothing."""


class GenerationSpan:
    """The span of one generation."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def done(self, run: Run) -> None:
        """Adds what is known at the end."""
        span = self._span
        span.set_attribute("gen_ai.response.id", run.identifier)
        span.set_attribute("sixfold.cache", run.cache)
        if run.flight is not None:
            by = run.served_by(run.flight)
            span.set_attribute("gen_ai.response.model", by.model)
            span.set_attribute("gen_ai.provider.name", by.engine or "sixfold")
            span.set_attribute("sixfold.route", run.plan.name)
            span.set_attribute("sixfold.target", run.flight.candidate.target.name)
            span.set_attribute("sixfold.attempts", run.flight.attempts)
            for target, reason in run.flight.trail:
                span.add_event("attempt failed", {"sixfold.target": target, "error.type": reason})
        if run.usage is not None:
            span.set_attribute("gen_ai.usage.input_tokens", run.usage.prompt_tokens)
            span.set_attribute("gen_ai.usage.output_tokens", run.usage.completion_tokens)
            span.set_attribute("gen_ai.usage.cache_read.input_tokens", run.usage.cached_tokens)
        if run.first is not None:
            span.set_attribute("gen_ai.response.time_to_first_chunk", run.first)
        if run.exchange.code:
            span.set_attribute("error.type", run.exchange.code)


@contextmanager
def generation_span(
    operation: str, request: Generation, exchange: Exchange
) -> Iterator[GenerationSpan | NoSpan]:
    """A server span around a generation, a child of the caller's trace if it sent one."""
    if not telemetry.enabled():
        yield NoSpan()
        return
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in exchange.headers.items()}
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.request.model": request.model,
        "gen_ai.request.choice.count": request.n,
        "sixfold.request_id": exchange.request_id,
        "sixfold.stream": request.stream,
    }
    if request.max_tokens:
        attributes["gen_ai.request.max_tokens"] = request.max_tokens
    sampling = request.sampling
    for name in ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty"):
        value = getattr(sampling, name)
        if value is not None:
            attributes[f"gen_ai.request.{name}"] = value
    with telemetry.tracer("gateway").start_as_current_span(
        f"{operation} {request.model}",
        context=telemetry.extract(headers),
        kind=SpanKind.SERVER,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        context = span.get_span_context()
        exchange.facts["trace_id"] = f"{context.trace_id:032x}"
        try:
            yield GenerationSpan(span)
        except SixfoldError as error:
            span.set_attribute("error.type", error.reason.value)
            span.set_status(Status(StatusCode.ERROR))
            raise
