"""Every instrument of the model service. Labels are bounded: models and reasons, never ids or tenants."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from servicekit.errors import SixfoldError
from servicekit.metrics import SECONDS

if TYPE_CHECKING:
    from model_service.models.catalog import Catalog

_JOINS: Mapping[str, Callable[[Iterable[float]], float]] = {"ready": min, "kv_usage": max}
_PER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.5, 1)

REQUESTS = Counter(
    "sixfold_model_requests_total",
    "Requests that ended, by operation and reason; the reason is empty when all went well.",
    ("model", "operation", "reason"),
)
PROMPT_TOKENS = Counter("sixfold_model_prompt_tokens_total", "Tokens read.", ("model",))
CACHED_TOKENS = Counter(
    "sixfold_model_cached_tokens_total", "Tokens read that the prefix cache already held.", ("model",)
)
GENERATION_TOKENS = Counter("sixfold_model_generation_tokens_total", "Tokens generated.", ("model",))
QUEUE = Histogram(
    "sixfold_model_queue_seconds", "From arrival to the start of work.", ("model",), buckets=SECONDS
)
FIRST_TOKEN = Histogram(
    "sixfold_model_time_to_first_token_seconds",
    "From arrival to the first piece of an answer.",
    ("model",),
    buckets=SECONDS,
)
PER_TOKEN = Histogram(
    "sixfold_model_time_per_output_token_seconds",
    "Between two tokens of an answer after the first, as a mean of the answer.",
    ("model",),
    buckets=_PER_TOKEN,
)
DURATION = Histogram(
    "sixfold_model_request_duration_seconds",
    "From arrival to the end of an answer.",
    ("model", "operation"),
    buckets=SECONDS,
)


class _Loads(Collector):
    """Asks every engine how busy it is at the moment of the scrape."""

    def __init__(self) -> None:
        self.catalog: weakref.ref[Catalog] | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        gauges = {
            "running": GaugeMetricFamily(
                "sixfold_model_requests_running", "Answers being generated.", labels=["model"]
            ),
            "waiting": GaugeMetricFamily(
                "sixfold_model_requests_waiting", "Requests in line.", labels=["model"]
            ),
            "capacity": GaugeMetricFamily(
                "sixfold_model_requests_capacity", "Answers that may be generated at once.", labels=["model"]
            ),
            "kv_usage": GaugeMetricFamily(
                "sixfold_model_kv_cache_usage_ratio", "Share of the key-value cache in use.", labels=["model"]
            ),
        }
        ready = GaugeMetricFamily("sixfold_model_ready", "1 if the model is loaded.", labels=["model"])
        catalog = self.catalog() if self.catalog is not None else None
        found: dict[str, list[tuple[str, float]]] = {}
        for entry in catalog.entries if catalog is not None else ():
            loaded = entry.engine is not None and entry.state == "ready"
            figures = [("ready", float(loaded))]
            if entry.engine is not None and loaded:
                with suppress(SixfoldError):
                    load = entry.engine.load()
                    figures += [(name, float(getattr(load, name))) for name in gauges]
            found.setdefault(entry.card.label, []).extend(figures)
        for label, figures in found.items():
            for name in dict(figures):
                # Models of one base that share a label: the least ready, the fullest cache, sums of the rest.
                join = _JOINS.get(name, sum)
                (ready if name == "ready" else gauges[name]).add_metric(
                    [label], join(value for known, value in figures if known == name)
                )
        yield ready
        yield from gauges.values()


_loads = _Loads()
REGISTRY.register(_loads)


def watch(catalog: Catalog) -> None:
    """Show this catalog's engines on the metrics page."""
    _loads.catalog = weakref.ref(catalog)
