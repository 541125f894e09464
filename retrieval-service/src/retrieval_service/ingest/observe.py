"""A step's span and seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opentelemetry import trace

from servicekit import telemetry

_tracer = telemetry.tracer("retrieval_service.ingest")


class Steps:
    """Tells `seen` how long each step took, in seconds."""

    def __init__(self, seen: Callable[[str, float], None] = lambda step, seconds: None) -> None:
        self._seen = seen

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Wraps one step. The span holds no content."""
        began = time.perf_counter()
        try:
            if telemetry.enabled():
                with _tracer.start_as_current_span(f"document.{name}"):
                    yield
            else:
                yield
        finally:
            self._seen(name, time.perf_counter() - began)


@contextmanager
def document_span(traceparent: str, *, attempt: int, size: int) -> Iterator[trace.Span]:
    """The whole way of one file, within the trace that its upload began."""
    if not telemetry.enabled():
        yield trace.INVALID_SPAN
        return
    context = telemetry.extract({"traceparent": traceparent}) if traceparent else None
    with _tracer.start_as_current_span(
        "document.index",
        context=context,
        kind=trace.SpanKind.CONSUMER,
        attributes={"sixfold.attempt": attempt, "sixfold.bytes": size},
    ) as span:
        yield span
