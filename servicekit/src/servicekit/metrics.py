"""Shared instruments, and the page that Prometheus reads.

Set `PROMETHEUS_MULTIPROC_DIR` to an empty or new folder before a service with several workers starts: every
worker then writes its figures there and any of them can answer for all.
"""

from __future__ import annotations

import os
from pathlib import Path

if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
    Path(folder).mkdir(parents=True, exist_ok=True)  # every instrument writes there from its first moment

from prometheus_client import REGISTRY, CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""Bucket bounds for anything that takes between a millisecond and minutes."""

RPC_DURATION = Histogram(
    "sixfold_rpc_server_duration_seconds",
    "From a call's arrival to its status, by method and gRPC status.",
    ("method", "code"),
    buckets=SECONDS,
)
RPC_IN_FLIGHT = Gauge(
    "sixfold_rpc_server_in_flight",
    "Calls that are being served.",
    multiprocess_mode="livesum",
)


def render() -> tuple[bytes, str]:
    """The exposition's body and its content type."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client import multiprocess

        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
