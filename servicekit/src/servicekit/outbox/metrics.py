"""Instruments of the outbox."""

from prometheus_client import Counter, Gauge

RELAYED = Counter("sixfold_outbox_relayed_total", "Events that the bus acknowledged.", ("topic",))
FAILURES = Counter("sixfold_outbox_failures_total", "Tries to relay that failed; each is repeated.")
WAITING = Gauge(
    "sixfold_outbox_waiting", "Events committed and not yet published.", multiprocess_mode="livemax"
)
OLDEST = Gauge(
    "sixfold_outbox_oldest_seconds",
    "Age of the oldest event that is committed and not yet published; 0 when there is none.",
    multiprocess_mode="livemax",
)
