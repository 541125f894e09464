"""Recipe: supervised training of a LoRA adapter (Hu and others, 2021) on every linear layer, by PEFT."""

from __future__ import annotations

from typing import Any

from training_service.trainers.ports import Run, Trained
from training_service.trainers.supervised import fine_tune, load


def train(run: Run) -> Trained:
    """The base stays as it is; what comes out is the adapter."""
    from peft import get_peft_model

    model, tokenizer = load(run)
    return fine_tune(run, get_peft_model(model, adapter(run)), tokenizer)


def adapter(run: Run) -> Any:
    """Its configuration, the same for all methods that train one."""
    from peft import LoraConfig

    return LoraConfig(
        r=run.plan.lora_rank,
        lora_alpha=run.plan.lora_alpha,
        lora_dropout=0.0,
        bias="none",
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
