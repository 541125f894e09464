"""What a training would take: seconds, memory, disk. Before it, from sizes; during it, from its own speed."""

from __future__ import annotations

import os
from dataclasses import dataclass

from training_service.trainers.plan import Method, Plan

CHARS_A_TOKEN = 3.6
"""Of English text with the template's own tokens. A guess: other languages have fewer."""
TEMPLATE_TOKENS = 40
"""A chat template adds about as many to a row."""
_FLOPS_A_CORE = 60e9
"""Measured: 220 tokens a second of SmolLM2-135M, rank 8, on two quiet cores that multiply bfloat16
themselves; others take a third longer, busy ones as long as their other work lets them.
"""
_FLOPS = {Method.LORA: 4.5, Method.FULL: 6.0, Method.DPO: 13.0}
"""Per parameter and token of a row: two forward passes and what goes back; DPO asks the reference too."""
_START_SECONDS = 25.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens count every epoch."""

    seconds: float
    tokens: int
    memory_bytes: int
    disk_bytes: int


def estimate(plan: Plan, rows: int, chars: int, parameters: int, cores: int | None = None) -> Estimate:
    """From the rows' number and characters."""
    tokens = int((chars / CHARS_A_TOKEN + rows * TEMPLATE_TOKENS) * plan.epochs)
    speed = (cores or os.cpu_count() or 1) * _FLOPS_A_CORE / (_FLOPS[plan.method] * parameters)
    trained = parameters if plan.method is Method.FULL else parameters // 50 * plan.lora_rank // 8
    weights = 4 * parameters
    return Estimate(
        seconds=_START_SECONDS + tokens / speed,
        tokens=tokens,
        memory_bytes=(1 << 30) + weights + 12 * trained,
        disk_bytes=2 * 12 * trained + (weights if plan.method is Method.FULL else 0),
    )
