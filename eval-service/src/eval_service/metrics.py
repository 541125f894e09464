"""Every instrument of the eval service. Labels are bounded: states, outcomes, kinds; never ids or names."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from servicekit.metrics import SECONDS

ASKED = Counter(
    "sixfold_eval_questions_total", "Questions of jobs to models, by call and outcome.", ("call", "outcome")
)
ASKING = Histogram(
    "sixfold_eval_question_seconds", "One question, its repetitions included.", ("call",), buckets=SECONDS
)
RELEASES = Counter(
    "sixfold_eval_release_steps_total", "Steps of releases, by the state that they led to.", ("state",)
)
GATE = Counter(
    "sixfold_eval_gate_decisions_total", "Decisions of the gate: passed or refused.", ("decision",)
)
RELEASES_OPEN = Gauge(
    "sixfold_eval_releases", "Releases that have not come to their end, by state.", ("state",)
)
CANARIES = Gauge(
    "sixfold_eval_canaries", "Names with a canary, by the share of requests that goes to it.", ("share",)
)
ITEMS = Counter(
    "sixfold_eval_items_total", "Items of finished runs, by outcome (passed, failed, errored).", ("outcome",)
)
BATCHED = Counter(
    "sixfold_eval_batch_requests_total",
    "Requests of finished batches, by outcome (completed, failed).",
    ("outcome",),
)
CANARY = Counter(
    "sixfold_eval_canary_observations_total",
    "Answers and feedback that canaries were judged by, each once.",
    ("metric",),
)
AUDIT = Counter("sixfold_eval_audit_entries_total", "Lines of the audit, by what was done.", ("action",))
WATCHERS = Gauge("sixfold_eval_route_watchers", "Gateways that listen to routes.")
