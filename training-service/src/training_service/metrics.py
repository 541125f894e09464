"""Every instrument of the training service beside those of jobs, outbox and bus. Labels are bounded."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

KEPT = Counter(
    "sixfold_training_kept_total", "Events kept for data sets, by kind (request, feedback).", ("kind",)
)
ORDERS = Counter("sixfold_training_orders_total", "Orders taken, by kind (dataset, fine_tuning).", ("kind",))
ADDED = Counter(
    "sixfold_training_models_added_total",
    "Trained models handed to model-service, by outcome (added, failed).",
    ("outcome",),
)
MOVES = Counter(
    "sixfold_training_registry_moves_total",
    "Steps of releases brought to the model registry, by outcome (shown, failed, skipped).",
    ("outcome",),
)
MOVES_WAITING = Gauge(
    "sixfold_training_registry_waiting", "Steps of releases that the model registry does not show yet."
)
ROWS = Counter("sixfold_training_rows_total", "Rows of finished data sets, by part.", ("part",))
LEFT_OUT = Counter(
    "sixfold_training_rows_left_out_total", "Rows that finished data sets left out, by cause.", ("cause",)
)
TOKENS = Counter(
    "sixfold_training_tokens_total", "Tokens that finished trainings read, by form (lora, full).", ("form",)
)
TRAIN_SECONDS = Counter(
    "sixfold_training_seconds_total", "Seconds of the last attempts of finished trainings.", ("form",)
)
LOSS = Histogram(
    "sixfold_training_final_loss",
    "Training loss at the last step of finished trainings.",
    ("form",),
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 1.5, 2, 3, 4, 6, 10),
)
