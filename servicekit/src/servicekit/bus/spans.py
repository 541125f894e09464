"""One trace from the cause of an event to its last effect, through the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import Span, SpanKind, StatusCode

from servicekit import telemetry
from servicekit.bus.base import Event
from servicekit.bus.wire import Record

_tracer = telemetry.tracer("servicekit.bus")


def producer_span(topic: str, event: Event) -> Span | None:
    """The span of publishing one event, within the trace in which it happened. None when nothing traces."""
    if not telemetry.enabled():
        return None
    parent = telemetry.extract({"traceparent": event.traceparent}) if event.traceparent else None
    return _tracer.start_span(
        f"{topic} publish",
        context=parent,
        kind=SpanKind.PRODUCER,
        attributes={
            "messaging.system": "sixfold",
            "messaging.operation.type": "send",
            "messaging.destination.name": topic,
            "messaging.message.id": event.id,
            "cloudevents.event_type": event.type,
        },
    )


def carried(span: Span) -> str:
    """The traceparent under which the record's consumers go on."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def end(span: Span | None, failed: str = "") -> None:
    """`failed` is a reason code."""
    if span is None:
        return
    if failed:
        fail(span, failed)
    span.end()


def fail(span: Span, reason: str) -> None:
    """Marks the span's work as failed."""
    span.set_attribute("error.type", reason)
    span.set_status(StatusCode.ERROR)


@contextmanager
def consumer_span(record: Record, event: Event, group: str, attempt: int) -> Iterator[Span | None]:
    """Around one call of a handler: a child of the producer's span."""
    if not telemetry.enabled():
        yield None
        return
    with _tracer.start_as_current_span(
        f"{record.partition.topic} process",
        context=telemetry.extract({"traceparent": event.traceparent}),
        kind=SpanKind.CONSUMER,
        record_exception=False,
        set_status_on_exception=False,
        attributes={
            "messaging.system": "sixfold",
            "messaging.operation.type": "process",
            "messaging.destination.name": record.partition.topic,
            "messaging.destination.partition.id": str(record.partition.number),
            "messaging.consumer.group.name": group,
            "messaging.message.id": event.id,
            "cloudevents.event_type": event.type,
            "sixfold.attempt": attempt,
        },
    ) as span:
        yield span
