"""Every instrument of the gateway. Labels are bounded: routes, targets, reasons, never ids or tenants."""

from __future__ import annotations

import re
from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram

from servicekit.metrics import SECONDS

TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
"""Bucket bounds for numbers of tokens."""
_PER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.5, 1)

HTTP_REQUESTS = Counter(
    "sixfold_gateway_http_requests_total",
    "Requests, by matched path, method, HTTP status and error code (empty when there was none).",
    ("path", "method", "status", "code"),
)
HTTP_IN_FLIGHT = Gauge(
    "sixfold_gateway_http_in_flight", "Requests that are being served.", multiprocess_mode="livesum"
)
HTTP_DURATION = Histogram(
    "sixfold_gateway_http_duration_seconds",
    "From the request's head to the last byte of its answer, in seconds.",
    ("path",),
    buckets=SECONDS,
)
SERVER_DURATION = Histogram(
    "gen_ai_server_request_duration_seconds",
    "From a request for tokens or vectors to its end (gen_ai.server.request.duration).",
    ("gen_ai_operation_name", "gen_ai_response_model", "error_type"),
    buckets=SECONDS,
)
FIRST_TOKEN = Histogram(
    "gen_ai_server_time_to_first_token_seconds",
    "From a request to the first piece of its answer (gen_ai.server.time_to_first_token).",
    ("gen_ai_operation_name", "gen_ai_response_model"),
    buckets=SECONDS,
)
PER_TOKEN = Histogram(
    "gen_ai_server_time_per_output_token_seconds",
    "Between two tokens after the first (gen_ai.server.time_per_output_token).",
    ("gen_ai_operation_name", "gen_ai_response_model"),
    buckets=_PER_TOKEN,
)
CLIENT_DURATION = Histogram(
    "gen_ai_client_operation_duration_seconds",
    "The call to the model service that gave the answer (gen_ai.client.operation.duration).",
    ("gen_ai_operation_name", "gen_ai_response_model"),
    buckets=SECONDS,
)
TOKEN_USAGE = Histogram(
    "gen_ai_client_token_usage",
    "Tokens a request, by type input or output (gen_ai.client.token.usage).",
    ("gen_ai_operation_name", "gen_ai_response_model", "gen_ai_token_type"),
    buckets=TOKENS,
)
CACHE = Counter(
    "sixfold_gateway_cache_requests_total",
    "Requests by what the cache did: hit, miss, bypass, joined.",
    ("result",),
)
CACHE_ERRORS = Counter("sixfold_gateway_cache_errors_total", "Cache calls that failed and were passed by.")
ATTEMPTS = Counter(
    "sixfold_gateway_route_attempts_total",
    "Attempts at a target, by outcome: ok or a reason.",
    ("target", "outcome"),
)
RETRIES_REFUSED = Counter(
    "sixfold_gateway_route_retries_refused_total", "Further attempts that the retry budget refused."
)
BREAKER = Gauge(
    "sixfold_gateway_breaker_state",
    "A target's breaker: 0 closed, 1 half open, 2 open.",
    ("target",),
    multiprocess_mode="max",
)
TARGET_IN_FLIGHT = Gauge(
    "sixfold_gateway_target_in_flight",
    "Calls that run at a target.",
    ("target",),
    multiprocess_mode="livesum",
)
CONFIG_STALE = Gauge(
    "sixfold_gateway_config_stale",
    "1 while gateway.yaml on disk is broken and an older one is in force.",
    multiprocess_mode="max",
)
LOOP_LAG = Gauge(
    "sixfold_gateway_event_loop_lag_seconds",
    "How late the event loop last was for a timer.",
    multiprocess_mode="max",
)
SLOW_READERS = Counter("sixfold_gateway_slow_readers_total", "Streams cut because nobody read them.")
DISCONNECTS = Counter("sixfold_gateway_disconnects_total", "Requests whose client left before the end.")
SPOOL_WRITTEN = Counter("sixfold_gateway_spool_written_total", "Events that were kept for publishing.")
SPOOL_REFUSED = Counter(
    "sixfold_gateway_spool_refused_total", "Events that were lost: the spool was full, or its disk."
)
SPOOL_PUBLISHED = Counter("sixfold_gateway_spool_published_total", "Events that the bus has taken.")
SPOOL_REJECTED = Counter(
    "sixfold_gateway_spool_rejected_total", "Events that were dropped because no bus takes them."
)
SPOOL_FAILURES = Counter("sixfold_gateway_spool_failures_total", "Tries to publish that failed.")
SPOOL_TORN = Counter(
    "sixfold_gateway_spool_torn_total", "Segments and frames with bytes that are no event: a write was cut."
)
SPOOL_WAITING = Gauge(
    "sixfold_gateway_spool_waiting_bytes",
    "Bytes of events that are not published yet.",
    multiprocess_mode="livesum",
)


REQUEST_RECORDS = Counter(
    "sixfold_gateway_request_records_total",
    "Requests that were written down for lineage: kept, or rejected because no store holds them; and tries "
    "that failed and are repeated.",
    ("outcome",),
)
LINEAGE = Counter(
    "sixfold_gateway_lineage_total",
    "Questions where an answer comes from, by what could be told: whole, partial or unknown.",
    ("outcome",),
)
GROUNDING = Counter(
    "sixfold_gateway_grounding_total",
    "Requests over documents, by outcome: grounded, nothing_found, or the reason of a failed search.",
    ("outcome",),
)
GROUNDING_PASSAGES = Histogram(
    "sixfold_gateway_grounding_passages",
    "Passages that stood in a prompt.",
    buckets=(1, 2, 3, 4, 6, 8, 12, 16, 24, 50),
)
FILES_RECEIVED = Counter(
    "sixfold_gateway_files_received_total",
    "Files and parts that were sent, by kind and outcome: stored, refused, failed or client_left.",
    ("kind", "outcome"),
)
FILE_BYTES = Counter("sixfold_gateway_files_bytes_total", "Bytes of files and parts that were stored.")
FILES_SWEPT = Counter(
    "sixfold_gateway_files_swept_total",
    "What the background sweep removed, by kind: expired, half_deleted, given_up or upload.",
    ("kind",),
)
RESPONSES = Counter(
    "sixfold_gateway_responses_total",
    "Responses that were to be kept: kept, too_large, or failed because the store was away.",
    ("outcome",),
)
CITATIONS = Counter(
    "sixfold_gateway_citations_total",
    "References in answers: given, or taken out because they named no passage.",
    ("what",),
)


_TRAINED = re.compile(r"(?:^|/)ft:[^:]+")


def label_of(name: str) -> str:
    """What a model or target is called in labels: a trained one by its base, as its name says whose it is."""
    found = _TRAINED.search(name) if "ft:" in name else None
    return name[: found.end()] if found is not None else name


@lru_cache(maxsize=1024)
def _attempts(target: str, outcome: str) -> Counter:
    return ATTEMPTS.labels(label_of(target), outcome)


def attempt(target: str, outcome: str) -> None:
    """Counts one attempt at a target."""
    _attempts(target, outcome).inc()


class Operation:
    """The instruments of one operation and model, looked up once."""

    __slots__ = ("_client", "_first", "_input", "_output", "_per_token", "_server")

    def __init__(self, operation: str, model: str) -> None:
        self._first = FIRST_TOKEN.labels(operation, model)
        self._per_token = PER_TOKEN.labels(operation, model)
        self._server = SERVER_DURATION.labels(operation, model, "")
        self._client = CLIENT_DURATION.labels(operation, model)
        self._input = TOKEN_USAGE.labels(operation, model, "input")
        self._output = TOKEN_USAGE.labels(operation, model, "output")

    def done(self, *, total: float, first: float | None, called: float, prompt: int, completion: int) -> None:
        """Takes in a complete answer; seconds and tokens."""
        self._server.observe(total)
        self._client.observe(called)
        self._input.observe(prompt)
        if completion:
            self._output.observe(completion)
        if first is not None:
            self._first.observe(first)
            if completion > 1:
                self._per_token.observe((total - first) / (completion - 1))


@lru_cache(maxsize=512)
def operation(name: str, model: str) -> Operation:
    """The instruments of `name` ("chat", "text_completion", "embeddings") on `model`."""
    return Operation(name, label_of(model))
