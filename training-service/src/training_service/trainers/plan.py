"""What is asked of a training, and what "auto" means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from training_service.datasets.rows import Kind


class Method(StrEnum):
    """How a model is trained."""

    LORA = "supervised"
    FULL = "full"
    DPO = "dpo"

    @property
    def kind(self) -> Kind:
        """The rows that it takes."""
        return Kind.PREFERENCE if self is Method.DPO else Kind.SUPERVISED

    @property
    def form(self) -> str:
        """What comes out: "lora" or "full"."""
        return "full" if self is Method.FULL else "lora"


@dataclass(frozen=True, slots=True)
class Wishes:
    """Hyperparameters as they are asked for. 0 means "auto"."""

    epochs: float = 0
    batch_size: int = 0
    learning_rate_multiplier: float = 0
    beta: float = 0
    lora_rank: int = 0
    seed: int = 0
    patience: int = 0
    """Stop after so many looks at the validation rows without a lower loss; 0 never."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Hyperparameters as they are used."""

    method: Method
    epochs: float
    batch_size: int
    """Rows a step."""
    learning_rate: float
    beta: float
    lora_rank: int
    seed: int
    patience: int
    steps: int
    """Of the whole training, unless it stops early."""
    warmup_steps: int

    @property
    def lora_alpha(self) -> int:
        """The adapter's scale is alpha / rank, always 2."""
        return 2 * self.lora_rank


_RATES = {Method.LORA: 1e-3, Method.FULL: 5e-5, Method.DPO: 5e-5}
_ROWS_SEEN = 900
_MANY_ROWS = 1000


def make_plan(method: Method, wishes: Wishes, rows: int) -> Plan:
    """The rules of "auto":

    - epochs: so many that about 900 rows are seen, 1 to 10; DPO half as many, 1 to 3;
    - batch: a power of two near a thirtieth of the rows, 1 to 16;
    - rank: 8, and 16 from 1,000 rows;
    - learning rate: 1e-3 for an adapter, 5e-5 for all weights and for DPO, times the multiplier; it rises
      over the first twentieth of the steps and falls to 0 in a line;
    - beta: 0.1.
    """
    if wishes.epochs:
        epochs = wishes.epochs
    elif method is Method.DPO:
        epochs = float(min(3, max(1, round(_ROWS_SEEN / 2 / rows))))
    else:
        epochs = float(min(10, max(1, round(_ROWS_SEEN / rows))))
    batch = wishes.batch_size or 2 ** min(4, max(0, round(math.log2(max(1.0, rows / 30)))))
    batch = min(batch, rows)
    steps = max(1, math.ceil(epochs * math.ceil(rows / batch)))
    return Plan(
        method=method,
        epochs=epochs,
        batch_size=batch,
        learning_rate=_RATES[method] * (wishes.learning_rate_multiplier or 1.0),
        beta=wishes.beta or 0.1,
        lora_rank=wishes.lora_rank or (16 if rows >= _MANY_ROWS else 8),
        seed=wishes.seed,
        patience=wishes.patience,
        steps=steps,
        warmup_steps=steps // 20,
    )
