"""Traces: off, into a local file, or to an OTLP collector. W3C traceparent carries them across processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import unquote, urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator = TraceContextTextMapPropagator()
_on = False


def tracer(name: str) -> Tracer:
    """A tracer; safe to ask for before tracing is configured."""
    return trace.get_tracer(name)


def enabled() -> bool:
    """Whether this process records traces, so that callers may skip the work when it does not."""
    return _on


def configure_tracing(service: str, url: str, *, sample: float = 1.0) -> Callable[[], None]:
    """Turns tracing on; returns what flushes and ends it. `sample` is the share of new traces recorded.

    Exits with one line if the url is none of `off`, `file:///…`, `otlp://…`, `otlps://…`.
    """
    if url in ("", "off"):
        return lambda: None
    parts = urlsplit(url)
    if parts.scheme not in ("file", "otlp", "otlps"):
        raise SystemExit(
            "SIXFOLD_TELEMETRY_URL: use off, file:///path, otlp://host:4317 or otlps://host:4317."
        )
    # The SDK costs memory and start-up time, so only those who trace load it.
    from servicekit import tracing

    if parts.scheme == "file":
        exporter = tracing.file_exporter(unquote(parts.path))
    else:
        exporter = tracing.otlp_exporter(
            f"{parts.hostname}:{parts.port or 4317}", insecure=parts.scheme == "otlp"
        )
    provider = tracing.make_provider(service, exporter, sample)
    trace.set_tracer_provider(provider)
    global _on
    _on = True

    def shutdown() -> None:
        global _on
        _on = False
        provider.shutdown()

    return shutdown


def extract(headers: Mapping[str, str]) -> Context:
    """The context that incoming headers or metadata name (keys in lower case)."""
    return _propagator.extract(headers, Context())


def traceparent() -> str | None:
    """The `traceparent` of the current span, or None outside a trace.

    Given also for a span that is not sampled, so that the next process keeps that choice.
    """
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags):02x}"
