"""The tracing SDK, wired. Imported only where traces are recorded."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import orjson
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

_FILE_BYTES = 16 * 1024 * 1024
"""A trace file is put aside at this size; one older one is kept."""


def make_provider(service: str, exporter: SpanExporter, sample: float) -> TracerProvider:
    """Records the given share of new traces, and of traces begun elsewhere those that were sampled there."""
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(sample)),
        # Built by hand: Resource.create() searches the installation for detectors, which is slow.
        resource=Resource(
            {"service.name": service, "service.instance.id": f"{os.uname().nodename}-{os.getpid()}"}
        ),
        span_limits=SpanLimits(max_span_attributes=64, max_events=64, max_span_attribute_length=512),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(
        BatchSpanProcessor(WithoutExceptionText(exporter), max_queue_size=4096, schedule_delay_millis=1000)
    )
    return provider


def otlp_exporter(endpoint: str, *, insecure: bool) -> SpanExporter:
    """Sends spans to a collector over gRPC; gives a batch up after 5 seconds."""
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint, insecure=insecure, timeout=5)


def file_exporter(path: str) -> SpanExporter:
    """Writes spans as JSON lines, at most two files of 16 MiB."""
    return FileExporter(Path(path))


class WithoutExceptionText(SpanExporter):
    """Keeps an exception's type and drops its words and stack, which may quote what people wrote."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._inner.export([_without_text(span) for span in spans])

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


def _without_text(span: ReadableSpan) -> ReadableSpan:
    described = span.status.description is not None
    if not described and not any(event.name == "exception" for event in span.events):
        return span
    events = [
        Event(
            event.name,
            {"exception.type": (event.attributes or {}).get("exception.type", "")},
            event.timestamp,
        )
        if event.name == "exception"
        else event
        for event in span.events
    ]
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes,
        events=events,
        links=span.links,
        kind=span.kind,
        status=type(span.status)(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


class FileExporter(SpanExporter):
    """One JSON object a line: ids, name, kind, service, times, status, attributes, events."""

    def __init__(self, path: Path, max_bytes: int = _FILE_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        lines = b"".join(orjson.dumps(_as_dict(span), default=str) + b"\n" for span in spans)
        try:
            with self._lock:
                if self._path.exists() and self._path.stat().st_size + len(lines) > self._max_bytes:
                    self._path.replace(self._path.with_name(self._path.name + ".1"))
                # Appending in one write lets several processes share the file.
                with self._path.open("ab", buffering=0) as file:
                    file.write(lines)
        except OSError:
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def _as_dict(span: ReadableSpan) -> dict[str, object]:
    context, start, end = span.context, span.start_time or 0, span.end_time or 0
    return {
        "trace_id": f"{context.trace_id:032x}" if context else "",
        "span_id": f"{context.span_id:016x}" if context else "",
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else "",
        "name": span.name,
        "kind": span.kind.name.lower(),
        "service": span.resource.attributes.get("service.name", ""),
        "start_unix_ns": start,
        "duration_ms": round((end - start) / 1e6, 3),
        "status": span.status.status_code.name.lower(),
        "attributes": dict(span.attributes or {}),
        "events": [
            {"name": e.name, "unix_ns": e.timestamp, "attributes": dict(e.attributes or {})}
            for e in span.events
        ],
    }
