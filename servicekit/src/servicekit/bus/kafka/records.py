"""The broker's records as the bus's."""

from __future__ import annotations

from typing import Any

from servicekit.bus.wire import Partition, Record


def to_record(found: Any) -> Record:
    """Whatever it holds: what is no event becomes a dead letter."""
    headers = tuple((name, value) for name, value in found.headers if isinstance(value, bytes))
    return Record(
        Partition(found.topic, found.partition), found.offset, found.key or b"", headers, found.value or b""
    )
