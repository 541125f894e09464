"""Instruments of the bus. Labels are bounded: topics and groups, never subjects or tenants."""

from prometheus_client import Counter, Gauge, Histogram

from servicekit.metrics import SECONDS

PUBLISHED = Counter("sixfold_bus_published_total", "Events that the log acknowledged.", ("topic",))
PUBLISH_FAILURES = Counter(
    "sixfold_bus_publish_failures_total", "Events that it did not acknowledge in time.", ("topic",)
)
PUBLISH_DURATION = Histogram(
    "sixfold_bus_publish_seconds",
    "From the call to the acknowledgement, for all events of the call.",
    ("topic",),
    buckets=SECONDS,
)
CONSUMED = Counter("sixfold_bus_consumed_total", "Events whose handler ended well.", ("topic", "group"))
HANDLER_DURATION = Histogram(
    "sixfold_bus_handler_seconds", "One call of a handler, well or not.", ("topic", "group"), buckets=SECONDS
)
RETRIES = Counter(
    "sixfold_bus_retries_total",
    "Calls of a handler to be repeated, by cause: `outage` of something it needs, or `failure`.",
    ("topic", "group", "cause"),
)
DEAD_LETTERS = Counter(
    "sixfold_bus_dead_letters_total", "Events that no handler could bear.", ("topic", "group")
)
LAG = Gauge(
    "sixfold_bus_lag",
    "Events not yet handled, in the partitions that this process reads.",
    ("topic", "group"),
    multiprocess_mode="livesum",
)
PENDING = Gauge(
    "sixfold_bus_pending",
    "Events in memory, waiting for their handler or in it.",
    ("group",),
    multiprocess_mode="livesum",
)
