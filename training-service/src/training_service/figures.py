"""What the instruments are told of finished jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from servicekit.jobs import Claim, Done, Outcome
from training_service import metrics
from training_service.orders.types import DATASET, TRAINING


def ended(claim: Claim, outcome: Outcome) -> None:
    """A job has come to an end."""
    if not isinstance(outcome, Done):
        return
    result = orjson.loads(outcome.result)
    if claim.kind == DATASET:
        _dataset(result)
    elif claim.kind == TRAINING:
        _training(result)


def _dataset(result: Mapping[str, Any]) -> None:
    for part, rows in result["rows"].items():
        metrics.ROWS.labels(part).inc(rows)
    for cause, rows in result["left_out"].items():
        metrics.LEFT_OUT.labels(cause).inc(rows)


def _training(result: Mapping[str, Any]) -> None:
    form, figures = result["form"], result["metrics"]
    metrics.TOKENS.labels(form).inc(result["trained_tokens"])
    metrics.TRAIN_SECONDS.labels(form).inc(figures["seconds"])
    if "train_loss" in figures:
        metrics.LOSS.labels(form).observe(figures["train_loss"])
