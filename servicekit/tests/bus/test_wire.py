"""Events as records: CloudEvents in binary mode, read back as they were, and strictly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.bus import Event, Poison
from servicekit.bus.wire import (
    Cause,
    Partition,
    Record,
    to_dead_entry,
    to_dead_letter,
    to_entry,
    to_event,
)
from sixfold.events.v1.document_pb2 import DocumentAdded

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
EVENTS = st.builds(
    Event,
    id=WORDS,
    source=WORDS,
    type=WORDS,
    subject=WORDS,
    time=st.datetimes(min_value=datetime(1970, 1, 2), timezones=st.just(UTC)),
    tenant=WORDS,
    traceparent=st.sampled_from(["", f"00-{'a' * 32}-{'b' * 16}-01"]),
    data=st.binary(max_size=100),
)
PLACE = Partition("t", 3)


def example() -> Event:
    return Event("e1", "s", "a.b", "x", datetime(2024, 1, 1, tzinfo=UTC), "acme", "", b"data")


def record(event: Event, **change: bytes | None) -> Record:
    entry = to_entry(event)
    changed = {**dict(entry.headers), **change}
    headers = tuple((name, value) for name, value in changed.items() if value is not None)
    return Record(PLACE, 7, entry.key, headers, entry.value)


@given(EVENTS)
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    assert to_event(record(event)) == event


def test_the_headers_are_those_of_cloudevents() -> None:
    east = timezone(timedelta(hours=8))
    event = Event("e1", "s", "a.b", "x/文", datetime(2024, 1, 1, 8, tzinfo=east), "acme", "00-t", b"data")
    entry = to_entry(event)
    assert entry.key == "x/文".encode()
    assert dict(entry.headers) == {
        "content-type": b"application/protobuf",
        "ce_specversion": b"1.0",
        "ce_id": b"e1",
        "ce_source": b"s",
        "ce_type": b"a.b",
        "ce_subject": "x/文".encode(),
        "ce_time": b"2024-01-01T00:00:00.000000Z",
        "ce_tenant": b"acme",
        "traceparent": b"00-t",
    }


@pytest.mark.parametrize(
    "change",
    [
        *({name: None} for name in ("ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "ce_tenant")),
        {"ce_specversion": b"0.3"},
        {"ce_specversion": None},
        {"ce_tenant": b""},
        {"ce_id": b"\xff\xfe"},
        {"ce_time": b"yesterday"},
        {"ce_time": b"2024-01-01T00:00:00"},
    ],
)
def test_what_is_no_event_is_poison(change: dict[str, bytes | None]) -> None:
    with pytest.raises(Poison) as caught:
        to_event(record(example(), **change))
    assert caught.value.reason == "MALFORMED_EVENT"


@given(EVENTS)
def test_a_dead_letter_holds_the_event_and_its_cause(event: Event) -> None:
    entry = to_dead_entry(record(event), Cause("BAD", 4, "g"))
    letter = to_dead_letter(Record(Partition("t.dead", 0), 0, entry.key, entry.headers, entry.value))
    assert letter.event == event
    assert (letter.reason, letter.attempts, letter.group) == ("BAD", 4, "g")
    assert (letter.topic, letter.partition, letter.offset) == ("t", 3, 7)


def test_a_dead_letter_that_dies_again_tells_of_the_last_death() -> None:
    first = to_dead_entry(record(example()), Cause("FIRST", 1, "g"))
    again = Record(Partition("t.dead", 1), 5, first.key, first.headers, first.value)
    letter_of = to_dead_entry(again, Cause("SECOND", 2, "h"))
    letter = to_dead_letter(Record(PLACE, 0, letter_of.key, letter_of.headers, letter_of.value))
    assert (letter.reason, letter.topic, letter.offset) == ("SECOND", "t.dead", 5)


def test_a_message_that_does_not_parse_is_poison() -> None:
    event = Event.new(
        "document.added", DocumentAdded(store_id="vs_1"), source="s", subject="f", tenant="acme"
    )
    assert event.parse(DocumentAdded).store_id == "vs_1"
    assert event.id.startswith("evt_")
    with pytest.raises(Poison) as caught:
        example().parse(DocumentAdded)
    assert caught.value.reason == "MALFORMED_DATA"
