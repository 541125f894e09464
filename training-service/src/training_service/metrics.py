"""Every instrument of the training service beside those of jobs, outbox and bus. Labels are bounded."""

from __future__ import annotations

from prometheus_client import Counter

KEPT = Counter(
    "sixfold_training_kept_total", "Events kept for data sets, by kind (request, feedback).", ("kind",)
)
ORDERS = Counter("sixfold_training_orders_total", "Orders taken, by kind (dataset, fine_tuning).", ("kind",))
ADDED = Counter(
    "sixfold_training_models_added_total",
    "Trained models handed to model-service, by outcome (added, failed).",
    ("outcome",),
)
