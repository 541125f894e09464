"""Events as records of a log: CloudEvents in Kafka's binary mode, whatever the log is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from servicekit.bus.base import DeadLetter, Event, Poison

Headers = Sequence[tuple[str, bytes]]

_CONTENT_TYPE = b"application/protobuf"
_FOREIGN = datetime.fromtimestamp(0, UTC)
_DEAD = "dl_"


class Partition(NamedTuple):
    """One of the parts of a topic. Order holds within it."""

    topic: str
    number: int


class Entry(NamedTuple):
    """What is appended to a topic; the key says to which partition, the id which entries are the same."""

    id: str
    key: bytes
    headers: Headers
    value: bytes


class Record(NamedTuple):
    """What is read from a topic: whatever somebody wrote there, an event or not."""

    partition: Partition
    offset: int
    key: bytes
    headers: Headers
    value: bytes


class Cause(NamedTuple):
    """Why an event is dead."""

    reason: str
    attempts: int
    group: str


def to_entry(event: Event, traceparent: str = "") -> Entry:
    """The record of an event. `traceparent`, when given, stands in for the event's own."""
    time = event.time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    headers = {
        "content-type": _CONTENT_TYPE,
        "ce_specversion": b"1.0",
        "ce_id": event.id.encode(),
        "ce_type": event.type.encode(),
        "ce_source": event.source.encode(),
        "ce_subject": event.subject.encode(),
        "ce_time": time.encode(),
        "ce_tenant": event.tenant.encode(),
    }
    if trace := traceparent or event.traceparent:
        headers["traceparent"] = trace.encode()
    return Entry(event.id, event.subject.encode(), tuple(headers.items()), event.data)


def to_event(record: Record) -> Event:
    """The event of a record. Raises `Poison` for a record that is none."""
    found = _read(record.headers)
    try:
        event = _event(found, record.value, datetime.fromisoformat(found["ce_time"]))
    except (KeyError, ValueError):
        raise Poison("MALFORMED_EVENT") from None
    named = event.id and event.type and event.source and event.subject and event.tenant
    if not named or found.get("ce_specversion") != "1.0" or event.time.tzinfo is None:
        raise Poison("MALFORMED_EVENT")
    return event


def to_dead_entry(record: Record, cause: Cause) -> Entry:
    """The record as it was, and why it is dead."""
    headers = {name: value for name, value in record.headers if not name.startswith(_DEAD)}
    about = {
        "reason": cause.reason,
        "attempts": cause.attempts,
        "group": cause.group,
        "topic": record.partition.topic,
        "partition": record.partition.number,
        "offset": record.offset,
    }
    headers |= {_DEAD + name: str(value).encode() for name, value in about.items()}
    name = f"{cause.group} {record.partition.topic} {record.partition.number} {record.offset}"
    return Entry(name, record.key, tuple(headers.items()), record.value)


def to_dead_letter(record: Record) -> DeadLetter:
    """What a dead-letter topic's record says."""
    found = _read(record.headers)
    try:
        time = datetime.fromisoformat(found.get("ce_time", ""))
    except ValueError:
        time = _FOREIGN

    def number(name: str) -> int:
        text = found.get(_DEAD + name, "")
        return int(text) if text.isdecimal() and len(text) < 20 else 0

    return DeadLetter(
        event=_event(dict.fromkeys(_FIELDS, "") | found, record.value, time),
        reason=found.get(_DEAD + "reason", ""),
        attempts=number("attempts"),
        group=found.get(_DEAD + "group", ""),
        topic=found.get(_DEAD + "topic", ""),
        partition=number("partition"),
        offset=number("offset"),
    )


_FIELDS = ("ce_id", "ce_source", "ce_type", "ce_subject", "ce_tenant")


def _event(found: dict[str, str], value: bytes, time: datetime) -> Event:
    id, source, type, subject, tenant = (found[name] for name in _FIELDS)
    return Event(id, source, type, subject, time, tenant, found.get("traceparent", ""), value)


def _read(headers: Headers) -> dict[str, str]:
    """Headers as text; those that are none are as good as missing."""
    found = {}
    for name, value in headers:
        try:
            found[name] = value.decode()
        except UnicodeDecodeError:
            continue
    return found
