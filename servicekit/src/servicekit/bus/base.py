"""What every bus promises: events in, events out, at least once and in order per subject."""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, TypeVar
from uuid import uuid4

from google.protobuf.message import DecodeError, Message

from servicekit import telemetry
from servicekit.errors import Reason, SixfoldError

DEAD = ".dead"
"""What follows a topic's name in the name of its dead-letter topic."""

NOBODY = "~"
"""The tenant of an event on nobody's behalf."""

MAX_EVENT_BYTES = 900_000
"""Largest event, all its fields together: every bus takes it, Kafka with its default limits too."""

M = TypeVar("M", bound=Message)


class Poison(Exception):
    """Raised by a handler for an event that it can never handle: straight to the dead letters.

    `reason` is an UPPER_SNAKE code; it is kept with the event, and nothing else of the exception is.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: a CloudEvent with the fields of `sixfold.events.v1.Event`."""

    id: str
    """Unique for ever; a handler that has seen it does nothing."""
    source: str
    """The service that says so: "retrieval-service"."""
    type: str
    """What happened: "document.added". Names the message in `data`."""
    subject: str
    """What it happened to: an id. Events of one subject keep their order."""
    time: datetime
    """When, with its time zone; kept to the microsecond, in UTC."""
    tenant: str
    """Whose it is. Never empty; `NOBODY` on nobody's behalf."""
    traceparent: str
    """W3C trace context, or empty."""
    data: bytes
    """The serialised message."""

    @classmethod
    def new(cls, type: str, message: Message, *, source: str, subject: str, tenant: str) -> Event:
        """An event that happens now, with a new id, within the current trace."""
        return cls(
            id=f"evt_{uuid4().hex}",
            source=source,
            type=type,
            subject=subject,
            time=datetime.now(UTC),
            tenant=tenant,
            traceparent=telemetry.traceparent() or "",
            data=message.SerializeToString(),
        )

    def parse(self, message: builtins.type[M]) -> M:
        """`data` as this message. Raises `Poison` when it is none."""
        try:
            return message.FromString(self.data)
        except DecodeError:
            raise Poison("MALFORMED_DATA") from None


def check_event(event: Event) -> None:
    """REQUEST_TOO_LARGE for an event that no bus takes, ValueError for one that says too little."""
    if not (event.id and event.type and event.source and event.subject and event.tenant):
        raise ValueError("an event has an id, a type, a source, a subject and a tenant")
    if event.time.tzinfo is None:
        raise ValueError("an event's time has a time zone")
    words = (event.id, event.type, event.source, event.subject, event.tenant, event.traceparent)
    if len(event.data) + sum(len(word.encode()) for word in words) > MAX_EVENT_BYTES:
        raise SixfoldError(Reason.REQUEST_TOO_LARGE, f"An event has at most {MAX_EVENT_BYTES:,} bytes.")


Handler = Callable[[Event], Awaitable[Any]]
"""Called once for each delivery; what it returns is not looked at. It must bear being called twice."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a subscription hands events to its handler. Times are in seconds."""

    concurrency: int = 8
    """Handlers that run at once, each for another subject."""
    pending: int = 256
    """Events held in memory at most, waiting or running."""
    tries: int = 5
    """Calls of a handler that fails, before the event goes to the dead letters."""
    handler_seconds: float = 600
    """How long one call may take; afterwards it is cancelled and counts as failed."""
    first_wait: float = 0.2
    """Before the second call; doubles with each further one."""
    longest_wait: float = 30
    """No wait is longer."""
    outage_seconds: float | None = None
    """How long an event waits while its handler raises `SixfoldError`s that say "later"; None is for ever.

    Such calls use up no tries, except with the reason INTERNAL, which nobody foresaw."""
    stop_seconds: float = 10
    """How long running handlers may take to end when partitions move on or the subscription ends."""


USUAL = Delivery()
"""What suits most handlers."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that could not be handled, and why. Fields that the record lacked are empty."""

    event: Event
    reason: str
    """UPPER_SNAKE code; never an exception's words."""
    attempts: int
    group: str
    topic: str
    """Where it came from, with the next two."""
    partition: int
    offset: int


class Subscription(Protocol):
    """A member of a consumer group: running from `subscribe` to `close`, through every outage."""

    async def close(self) -> None:
        """Lets running handlers end, keeps the offsets, leaves the group. Calling it twice is fine."""


class Bus(Protocol):
    """A durable log of events. Connects at the first use; belongs to the process and loop that uses it."""

    async def publish(self, topic: str, events: Sequence[Event], *, timeout: float | None = None) -> None:
        """Returns when all are durable, in this order for each subject.

        Raises SixfoldError(SERVICE_UNAVAILABLE) when that does not happen within `timeout` seconds
        (the bus's own by default): then some may yet have been published, and publishing the same
        again is right, since handlers know events by their ids. REQUEST_TOO_LARGE for an event over
        the bus's limit, and then none is published.
        """

    def subscribe(
        self, topics: Sequence[str], group: str, handler: Handler, *, delivery: Delivery = USUAL
    ) -> Subscription:
        """Hands every event of these topics to `handler`, in one process of the group.

        At least once; in order for each subject; from the group's kept offset, or from the beginning
        for a new group. Needs a running loop. Topics come into being when first named.
        """

    async def replay(
        self, group: str, topics: Sequence[str], *, to: Literal["beginning"] | datetime = "beginning"
    ) -> None:
        """The group will read these topics again from there. Raises CONFLICT while it has members."""

    async def lag(self, group: str, topics: Sequence[str]) -> Mapping[str, int]:
        """For each topic how many of its events the group has not yet handled."""

    async def dead_letters(self, topic: str, *, limit: int = 100) -> list[DeadLetter]:
        """The newest `limit` of this topic's dead letters, oldest first."""

    async def check(self) -> None:
        """Returns when the bus answers. Raises SixfoldError(SERVICE_UNAVAILABLE)."""

    async def close(self) -> None:
        """Ends its subscriptions, then lets go of everything. Calling it twice is fine."""
