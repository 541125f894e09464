"""Figures of finished jobs: rows by part and cause, tokens and the last loss by form."""

from __future__ import annotations

from typing import Any

import orjson
from prometheus_client import REGISTRY

from servicekit.jobs import Broke, Claim, Done
from training_service import figures
from training_service.orders.types import DATASET, TRAINING


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def claim(kind: str) -> Claim:
    given: dict[str, Any] = {"id": "j", "kind": kind, "tenant": "acme"}
    return Claim(**{**dict.fromkeys(Claim.__dataclass_fields__), **given})


def test_rows_and_what_was_left_out_are_counted() -> None:
    def now() -> list[float]:
        return [
            value("sixfold_training_rows_total", part="train"),
            value("sixfold_training_rows_total", part="test"),
            value("sixfold_training_rows_left_out_total", cause="DUPLICATE"),
        ]

    before = now()
    result = {"rows": {"train": 8, "validation": 0, "test": 2}, "left_out": {"DUPLICATE": 3}}
    figures.ended(claim(DATASET), Done(orjson.dumps(result)))
    figures.ended(claim(DATASET), Broke("EMPTY_DATASET", "No row.", retry=False))
    assert now() == [known + new for known, new in zip(before, (8, 2, 3), strict=True)]


def test_tokens_and_the_last_loss_are_counted() -> None:
    def now() -> list[float]:
        return [
            value("sixfold_training_tokens_total", form="lora"),
            value("sixfold_training_seconds_total", form="lora"),
            value("sixfold_training_final_loss_count", form="lora"),
            value("sixfold_training_final_loss_sum", form="lora"),
        ]

    before = now()
    result = {"form": "lora", "trained_tokens": 900, "metrics": {"train_loss": 0.5, "seconds": 12.5}}
    figures.ended(claim(TRAINING), Done(orjson.dumps(result)))
    assert now() == [known + new for known, new in zip(before, (900, 12.5, 1, 0.5), strict=True)]
