"""Which recipe a method is."""

from __future__ import annotations

from training_service.trainers.plan import Method
from training_service.trainers.ports import Run, Trained


def train(run: Run) -> Trained:
    """By the plan's method."""
    match run.plan.method:
        case Method.LORA:
            from training_service.trainers import lora

            return lora.train(run)
        case Method.FULL:
            from training_service.trainers import full

            return full.train(run)
        case Method.DPO:
            from training_service.trainers import dpo

            return dpo.train(run)
