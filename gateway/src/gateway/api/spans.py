"""One span a request of the routes that are no generation; generations have their own words for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import SpanKind, Status, StatusCode

from gateway.api.exchange import Exchange
from servicekit import telemetry
from servicekit.errors import SixfoldError


@contextmanager
def request_span(exchange: Exchange) -> Iterator[None]:
    """A server span, a child of the caller's trace if it sent one. What is called within carries it on."""
    if not telemetry.enabled():
        yield
        return
    method = exchange.scope["method"]
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in exchange.headers.items()}
    with telemetry.tracer("gateway").start_as_current_span(
        method,
        context=telemetry.extract(headers),
        kind=SpanKind.SERVER,
        attributes={"http.request.method": method, "sixfold.request_id": exchange.request_id},
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        exchange.facts["trace_id"] = f"{span.get_span_context().trace_id:032x}"
        try:
            yield
        except SixfoldError as error:
            span.set_attribute("error.type", error.reason.value)
            span.set_attribute("http.response.status_code", error.status.http)
            if error.status.http >= 500:
                span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            # The route's pattern, never the path, which names what is somebody's.
            span.update_name(f"{method} {exchange.label}")
            span.set_attribute("http.route", exchange.label)
            if exchange.status:
                span.set_attribute("http.response.status_code", exchange.status)
            if exchange.status >= 500:
                span.set_status(Status(StatusCode.ERROR))
