"""What is counted of objects."""

from __future__ import annotations

from prometheus_client import Counter

BYTES = Counter(
    "sixfold_objects_bytes_total", "Bytes of content, by direction: written or read.", ("direction",)
)
FAILURES = Counter(
    "sixfold_objects_failures_total",
    "Calls to the object store that failed, by operation and reason.",
    ("operation", "reason"),
)
