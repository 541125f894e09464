"""Events by URL: an embedded log `sqlite:///path` on one machine, `kafka://host:port` at scale.

Delivery is at least once and in order per subject. A handler that must act once keeps the ids of the
events that it has seen, in the transaction of its effect: see `servicekit.outbox.inbox`.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from servicekit.bus.base import (
    DEAD,
    NOBODY,
    Bus,
    DeadLetter,
    Delivery,
    Event,
    Handler,
    Poison,
    Subscription,
)
from servicekit.bus.log_bus import LogBus

__all__ = [
    "DEAD",
    "NOBODY",
    "Bus",
    "DeadLetter",
    "Delivery",
    "Event",
    "Handler",
    "Poison",
    "Subscription",
    "open_bus",
]


def open_bus(url: str, *, client: str = "sixfold", timeout: float = 10) -> Bus:
    """The bus that `url` names. Connects at the first use, so this neither waits nor fails.

    `client` names the process to the broker. `timeout` is in seconds, for publishing and asking.
    ValueError for a URL that names no bus, or an option that it does not have. Options follow the `?`:

    - both: `partitions` of topics that come into being (8), `retention_hours` (168),
      `retention_bytes` (1 GiB; for Kafka per partition, and the broker's own unless given).
    - `sqlite://`: `poll_ms` between two looks for other processes' events (100), `lease_seconds` after
      which a silent member's partitions are taken over (6).
    - `kafka://`: `replication` of new topics (1), `tls` (`true`), `ca`, `cert`, `key` (PEM files),
      `sasl` (`PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`), `password_file`; user and password else from
      the address, `kafka://user:password@host:9093`. Several hosts are separated by commas.
    """
    match urlsplit(url).scheme:
        case "sqlite":
            from servicekit.bus.sqlite import EmbeddedLog, EmbeddedOptions

            return LogBus(EmbeddedLog(EmbeddedOptions.parse(url, timeout=timeout)), timeout=timeout)
        case "kafka":
            from servicekit.bus.kafka import KafkaLog, KafkaOptions  # the client's import costs memory

            return LogBus(KafkaLog(KafkaOptions.parse(url, client=client, timeout=timeout)), timeout=timeout)
        case other:
            raise ValueError(f"no bus for the scheme {other!r}: use sqlite:///… or kafka://…")
